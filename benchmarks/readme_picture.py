"""Draw the README's picture: toy faces, the steps that a run took for each, and its answers.

python benchmarks/readme_picture.py runs/act-graves --output docs/steps.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from adafer.data import open_data
from adafer.predictions_file import read_predictions
from adafer.run import open_run

FACES_EACH = 4


def main() -> None:
    """Choose faces by number of steps, seeded, and draw them in a row for each number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/steps.png"))
    given = parser.parse_args()
    run = open_run(given.run)
    listing = open_data(run.recipe().data).validation
    table = read_predictions(run.evaluation("val") / "predictions.csv")
    assert table.steps is not None
    assert table.ids == listing.ids
    right = table.predicted == table.labels
    numbers = [n for n in np.unique(table.steps) if (right & (table.steps == n)).any()]
    random = np.random.default_rng(0)
    chosen = [
        i
        for number in (numbers[0], numbers[len(numbers) // 2], numbers[-1])
        for i in random.permutation(np.flatnonzero(right & (table.steps == number)))[:FACES_EACH]
    ]
    figure = Figure(figsize=(12, 1.55), layout="constrained")
    for axes, i in zip(figure.subplots(1, len(chosen)), chosen, strict=True):
        axes.imshow(listing.pictures[i])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{table.steps[i]} steps", fontsize=10, fontweight="bold")
        axes.set_xlabel(table.class_names[table.predicted[i]], fontsize=9)
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.savefig(given.output, dpi=110)


if __name__ == "__main__":
    main()
