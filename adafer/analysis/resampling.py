"""How sure a figure is: bootstrap over faces, and rank correlations that resample quickly.

Legend: N faces, R replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
REPLICATES = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; all None where it does not exist."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def to_json(self) -> dict[str, float | None]:
        """Return plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def resamples(faces: int, seed: int, replicates: int = REPLICATES) -> NDArray[np.float32]:
    """How often each face is drawn in each replicate, (R, N); rows sum to N."""
    random = np.random.default_rng(seed)
    counts = np.empty((replicates, faces), np.float32)
    for row in counts:
        row[:] = np.bincount(random.integers(0, faces, faces), minlength=faces)
    return counts


def mean_estimate(values: NDArray[Any], counts: NDArray[np.float32]) -> Estimate:
    """Mean of (N,) with its percentile interval."""
    plain = np.asarray(values, dtype=np.float64)
    return estimate(float(plain.mean()), counts @ plain / counts.sum(1))


def estimate(value: float | None, draws: NDArray[Any]) -> Estimate:
    """A value with the percentile interval of its replicates (R,)."""
    finite = draws[np.isfinite(draws)]
    if value is None or not np.isfinite(value) or not len(finite):
        return Estimate(None)
    low, high = np.quantile(finite, (0.025, 0.975))
    return Estimate(float(value), float(low), float(high))


def ranks(values: NDArray[Any]) -> Floats:
    """Ranks from 1 on; equal values share the mean of theirs."""
    return np.asarray(rankdata(values), dtype=np.float64)


def correlations(first: Floats, second: Floats, counts: NDArray[np.float32]) -> Floats:
    """Pearson correlation of (N,) with (N,) in each replicate, (R,); NaN where a side is constant.

    Given ranks it is Spearman's with the ranks of all faces: they are not taken anew in each
    replicate, which changes an interval of thousands of faces in the third digit.
    """
    first, second = first - first.mean(), second - second.mean()
    total = counts.sum(1)
    one, two = counts @ first / total, counts @ second / total
    together = counts @ (first * second) / total - one * two
    spread = (counts @ first**2 / total - one**2) * (counts @ second**2 / total - two**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = together / np.sqrt(np.where(spread > 1e-18, spread, np.nan))
    return np.asarray(found.clip(-1, 1), dtype=np.float64)


def within(
    first: NDArray[Any],
    second: NDArray[Any],
    groups: NDArray[Any],
    counts: NDArray[np.float32],
    fewest: int = 10,
) -> tuple[Floats, tuple[Any, ...]]:
    """Spearman inside each group, averaged over Fisher's z with weights n - 3: (R,).

    Groups with fewer than `fewest` faces or a constant side are left out, and returned.
    """
    total = np.zeros(len(counts))
    weight = 0.0
    left_out: list[Any] = []
    for group in np.unique(groups):
        here = np.flatnonzero(groups == group)
        if len(here) < fewest or np.ptp(first[here]) == 0 or np.ptp(second[here]) == 0:
            left_out.append(group.item())
            continue
        found = correlations(ranks(first[here]), ranks(second[here]), counts[:, here])
        # A perfect correlation has an infinite z and would silence every other class.
        total += (len(here) - 3) * np.arctanh(np.nan_to_num(found).clip(-0.999, 0.999))
        weight += len(here) - 3
    averaged = np.tanh(total / weight) if weight else np.full(len(counts), np.nan)
    return averaged, tuple(left_out)


def rank_estimate(
    first: NDArray[Any], second: NDArray[Any], counts: NDArray[np.float32]
) -> Estimate:
    """Spearman's correlation with its interval."""
    one, two = ranks(first), ranks(second)
    return estimate(_whole(correlations(one, two, _all_once(one))), correlations(one, two, counts))


def within_estimate(
    first: NDArray[Any],
    second: NDArray[Any],
    groups: NDArray[Any],
    counts: NDArray[np.float32],
) -> Estimate:
    """Spearman's correlation inside the groups, Fisher-averaged, with its interval."""
    value, _ = within(first, second, groups, _all_once(first))
    draws, _ = within(first, second, groups, counts)
    return estimate(_whole(value), draws)


def _all_once(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32]:
    return np.ones((1, len(values)), np.float32)


def _whole(values: Floats) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None
