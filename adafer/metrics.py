"""Predictions to scores: accuracy, F1, calibration, steps, and how sure each figure is.

Legend: N faces, C classes, T steps, R bootstrap replicates.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.errors import DataError
from adafer.predictions import Predictions

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Interval = tuple[float, float]

BINS = 15
"""Bins of the calibration error. Guo et al. 2017, arXiv:1706.04599."""


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Figures of one class; a figure with an empty denominator is 0, a mean of nothing None."""

    name: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    mean_steps: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Faces whose confidence lies in (low, high]; confidence and accuracy are None where empty."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Every figure of one model on one split.

    F1 is averaged over all classes of the map: a class that is neither there nor predicted counts
    as 0, as scikit-learn does with `labels=` and `zero_division=0`. Balanced accuracy is the mean
    recall of the classes that are there.
    """

    class_names: tuple[str, ...]
    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    balanced_accuracy: float
    ece: float  # expected calibration error, bins of equal width
    adaptive_ece: float  # the same with bins of equal count
    brier: float  # sum over the classes, 0 to 2
    nll: float  # nats a face
    loss: float | None  # mean cross-entropy as the evaluation measured it
    per_class: tuple[ClassScore, ...]
    confusion: Counts  # (C, C) true by predicted
    reliability: tuple[Bin, ...]
    intervals: dict[str, Interval]  # 95 % bootstrap over faces
    mean_steps: float | None = None
    sd_steps: float | None = None
    mean_ponder_cost: float | None = None
    step_counts: tuple[int, ...] | None = None  # faces that took 1, 2, ... steps
    steps_by_outcome: tuple[tuple[float | None, ...], ...] | None = None  # (C, C) mean steps
    accuracy_by_step: tuple[float, ...] | None = None  # T, every face stopped at that depth
    spearman_steps_entropy: float | None = None
    spearman_steps_entropy_within_class: float | None = None
    spearman_steps_depth: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file; what is not finite is None."""
        values: dict[str, Any] = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("per_class", "reliability", "confusion")
        }
        values["confusion_matrix"] = self.confusion.tolist()
        values["per_class"] = {item.name: vars(item) for item in self.per_class}
        values["reliability"] = [vars(item) for item in self.reliability]
        plain: dict[str, Any] = _plain(values)
        return plain


def score(predictions: Predictions, *, bootstrap: int = 1000, seed: int = 0) -> Scores:
    """Compute every figure; `bootstrap` replicates give the intervals, 0 leaves them out.

    Raises:
        DataError: on an empty table, a label out of range, or rows that are no probabilities.
    """
    check(predictions)
    labels = predictions.labels
    matrix = confusion_matrix(predictions)
    figures: dict[str, Any] = {
        name: float(values[0]) for name, values in headline(matrix[None]).items()
    }
    confidence = predictions.probabilities.max(1)
    correct = predictions.predicted == labels
    bins = reliability(confidence, correct)
    return Scores(
        class_names=predictions.class_names,
        n=len(predictions),
        **figures,
        ece=calibration_error(bins, len(predictions)),
        adaptive_ece=adaptive_ece(confidence, correct),
        brier=_brier(predictions),
        nll=_nll(predictions),
        loss=predictions.loss,
        per_class=_per_class(predictions, matrix),
        confusion=matrix,
        reliability=bins,
        intervals=_intervals(predictions, matrix, bootstrap, np.random.default_rng(seed)),
        **_step_figures(predictions),
    )


