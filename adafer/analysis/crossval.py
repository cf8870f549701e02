"""What K held-out folds say of a recipe: each fold, their mean, and all faces together.

Legend: N faces, K folds, C classes, R replicates, U units that are resampled together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

from adafer.analysis.resampling import REPLICATES, Estimate, estimate
from adafer.errors import DataError
from adafer.metrics import check, confusion_matrix, headline, score
from adafer.predictions import Predictions

SHARES = ("accuracy", "macro_f1", "balanced_accuracy")
FIGURES = (*SHARES, "ece", "loss")
"""Figures of a fold; the first three have an interval of their own."""


@dataclass(frozen=True, kw_only=True)
class FoldScore:
    """What one training says of the faces that were held out of it."""

    fold: int  # from 1 on
    n: int  # faces held out
    trained_on: int
    accuracy: Estimate  # Wilson's interval; by bootstrap over groups where there are groups
    macro_f1: Estimate  # by bootstrap
    balanced_accuracy: Estimate  # by bootstrap
    ece: float
    loss: float
    best_epoch: int
    seconds: float  # of training

    def value(self, figure: str) -> float:
        """Return one of FIGURES."""
        found = getattr(self, figure)
        return float(found.value or 0.0) if isinstance(found, Estimate) else float(found)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over the folds. `sd` is the sample standard deviation, with K - 1."""

    mean: float
    sd: float
    corrected: tuple[float, float]  # 95 %, see `over_folds`
    plain: tuple[float, float]  # 95 %, too narrow


@dataclass(frozen=True, kw_only=True)
class Crossvalidated:
    """A recipe measured on faces that the model at hand never trained on."""

    folds: tuple[FoldScore, ...]
    spreads: Mapping[str, Spread]  # by FIGURES
    pooled: Mapping[str, Estimate]  # by SHARES, over all faces at once
    faces: int
    groups: int | None  # sets of faces that stay together; None where each face is alone

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "folds": len(self.folds),
            "faces": self.faces,
            "groups": self.groups,
            "over_folds": {name: asdict(spread) for name, spread in self.spreads.items()},
            "pooled": {name: found.to_json() for name, found in self.pooled.items()},
            "intervals": {
                "level": 0.95,
                "corrected": "corrected resampled t, Nadeau and Bengio 2003",
                "plain": "t over folds; too narrow, as folds share their training faces "
                "(Bengio and Grandvalet 2004)",
                "pooled": "bootstrap over faces" if self.groups is None else "bootstrap by group",
            },
            "per_fold": [asdict(fold) for fold in self.folds],
        }


def fold_score(
    predictions: Predictions,
    units: Sequence[str] | None,
    *,
    fold: int,
    trained_on: int,
    loss: float | None,
    best_epoch: int,
    seconds: float,
) -> FoldScore:
    """Measure one held-out fold; `units` names what is resampled together, None each face."""
    scores = score(predictions, bootstrap=0)
    found = dict(resampled(predictions, units))
    if units is None:
        found["accuracy"] = wilson(int(np.trace(scores.confusion)), scores.n)
    return FoldScore(
        fold=fold,
        n=scores.n,
        trained_on=trained_on,
        accuracy=found["accuracy"],
        macro_f1=found["macro_f1"],
        balanced_accuracy=found["balanced_accuracy"],
        ece=scores.ece,
        loss=scores.nll if loss is None else loss,
        best_epoch=best_epoch,
        seconds=seconds,
    )


def crossvalidated(
    folds: Sequence[FoldScore], pooled: Predictions, units: Sequence[str] | None
) -> Crossvalidated:
    """Put the folds together: their mean and spread, and the figures of all faces at once."""
    ratio = sum(f.n for f in folds) / sum(f.trained_on for f in folds)
    return Crossvalidated(
        folds=tuple(folds),
        spreads={
            name: over_folds([fold.value(name) for fold in folds], ratio, share=name != "loss")
            for name in FIGURES
        },
        pooled=resampled(pooled, units),
        faces=len(pooled),
        groups=None if units is None else len(set(units)),
    )


