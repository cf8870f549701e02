"""Train a recursive network on drawn faces and ask it how long it looks at each emotion.

    python examples/train_on_toy.py
    python examples/train_on_toy.py --recipe act-graves --epochs 20 --faces 4000

Everything here is the shell's `adafer train` in Python: the same words, the same run folder.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

from PIL import Image

import adafer
from adafer.data import open_data
from adafer.run import Run


def words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="adafer", help="adafer, act-graves, act-naive")
    parser.add_argument("--faces", type=int, default=1400, help="training faces to draw")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    return parser.parse_args()


def train(given: argparse.Namespace) -> Run:
    """Any flag of `adafer train --help` is a name here."""
    return adafer.train(
        given.recipe,
        runs=given.runs,
        data="toy",
        toy_faces=given.faces,
        epochs=given.epochs,
        channels=given.channels,
        stem_channels=16,
        max_steps=5,
        batch_size=32,
        augment="light",
        ema=0.98,  # the average of the weights must be shorter than so short a training
        workers=0,
    )


def steps_per_emotion(run: Run, folder: Path) -> dict[str, list[int]]:
    """Whole steps that the trained model takes for faces that it has not seen, by their label."""
    test = open_data(run.recipe().data).test()
    predictor = adafer.load(run.path)
    steps = defaultdict(list)
    for number, (label, picture) in enumerate(zip(test.labels, test.pictures, strict=True)):
        path = folder / f"{number:04d}.png"
        Image.fromarray(picture).save(path)
        (answer,) = predictor.predict(path)
        steps[test.class_names[label]].append(answer.steps)
    return steps


def main() -> None:
    run = train(words())
    print(f"trained; read {run.report}")
    with tempfile.TemporaryDirectory() as folder:
        for emotion, steps in steps_per_emotion(run, Path(folder)).items():
            print(f"{emotion:10} {len(steps):4} faces  {mean(steps):.2f} steps")


if __name__ == "__main__":
    main()
