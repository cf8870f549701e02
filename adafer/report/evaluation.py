"""The folder of one evaluation: figures, predictions, per-class table, confusion matrix."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adafer.metrics import Scores
from adafer.predictions import Predictions
from adafer.predictions_file import as_text, csv_bytes, write_bytes, write_predictions
from adafer.report.confusion import confusion_png


def write_evaluation(folder: Path, predictions: Predictions, scores: Scores) -> None:
    """Write `metrics.json`, `predictions.csv`, `per_class.csv`, `confusion_matrix.csv` and `.png`.

    Raises:
        AdaferError: if the folder cannot be written.
    """
    figures = json.dumps(scores.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_predictions(folder / "predictions.csv", predictions)
    write_bytes(folder / "per_class.csv", csv_bytes(_per_class(scores)))
    write_bytes(folder / "confusion_matrix.csv", csv_bytes(_confusion(scores)))
    write_bytes(folder / "confusion_matrix.png", confusion_png(scores))
    # Last, so that a folder with figures holds everything else too.
    write_bytes(folder / "metrics.json", figures.encode("utf-8", "surrogateescape"))


def _per_class(scores: Scores) -> Iterable[Sequence[Any]]:
    yield ("class", "support", "predicted", "precision", "recall", "f1", "mean_steps")
    for item in scores.per_class:
        steps = "" if item.mean_steps is None else item.mean_steps
        yield (
            as_text(item.name),
            item.support,
            item.predicted,
            item.precision,
            item.recall,
            item.f1,
            steps,
        )


def _confusion(scores: Scores) -> Iterable[Sequence[Any]]:
    """Rows are labels, columns predictions."""
    names = [as_text(name) for name in scores.class_names]
    yield ("label", *names)
    for name, row in zip(names, scores.confusion.tolist(), strict=True):
        yield (name, *row)