def wilson(right: int, faces: int) -> Estimate:
    """A share with Wilson's 95 % interval, which holds for few faces too. Wilson 1927."""
    found = binomtest(right, faces).proportion_ci(0.95, method="wilson")
    return Estimate(right / faces, float(found.low), float(found.high))


def over_folds(values: Sequence[float], ratio: float, *, share: bool = True) -> Spread:
    """Mean, sample deviation and two 95 % t-intervals of a figure over K folds.

    The corrected one counts the variance s^2 as (1/K + ratio) s^2 instead of s^2/K, `ratio` being
    held-out to training faces, 1/(K-1): Nadeau and Bengio 2003, Machine Learning 52, corrected
    resampled t. Differs: derived for random subsampling, it is used for K-fold here, as is usual.
    The plain one takes the folds as independent. They share training faces, so it is too narrow,
    and no unbiased estimate of the variance exists: Bengio and Grandvalet 2004, JMLR 5.
    """
    plain = np.asarray(values, dtype=np.float64)
    number, mean, sd = len(plain), float(plain.mean()), float(plain.std(ddof=1))
    quantile = float(t.ppf(0.975, number - 1))
    most = 1.0 if share else float("inf")

    def around(variance: float) -> tuple[float, float]:
        half = quantile * sd * float(np.sqrt(variance))
        return max(mean - half, 0.0), min(mean + half, most)

    return Spread(mean=mean, sd=sd, corrected=around(1 / number + ratio), plain=around(1 / number))


def resampled(
    predictions: Predictions,
    units: Sequence[str] | None = None,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Estimate]:
    """SHARES with 95 % percentile intervals over resampled units: groups, or single faces."""
    check(predictions)
    names: Sequence[str] = predictions.ids if units is None else units
    _, unit = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    number, classes = int(unit.max()) + 1, len(predictions.class_names)
    cells = predictions.labels * classes + predictions.predicted  # (N,)
    whole = {
        name: float(found[0])
        for name, found in headline(confusion_matrix(predictions)[None]).items()
    }
    if number < 2:  # nothing to resample: no interval is better than one of no width
        return {name: Estimate(whole[name]) for name in SHARES}
    random = np.random.default_rng(seed)
    tables = np.empty((replicates, classes**2))
    for row in tables:
        drawn = np.bincount(random.integers(0, number, number), minlength=number)  # (U,)
        row[:] = np.bincount(cells, weights=drawn[unit], minlength=classes**2)
    draws = headline(tables.reshape(-1, classes, classes))
    return {name: estimate(whole[name], draws[name]) for name in SHARES}


def out_of_fold(tables: Sequence[Predictions]) -> Predictions:
    """All held-out faces in one table, fold after fold; a face comes once.

    Raises:
        DataError: a face that two folds hold out, or folds of other classes.
    """
    first = tables[0]
    if any(table.class_names != first.class_names for table in tables):
        raise DataError("the folds know other classes; train them anew on one data set")
    ids = tuple(name for table in tables for name in table.ids)
    if len(set(ids)) < len(ids):
        raise DataError(
            f"{len(ids) - len(set(ids)):,} faces are held out by two folds; train them anew on one "
            "data set"
        )
    return Predictions(
        class_names=first.class_names,
        ids=ids,
        labels=np.concatenate([table.labels for table in tables]),
        probabilities=np.concatenate([table.probabilities for table in tables]),
        steps=_joined([table.steps for table in tables]),
        ponder_cost=_joined([table.ponder_cost for table in tables]),
        votes=_joined([table.votes for table in tables]),
        step_correct=_joined([table.step_correct for table in tables]),
    )


def _joined(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """One array, or None where a fold has none or measured other depths."""
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays) or len({array.shape[1:] for array in known}) > 1:
        return None
    return np.concatenate(known)
