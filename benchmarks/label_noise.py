"""Which loss stands wrong labels: the table and the plot of docs/concepts/label-noise.md.

    python benchmarks/label_noise.py --keep NAME RUN   keep the figures of a run, under a name
    python benchmarks/label_noise.py                   write the table and the plot
    python benchmarks/label_noise.py --check           fail if the page is out of date

A run is kept with its curve on clean validation labels and its one measurement on test.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib import rc_context
from matplotlib.figure import Figure
from tables import with_block

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "label-noise"
PAGE = ROOT / "docs" / "concepts" / "label-noise.md"
PLOT = PAGE.with_suffix(".svg")
START, END = "<!-- table: benchmarks/label_noise.py -->", "<!-- end of table -->"
ORDER = ("cross-entropy", "label smoothing 0.1", "focal, gamma 2", "votes")
COLOURS = ("#3c48c8", "#2a9d8f", "#c8643c", "#8a5cb8", "#777777")
COLUMNS = ("Learns from", "best val. accuracy", "last val. accuracy", "last train accuracy",
           "test accuracy", "test macro F1", "test ECE")  # fmt: skip


def keep(name: str, run: Path) -> None:
    """Write the figures of a run, without anything of the machine."""
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    test = json.loads((run / "eval" / "test" / "metrics.json").read_text(encoding="utf-8"))
    told = {
        "name": name,
        "val_acc": [float(row["val_acc"]) for row in rows],
        "train_acc": [float(row["train_acc"]) for row in rows],
        "test": {key: test[key] for key in ("n", "accuracy", "macro_f1", "ece", "nll")},
        "loss": {"name": recipe["loss_name"], **recipe["loss"]},
        "label_noise": recipe["data"]["label_noise"],
        "img_size": recipe["data"]["img_size"],
        "seed": recipe["train"]["seed"],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name.replace(' ', '-').replace(',', '')}.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def kept() -> list[dict[str, Any]]:
    """What was kept, in the order of the table."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    ]
    return sorted(found, key=lambda told: ORDER.index(told["name"]))


def table(found: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [" | ".join(COLUMNS), "|".join(["---"] * len(COLUMNS))]
    for told in found:
        figures = (
            max(told["val_acc"]), told["val_acc"][-1], told["train_acc"][-1],
            told["test"]["accuracy"], told["test"]["macro_f1"],
        )  # fmt: skip
        shown = [f"{100 * value:.1f}" for value in figures]
        lines.append(" | ".join([told["name"], *shown, f"{told['test']['ece']:.3f}"]))
    return "\n".join(f"| {line} |" if " | " in line else f"|{line}|" for line in lines)


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy on clean validation labels and on flipped training labels by epoch."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, 2),
        (("val_acc", "validation (clean labels)"), ("train_acc", "training (20 % flipped)")),
        strict=True,
    ):
        for told, colour in zip(found, COLOURS, strict=False):
            values = [100 * value for value in told[key]]
            axes.plot(range(1, len(values) + 1), values, color=colour, label=told["name"])
        axes.set(title=title, xlabel="epoch", ylabel="accuracy, %")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    with rc_context({"svg.hashsalt": "label-noise"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Keep a run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", nargs=2, metavar=("NAME", "RUN"))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.keep:
        keep(given.keep[0], Path(given.keep[1]))
        return
    found, text = kept(), PAGE.read_text(encoding="utf-8")
    page = with_block(text, START, END, table(found))
    if given.check:
        sys.exit(f"{PAGE.name} is out of date" if page != text else 0)
    PAGE.write_text(page, encoding="utf-8")
    draw(found, PLOT)


if __name__ == "__main__":
    main()
