"""Naive adaptive computation: stop when the halting probabilities add up to one.

    python examples/act_naive.py
    python examples/act_naive.py --data faces/ --epochs 20

Prints how many faces stopped at each step and how sure the answers were, and the mean steps of
each emotion; `quick-and-slow.png` shows faces that took the fewest and the most steps. Whether
more steps mean harder faces is asked, with controls, by `adafer steps`.
"""

import argparse
from pathlib import Path

import numpy as np

import adafer
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.image import Preprocessing
from adafer.predictions_file import read_predictions
from adafer.report.sheet import Row, draw_sheet

SHOWN = 10  # faces in a row of the picture


def words():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="toy")
    parser.add_argument("--faces", type=int, default=1400, help="training faces to draw")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    return parser.parse_args()


def train(given):
    """A face that has halted keeps the answer of that step; the others of its batch go on."""
    return adafer.train(
        "act-naive",
        runs=given.runs,
        data=given.data,
        toy_faces=given.faces,
        epochs=given.epochs,
        channels=given.channels,
        stem_channels=16,
        max_steps=10,
        halt_bias=-2.0,  # nine steps at first: the ponder cost can only shorten the thinking
        ponder_lambda=0.002,
        batch_size=32,
        augment="light",
        ema=0.98,
        workers=0,
    )


def print_steps(predictions):
    """A histogram in words, then the mean of each emotion."""
    for taken in range(1, int(predictions.steps.max()) + 1):
        here = predictions.steps == taken
        if here.any():
            sure = predictions.probabilities[here].max(1).mean()
            print(f"{taken:2} steps: {here.sum():5} faces, mean probability {sure:.2f}")
    for number, name in enumerate(predictions.class_names):
        steps = predictions.steps[predictions.labels == number]
        if len(steps):
            print(f"{name:10} {steps.mean():.2f} steps")


def draw(predictions, listing, path):
    """The faces with the fewest and the most steps, found again by their names."""
    order = np.argsort(predictions.steps, kind="stable")
    places = {name: place for place, name in enumerate(listing.ids)}
    rows = []
    for title, chosen in (("fewest", order[:SHOWN]), ("most", order[-SHOWN:])):
        steps = predictions.steps[chosen]
        found = listing.take([places[predictions.ids[face]] for face in chosen])
        faces = FaceDataset(found, Preprocessing(size=96, grey=False)).faces(range(len(chosen)))
        between = "-".join(str(step) for step in sorted({steps.min(), steps.max()}))
        rows.append(Row(title=title, below=f"{between} steps", faces=faces))
    path.write_bytes(draw_sheet(rows))


def main():
    run = train(words())
    predictions = read_predictions(run.evaluation("val") / "predictions.csv")
    print_steps(predictions)
    picture = run.path / "quick-and-slow.png"
    draw(predictions, open_data(run.recipe().data).validation, picture)
    print(f"look at {picture}, then ask: adafer steps {run.path}")


if __name__ == "__main__":
    main()
