"""What the trained folds answered: checked against the plan, measured, and put together."""

import csv
import json
from collections.abc import Iterable, Sequence
from typing import Any

from adafer.analysis.crossval import (
    FIGURES,
    SHARES,
    Crossvalidated,
    FoldScore,
    crossvalidated,
    fold_score,
    out_of_fold,
)
from adafer.data.folds import Fold
from adafer.errors import DataError
from adafer.evaluation import measured
from adafer.predictions import Predictions
from adafer.predictions_file import csv_bytes, write_bytes, write_predictions
from adafer.run import Run
from adafer.studies.crossval_folder import PLAN, WAITING, Crossval


def together(place: Crossval, dealt: Fold) -> tuple[Crossvalidated, Predictions]:
    """Put all folds together; write `predictions.csv` and `scores.csv`.

    Raises:
        DataError: a fold that is not trained, or that answered for other faces.
    """
    runs = place.runs()
    pooled = out_of_fold([held_out(run, fold, dealt) for fold, run in enumerate(runs, 1)])
    scores = [scored(place, fold, dealt) for fold in range(1, len(runs) + 1)]
    found = crossvalidated(scores, pooled, _groups(pooled, dealt))
    write_predictions(place.predictions, pooled)
    write_bytes(place.path / "scores.csv", csv_bytes(_rows(scores)))
    return found, pooled


def held_out(run: Run, fold: int, dealt: Fold) -> Predictions:
    """Return what a fold's model answered for the faces held out of its training.

    Raises:
        DataError: if the table is that of other faces.
    """
    predictions = measured(run, "val")
    own = {
        name for name, place in zip(dealt.pool.ids, dealt.places.tolist(), strict=True)
        if place == fold
    }  # fmt: skip
    unreadable = {name for name, _ in run.facts().get("data", {}).get("unreadable", [])}
    if set(predictions.ids) != own - unreadable:
        raise DataError(
            f"{run.path} was not measured on the faces of fold {fold}; remove that folder, set its "
            f"state in {PLAN} to {WAITING!r}, and go on with --resume"
        )
    return predictions


def _groups(predictions: Predictions, dealt: Fold) -> tuple[str, ...] | None:
    """Group of each face of the table, or None where the data names none."""
    if dealt.pool.groups is None:
        return None
    groups = dict(zip(dealt.pool.ids, dealt.pool.groups, strict=True))
    return tuple(groups[name] for name in predictions.ids)


def scored(place: Crossval, fold: int, dealt: Fold) -> FoldScore:
    """Measure a trained fold from its own tables."""
    run = place.fold(fold)
    predictions, facts = held_out(run, fold, dealt), run.facts()
    metrics = json.loads((run.evaluation("val") / "metrics.json").read_text(encoding="utf-8"))
    with run.results.open(newline="", encoding="utf-8") as file:
        seconds = sum(float(row["epoch_time"]) for row in csv.DictReader(file))
    return fold_score(
        predictions,
        _groups(predictions, dealt),
        fold=fold,
        trained_on=sum(facts["data"]["train"].values()),
        loss=metrics["loss"],
        best_epoch=facts["best_epoch"],
        seconds=seconds,
    )


def _rows(scores: Sequence[FoldScore]) -> Iterable[Sequence[Any]]:
    """Rows of scores.csv: one a fold, each share with the ends of its 95 % interval."""
    ends = [f"{name}_{end}" for name in SHARES for end in ("low", "high")]
    yield ("fold", "n", "trained_on", *FIGURES, "best_epoch", "seconds", *ends)
    for item in scores:
        shares = [getattr(item, name) for name in SHARES]
        bounds = ["" if x is None else x for found in shares for x in (found.low, found.high)]
        figures = [item.value(name) for name in FIGURES]
        yield (
            item.fold, item.n, item.trained_on, *figures, item.best_epoch, round(item.seconds, 3),
            *bounds,
        )  # fmt: skip
