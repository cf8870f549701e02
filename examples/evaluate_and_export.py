"""Measure a trained model at several depths, export it, and ask the exported file.

    python examples/evaluate_and_export.py               trains a small model first
    python examples/evaluate_and_export.py runs/first    takes your own run

The exported file answers through ONNX Runtime and needs no torch.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

import adafer
from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.export.onnx import export_onnx
from adafer.run import Run


def words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a run's folder")
    parser.add_argument("--faces", type=int, default=1400, help="training faces, without a run")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    return parser.parse_args()


def trained(given: argparse.Namespace) -> Path:
    """The run that was named, or a small new one."""
    if given.run is not None:
        return given.run
    small = {"channels": 32, "stem_channels": 16, "max_steps": 4}
    short = {"toy_faces": given.faces, "epochs": given.epochs, "batch_size": 32, "ema": 0.98}
    run = adafer.train("adafer", runs=given.runs, augment="light", workers=0, **small, **short)
    return run.path


def measure_depths(run: Path, folder: Path) -> None:
    """Validation figures with at most 1, 2, 4 steps; tables go to a folder of their own."""
    for depth in (1, 2, 4):
        scores = adafer.evaluate(run, max_steps=depth, output=folder / f"T{depth}")
        low, high = scores.intervals["accuracy"]
        print(
            f"T = {depth}: accuracy {scores.accuracy:.1%} ({low:.1%} to {high:.1%}), "
            f"macro F1 {scores.macro_f1:.1%}, {scores.mean_steps:.2f} steps"
        )


def compare_with_export(run: Path, folder: Path) -> None:
    """Ask the run and its exported file about the same face."""
    file = run / "export" / "model.onnx"
    print(export_onnx(load_bundle(run), file))
    validation = open_data(Run(run).recipe().data).validation
    picture = validation.pictures[0]
    if not isinstance(picture, Path):
        Image.fromarray(picture).save(folder / "face.png")
        picture = folder / "face.png"
    for model in (run, file):
        (answer,) = adafer.load(model).predict(picture)
        print(f"{model}: {answer.label} {answer.probability:.4f} after {answer.steps} steps")


def main() -> None:
    run = trained(words())
    with tempfile.TemporaryDirectory() as folder:
        measure_depths(run, Path(folder))
        compare_with_export(run, Path(folder))


if __name__ == "__main__":
    main()