def confusion_matrix(predictions: Predictions) -> Counts:
    """Faces by true and predicted class (C, C)."""
    classes = len(predictions.class_names)
    cells = predictions.labels * classes + predictions.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def check(predictions: Predictions) -> None:
    """Refuse a table that no figure can be computed from.

    Raises:
        DataError: on an empty table, a label out of range, or rows that are no probabilities.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    faces, classes = len(predictions), len(predictions.class_names)
    if faces == 0:
        raise DataError("there is no face to score; evaluate a split that holds faces")
    if probabilities.shape != (faces, classes) or labels.shape != (faces,):
        raise DataError(
            f"probabilities {probabilities.shape} and labels {labels.shape} do not fit "
            f"{faces} faces of {classes} classes; evaluate the model again"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"a label lies outside 0-{classes - 1}; check the data's class map")
    sums = probabilities.sum(1)
    wrong = ~(np.isfinite(sums) & (np.abs(sums - 1) < 0.02) & (probabilities.min(1) >= 0))
    if wrong.any():
        name = predictions.ids[int(wrong.argmax())]
        raise DataError(
            f"the model's answer for face {name!r} is no distribution (sum "
            f"{sums[wrong][0]:.3g}); look for non-finite weights and evaluate again"
        )


def reliability(confidence: Floats, correct: NDArray[np.bool_] | Floats) -> tuple[Bin, ...]:
    """Confidence against accuracy in 15 bins of equal width, each open below and closed above.

    `correct` (N,) is whether each answer is right, or a share from 0 to 1 of being so.
    """
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # (N,)
    count = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, weights=confidence, minlength=BINS)
    right = np.bincount(place, weights=correct, minlength=BINS)
    return tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            count=int(count[i]),
            confidence=float(sure[i] / count[i]) if count[i] else None,
            accuracy=float(right[i] / count[i]) if count[i] else None,
        )
        for i in range(BINS)
    )


def adaptive_ece(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Calibration error over 15 bins of equal count. Nixon et al. 2019, arXiv:1904.01685.

    Differs: faces of equal confidence share their mean accuracy, so that their order is no matter.
    """
    _, group = np.unique(confidence, return_inverse=True)
    shared = (np.bincount(group, weights=correct) / np.bincount(group))[group]  # (N,)
    order = np.argsort(confidence)
    gaps = [
        abs(float((shared[part] - confidence[part]).sum())) for part in np.array_split(order, BINS)
    ]
    return sum(gaps) / len(confidence)


def vote_entropy(votes: Floats) -> Floats:
    """Entropy in nats of each face's votes (N, C); votes that differ in order only are equal."""
    share = np.sort(votes, 1) / votes.sum(1, keepdims=True).clip(1e-12)
    logs = np.log(share, where=share > 0, out=np.zeros_like(share))
    # Shares come as float32; without rounding equal entropies would not be ties.
    entropy: Floats = np.round(-(share * logs).sum(1), 6) + 0.0
    return entropy


def prediction_depth(step_correct: NDArray[np.bool_]) -> Counts:
    """First step (N,) from which the answer is right and stays right; 0 where it never is."""
    stays = np.logical_and.accumulate(step_correct[:, ::-1], 1)[:, ::-1]  # (N, T)
    return np.where(stays.any(1), stays.argmax(1) + 1, 0).astype(np.int64)


