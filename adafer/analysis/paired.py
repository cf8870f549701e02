"""Two models on the same faces: is the difference more than chance?

Legend: N faces, R replicates, C classes.
"""

from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from adafer.analysis.groups import holm
from adafer.analysis.resampling import Estimate, correlations, estimate, ranks, resamples
from adafer.errors import DataError
from adafer.metrics import vote_entropy
from adafer.predictions import Predictions

POWER_Z = 1.959964 + 0.841621
"""Normal quantiles of a two-sided 5 % test with 80 % power."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second model minus the first, on the same faces."""

    first: str
    second: str
    faces: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p: float  # McNemar's exact test, two-sided, Holm-corrected over the pairs
    accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    log_loss: Estimate  # nats a face; below zero is better
    mean_steps: Estimate
    spearman: Estimate  # of steps with vote entropy
    recall: tuple[tuple[str, Estimate], ...]  # per class
    detectable: float  # smallest difference in accuracy that so many faces show with 80 % power

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def shared_faces(tables: list[Predictions], names: list[str], *, common: bool) -> list[Predictions]:
    """Return the tables on the same faces in the same order.

    Raises:
        DataError: if the faces, their labels or the classes differ; `common` keeps what is shared.
    """
    first = tables[0]
    if any(table.class_names != first.class_names for table in tables):
        raise DataError("the runs know other classes; compare runs on data with the same classes")
    shared = set(first.ids).intersection(*(table.ids for table in tables))
    longest = max(len(table) for table in tables)
    if len(shared) < longest and not common:
        raise DataError(
            f"the runs answer for other faces ({len(shared):,} of {longest:,} are shared by "
            f"{', '.join(names)}); measure them on the same data, or compare what is shared with "
            "--common"
        )
    if not shared:
        raise DataError("the runs share no face; measure them on the same data")
    order = [name for name in first.ids if name in shared]
    kept = [_chosen(table, order) for table in tables]
    if any((table.labels != kept[0].labels).any() for table in kept):
        raise DataError(
            "the runs were measured with other labels for the same faces; measure them again on "
            "one data set"
        )
    return kept


def differences(
    tables: list[Predictions], names: list[str], seed: int = 0
) -> tuple[Difference, ...]:
    """Compare every pair of models that answered for the same faces."""
    counts = resamples(len(tables[0]), seed)
    found = [
        difference(tables[i], tables[j], names[i], names[j], counts)
        for i, j in combinations(range(len(tables)), 2)
    ]
    corrected = holm([item.p for item in found])
    return tuple(
        replace(item, p=item.p if p is None else p)
        for item, p in zip(found, corrected, strict=True)
    )


def difference(
    first: Predictions,
    second: Predictions,
    first_name: str,
    second_name: str,
    counts: NDArray[np.float32],
) -> Difference:
    """Compare two models: McNemar 1947 (exact), and paired bootstrap over the faces."""
    labels = first.labels
    one, two = first.predicted == labels, second.predicted == labels
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    odd = only_first + only_second
    total = counts.sum(1)
    ones = np.ones((1, len(labels)), np.float32)

    def mean(a: NDArray[Any], b: NDArray[Any]) -> Estimate:
        gap = b.astype(np.float64) - a.astype(np.float64)
        return estimate(float(gap.mean()), counts @ gap / total)

    def figure(name: str) -> Estimate:
        whole = _figures(second, ones)[name] - _figures(first, ones)[name]
        draws = _figures(second, counts)[name] - _figures(first, counts)[name]
        return estimate(float(whole[0]), draws)

    return Difference(
        first=first_name,
        second=second_name,
        faces=len(labels),
        both_right=int((one & two).sum()),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int((~one & ~two).sum()),
        p=float(binomtest(only_second, odd).pvalue) if odd else 1.0,
        accuracy=mean(one, two),
        macro_f1=figure("macro_f1"),
        balanced_accuracy=figure("balanced_accuracy"),
        log_loss=mean(_losses(first), _losses(second)),
        mean_steps=(
            Estimate(None)
            if first.steps is None or second.steps is None
            else mean(first.steps, second.steps)
        ),
        spearman=_spearman_gap(first, second, counts),
        recall=_recalls(first, one, two, counts),
        detectable=float(POWER_Z * np.sqrt(max(odd, 1)) / len(labels)),
    )


def _figures(table: Predictions, counts: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Macro-F1 and balanced accuracy (R,) of each resample."""
    f1, recalls, there = [], [], []
    for number in range(len(table.class_names)):
        labelled, told = table.labels == number, table.predicted == number
        hits = counts[:, labelled & told].sum(1)
        support, predicted = counts[:, labelled].sum(1), counts[:, told].sum(1)
        f1.append(2 * hits / np.maximum(support + predicted, 1))
        recalls.append(hits / np.maximum(support, 1))
        there.append(support > 0)
    known = np.maximum(np.array(there).sum(0), 1)
    return {
        "macro_f1": np.array(f1, np.float64).mean(0),
        "balanced_accuracy": np.array(recalls, np.float64).sum(0) / known,
    }


def _recalls(
    table: Predictions,
    one: NDArray[np.bool_],
    two: NDArray[np.bool_],
    counts: NDArray[np.float32],
) -> tuple[tuple[str, Estimate], ...]:
    found = []
    for number, name in enumerate(table.class_names):
        here = table.labels == number
        gap = two[here].astype(np.float64) - one[here]
        drawn = counts[:, here]
        if not here.any():
            found.append((name, Estimate(None)))
            continue
        draws = drawn @ gap / np.maximum(drawn.sum(1), 1)
        found.append((name, estimate(float(gap.mean()), draws)))
    return tuple(found)


def _spearman_gap(first: Predictions, second: Predictions, counts: NDArray[np.float32]) -> Estimate:
    if first.votes is None or first.steps is None or second.steps is None:
        return Estimate(None)
    if np.ptp(first.steps) == 0 or np.ptp(second.steps) == 0:
        return Estimate(None)
    target = ranks(vote_entropy(first.votes))
    every = np.concatenate([np.ones((1, len(target)), np.float32), counts])
    one = correlations(ranks(first.steps), target, every)
    two = correlations(ranks(second.steps), target, every)
    return estimate(float(two[0] - one[0]), two[1:] - one[1:])


def _losses(table: Predictions) -> NDArray[np.float64]:
    chosen = table.probabilities[np.arange(len(table)), table.labels]
    return np.asarray(-np.log(chosen.clip(np.finfo(np.float64).eps, 1)))


def _chosen(table: Predictions, order: list[str]) -> Predictions:
    places = {name: place for place, name in enumerate(table.ids)}
    faces = np.array([places[name] for name in order], dtype=np.intp)
    return Predictions(
        class_names=table.class_names,
        ids=tuple(order),
        labels=table.labels[faces],
        probabilities=table.probabilities[faces],
        steps=None if table.steps is None else table.steps[faces],
        votes=None if table.votes is None else table.votes[faces],
    )
