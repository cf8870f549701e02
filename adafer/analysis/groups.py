"""Accuracy and steps by group, where the data says who is who; nothing here guesses.

Legend: N faces, G groups, K permutations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.analysis.resampling import Estimate, estimate, mean_estimate, resamples
from adafer.predictions import Predictions

FEWEST = 30
"""Groups with fewer faces are shown and not tested."""
PERMUTATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class Group:
    """One value of an attribute."""

    name: str
    faces: int
    accuracy: Estimate
    mean_steps: Estimate
    tested: bool


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute's groups, and the gap between the best and the worst of those tested."""

    name: str
    groups: tuple[Group, ...]
    accuracy_gap: Estimate
    steps_gap: Estimate
    p: float | None  # of the accuracy gap, by permutation, Holm-corrected over the attributes

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def by_group(
    predictions: Predictions, attributes: Mapping[str, Sequence[str]], seed: int = 0
) -> tuple[Attribute, ...]:
    """Compare groups: intervals by bootstrap over faces, p by dealing the groups anew.

    The gap of a resample is taken anew, so its interval knows that a worst group is always found;
    the permutation does so too. Emotions are not evenly spread over groups: a gap may be theirs.
    """
    counts = resamples(len(predictions), seed)
    correct = (predictions.predicted == predictions.labels).astype(np.float64)
    steps = None if predictions.steps is None else predictions.steps.astype(np.float64)
    found, raw = [], []
    for name, values in attributes.items():
        named, group = np.unique(np.asarray(values, dtype=str), return_inverse=True)
        large = np.flatnonzero(np.bincount(group) >= FEWEST)
        groups = tuple(
            Group(
                name=str(named[g]),
                faces=int((group == g).sum()),
                accuracy=_mean(correct, group == g, counts),
                mean_steps=Estimate(None) if steps is None else _mean(steps, group == g, counts),
                tested=bool(g in large),
            )
            for g in range(len(named))
        )
        raw.append(_p(correct, group, large, seed) if len(large) > 1 else None)
        found.append(
            Attribute(
                name=name,
                groups=groups,
                accuracy_gap=_gap(correct, group, large, counts),
                steps_gap=Estimate(None) if steps is None else _gap(steps, group, large, counts),
                p=None,
            )
        )
    return tuple(
        Attribute(**{**vars(item), "p": p}) for item, p in zip(found, holm(raw), strict=True)
    )


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number (Holm 1979); None stays None."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[place] = highest
    return corrected


def _mean(
    values: NDArray[np.float64], mask: NDArray[np.bool_], counts: NDArray[np.float32]
) -> Estimate:
    drawn = counts[:, mask]
    return mean_estimate(values[mask], drawn[drawn.sum(1) > 0])


def _gap(
    values: NDArray[np.float64],
    group: NDArray[np.intp],
    large: NDArray[np.intp],
    counts: NDArray[np.float32],
) -> Estimate:
    if len(large) < 2:
        return Estimate(None)
    plain = _gaps(values[None], group, large)
    means = []
    for g in large:
        drawn = counts[:, group == g]
        means.append(drawn @ values[group == g] / np.maximum(drawn.sum(1), 1))
    table = np.array(means)  # (G, R)
    return estimate(float(plain[0]), table.max(0) - table.min(0))


def _gaps(
    values: NDArray[np.float64], group: NDArray[np.intp], large: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Largest minus smallest group mean, for each row of values (K, N)."""
    means = np.array([values[:, group == g].mean(1) for g in large])  # (G, K)
    return np.asarray(means.max(0) - means.min(0))


def _p(
    correct: NDArray[np.float64], group: NDArray[np.intp], large: NDArray[np.intp], seed: int
) -> float:
    random = np.random.default_rng(seed)
    observed = _gaps(correct[None], group, large)[0]
    dealt = random.permuted(np.broadcast_to(correct, (PERMUTATIONS, len(correct))), axis=1)
    chance = _gaps(dealt, group, large)
    return float((1 + (chance >= observed - 1e-12).sum()) / (1 + PERMUTATIONS))