def spearman(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Rank correlation with ties averaged; None where one side is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    ranks = [_ranks(values) - (len(first) + 1) / 2 for values in (first, second)]
    product = float(ranks[0] @ ranks[1])
    size = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return min(1.0, max(-1.0, product / size))


def spearman_within(
    first: NDArray[Any], second: NDArray[Any], groups: NDArray[np.int64]
) -> float | None:
    """Rank correlation inside each group, averaged over Fisher's z with weights n - 3.

    Groups with fewer than four faces or a constant side are left out; None where none is left.
    """
    total = weight = 0.0
    for group in np.unique(groups):
        here = groups == group
        found = spearman(first[here], second[here]) if here.sum() > 3 else None
        if found is not None:
            # A perfect correlation has an infinite z and would silence every other class.
            total += (here.sum() - 3) * math.atanh(min(0.999, max(-0.999, found)))
            weight += float(here.sum() - 3)
    return math.tanh(total / weight) if weight else None


def _ranks(values: NDArray[Any]) -> Floats:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[group]


def headline(matrices: NDArray[Any]) -> dict[str, Floats]:
    """Return the figures that a confusion matrix gives; matrices (R, C, C), each figure (R,)."""
    hits = np.diagonal(matrices, axis1=1, axis2=2).astype(np.float64)  # (R, C)
    support, predicted = matrices.sum(2), matrices.sum(1)  # (R, C)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    recall = hits / np.maximum(support, 1)
    total = support.sum(1)
    return {
        "accuracy": hits.sum(1) / total,
        "macro_f1": f1.mean(1),
        "weighted_f1": (f1 * support).sum(1) / total,
        "balanced_accuracy": recall.sum(1) / (support > 0).sum(1),
    }


def _intervals(
    predictions: Predictions, matrix: Counts, replicates: int, random: np.random.Generator
) -> dict[str, Interval]:
    """95 % percentile intervals over resampled faces.

    Drawing N faces with replacement is a multinomial draw over the cells of the confusion matrix,
    so a thousand replicates need no loop over faces.
    """
    if replicates < 1:
        return {}
    faces, classes = len(predictions), len(matrix)
    drawn = random.multinomial(faces, matrix.ravel() / faces, size=replicates)
    figures = headline(drawn.reshape(replicates, classes, classes))
    if predictions.steps is not None:
        counts = np.bincount(predictions.steps)
        draws = random.multinomial(faces, counts / faces, size=replicates)
        figures["mean_steps"] = draws @ np.arange(len(counts)) / faces
    return {
        name: (float(low), float(high))
        for name, values in figures.items()
        for low, high in [np.quantile(values, (0.025, 0.975))]
    }


def _per_class(predictions: Predictions, matrix: Counts) -> tuple[ClassScore, ...]:
    hits, support, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    return tuple(
        ClassScore(
            name=name,
            support=int(support[i]),
            predicted=int(predicted[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
            f1=float(f1[i]),
            mean_steps=_mean(predictions.steps, predictions.labels == i),
        )
        for i, name in enumerate(predictions.class_names)
    )


def _step_figures(predictions: Predictions) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if predictions.ponder_cost is not None:
        figures["mean_ponder_cost"] = float(predictions.ponder_cost.mean())
    depths = predictions.step_correct
    if depths is not None:
        figures["accuracy_by_step"] = tuple(depths.mean(0).tolist())
    steps = predictions.steps
    if steps is None:
        return figures
    longest = max(int(steps.max()), 0 if depths is None else depths.shape[1])
    figures["mean_steps"], figures["sd_steps"] = float(steps.mean()), float(steps.std())
    figures["step_counts"] = tuple(np.bincount(steps, minlength=longest + 1)[1:].tolist())
    classes = range(len(predictions.class_names))
    pairs = predictions.labels, predictions.predicted
    figures["steps_by_outcome"] = tuple(
        tuple(_mean(steps, (pairs[0] == i) & (pairs[1] == j)) for j in classes) for i in classes
    )
    if predictions.votes is not None:
        entropy = vote_entropy(predictions.votes)
        figures["spearman_steps_entropy"] = spearman(steps, entropy)
        figures["spearman_steps_entropy_within_class"] = spearman_within(
            steps, entropy, predictions.labels
        )
    if depths is not None:
        depth = prediction_depth(depths)
        figures["spearman_steps_depth"] = spearman(steps[depth > 0], depth[depth > 0])
    return figures


def calibration_error(bins: tuple[Bin, ...], faces: int) -> float:
    """Expected calibration error (Guo et al. 2017) of the bins that `reliability` gives."""
    return sum(
        item.count / faces * abs(item.confidence - item.accuracy)
        for item in bins
        if item.confidence is not None and item.accuracy is not None
    )


def _brier(predictions: Predictions) -> float:
    target = np.eye(len(predictions.class_names))[predictions.labels]  # (N, C)
    return float(((predictions.probabilities - target) ** 2).sum(1).mean())


def _nll(predictions: Predictions) -> float:
    chosen = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    return float(-np.log(chosen.clip(np.finfo(np.float64).eps, 1)).mean())


def _mean(values: NDArray[Any] | None, where: NDArray[np.bool_]) -> float | None:
    return None if values is None or not where.any() else float(values[where].mean())


def _plain(value: Any) -> Any:
    """Return lists, dicts and finite numbers only."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
