"""Graves' adaptive computation time: differentiable halting, and thinking that costs by class.

    python examples/act_graves.py
    python examples/act_graves.py --dear surprise --factor 8

The answer is a mixture of the answers of all steps, so the classification loss reaches the halting
unit. The loss is cross-entropy + lambda * w(class) * ponder cost. Two models are trained: one for
which every emotion costs the same, and one for which long thinking about one emotion is dear.
"""

import argparse
from pathlib import Path

import torch

import adafer
from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.data.listing import pixels_of
from adafer.predictions_file import read_predictions

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


def words():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1400, help="training faces to draw")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--dear", default="happiness", choices=EMOTIONS)
    parser.add_argument("--factor", type=float, default=4.0, help="of its ponder cost")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    return parser.parse_args()


def train(given, name, factors):
    return adafer.train(
        "act-graves",
        runs=given.runs,
        name=name,
        data="toy",
        toy_faces=given.faces,
        epochs=given.epochs,
        channels=given.channels,
        stem_channels=16,
        max_steps=6,
        halt_bias=-1.0,
        ponder_lambda=0.05,
        ponder_class_weights=factors,  # one for each class; empty is 1 each
        batch_size=32,
        augment="light",
        ema=0.98,
        workers=0,
    )


def mean_costs(run):
    """Mean ponder cost N + R of the validation faces of each emotion."""
    found = read_predictions(run.evaluation("val") / "predictions.csv")
    return [found.ponder_cost[found.labels == number].mean() for number in range(len(EMOTIONS))]


def print_one_face(run):
    """What happens inside: halting probabilities and the weights that mix the steps' answers."""
    bundle = load_bundle(run.path)
    picture = open_data(run.recipe().data).validation.pictures[0]
    face = bundle.preprocessing.normalised(bundle.preprocessing.resized(pixels_of(picture)))
    with torch.inference_mode():
        output = bundle.model(torch.from_numpy(face)[None])
    logits, ponder_cost, step_probs = output
    answer = bundle.class_names[logits.argmax(1).item()]
    print(f"one face: {answer}, N + R = {ponder_cost.item():.3f}")
    for step, (score, weight) in enumerate(zip(step_probs, output.weights, strict=True), 1):
        print(f"  step {step}: halts with p = {score.item():.3f}, counts {weight.item():.3f}")


def main():
    given = words()
    factors = tuple(given.factor if name == given.dear else 0.2 for name in EMOTIONS)
    equal = train(given, "equal", ())
    dear = train(given, "dear", factors)
    print(f"{'ponder cost':12}  equal  {given.dear} x {given.factor:g}, others x 0.2")
    for name, one, other in zip(EMOTIONS, mean_costs(equal), mean_costs(dear), strict=True):
        print(f"{name:12} {one:6.2f} {other:6.2f}")
    print_one_face(dear)


if __name__ == "__main__":
    main()
