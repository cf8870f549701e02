"""GReFEL: attention from landmarks, and an unsure answer that leans on learned anchors.

    python examples/grefel.py
    python examples/grefel.py --data ferplus/ --landmarks landmarks.csv --epochs 12

Two models of one small backbone are trained: plain, and with geometry, anchors and attention. Then
one face is looked at from inside: what the classifier alone says, and what the correction makes of
it. Without landmarks a learned layout stands for all faces.
"""

import argparse
from pathlib import Path

import torch

import adafer
from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.data.listing import pixels_of
from adafer.predictions_file import read_predictions

SMALL = {
    "pretrained": False,
    "backbone": "test_vit",
    "stem": "conv",
    "patch_size": 8,
    "img_size": 48,
    "grey": True,
    "lr": 1e-3,
}
OFF = {"geometry": False, "anchor_correction": False, "attentive_correction": False}


def words():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="toy")
    parser.add_argument("--landmarks", default="auto", help="auto, canonical, or a CSV")
    parser.add_argument("--faces", type=int, default=1400, help="toy faces to draw")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--runs", type=Path, default=Path("outputs"))
    return parser.parse_args()


def train(given, name, **changes):
    return adafer.train(
        "grefel",
        runs=given.runs,
        name=name,
        data=given.data,
        toy_faces=given.faces,
        landmarks=given.landmarks,
        epochs=given.epochs,
        leaks="drop",
        workers=0,
        **SMALL,
        **changes,
    )


def print_accuracy(run):
    found = read_predictions(run.evaluation("val") / "predictions.csv")
    print(f"{run.path.name:6} {(found.predicted == found.labels).mean():.1%} of validation")


def print_one_face(run):
    """What the classifier alone says of a face, and what anchors and attention make of it."""
    bundle = load_bundle(run.path)
    picture = open_data(run.recipe().data).validation.pictures[0]
    face = bundle.preprocessing.normalised(bundle.preprocessing.resized(pixels_of(picture)))
    with torch.inference_mode():
        output = bundle.model(torch.from_numpy(face)[None])
    print(f"one face: confidence of the classifier {output.confidence.item():.2f}")
    shares = zip(
        output.primary[0].exp(), output.correction[0].exp(), output.logits[0].exp(), strict=True
    )
    for name, (alone, correction, answer) in zip(bundle.class_names, shares, strict=True):
        print(f"  {name:10} {alone:6.1%} alone, correction {correction:6.1%}, answer {answer:6.1%}")


def main():
    given = words()
    print_accuracy(train(given, "plain", **OFF))
    whole = train(given, "whole")
    print_accuracy(whole)
    print_one_face(whole)


if __name__ == "__main__":
    main()
