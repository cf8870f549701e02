"""Accuracy on the faces of a split that training has not seen pixel for pixel.

FER2013's splits share pictures. This prints how many faces of the split are in train too, as they
are or mirrored, and the accuracy with and without them, from the table that `evaluate` wrote.

    python benchmarks/without_twins.py runs/NAME --data ferplus/ --split test
"""

import argparse
import json
from pathlib import Path

import numpy as np

from adafer import image
from adafer.data import open_data
from adafer.data.listing import Listing
from adafer.predictions_file import read_predictions
from adafer.run import open_run


def pixels(listing: Listing) -> list[np.ndarray]:
    """Decoded faces, in the order of the listing."""
    return [image.read(p) if isinstance(p, Path) else p for p in listing.pictures]


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    given = parser.parse_args()
    run = open_run(given.run)
    source = open_data(run.recipe().changed(data=given.data).data)
    listing = source.test() if given.split == "test" else source.validation
    table = read_predictions(run.evaluation(given.split) / "predictions.csv")
    if table.ids != listing.ids:
        raise SystemExit("the table and the data name other faces; evaluate again")
    known = set()
    for face in pixels(source.train):
        known |= {face.tobytes(), np.ascontiguousarray(face[:, ::-1]).tobytes()}
    seen = np.array([face.tobytes() in known for face in pixels(listing)])
    right = table.predicted == table.labels
    figures = {
        "split": given.split,
        "faces": len(seen),
        "in_train_too": int(seen.sum()),
        "accuracy": float(right.mean()),
        "accuracy_without_them": float(right[~seen].mean()),
        "accuracy_on_them": float(right[seen].mean()) if seen.any() else None,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
