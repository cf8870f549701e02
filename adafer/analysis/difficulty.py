"""Do hard faces take more steps than easy ones? Two splits of the faces, with a test each.

Legend: N faces.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from adafer.analysis.resampling import Estimate, estimate, resamples
from adafer.trajectory import Trajectory

FEWEST = 10
"""Faces that either side needs."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Steps of easy faces and of hard ones."""

    name: str
    easy: str
    hard: str
    easy_faces: int
    hard_faces: int
    easy_steps: float
    hard_steps: float
    difference: Estimate  # hard minus easy, in steps
    p: float  # Mann-Whitney U, two-sided
    chance_harder_longer: float  # a hard face takes longer than an easy one, ties count half

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def difficulty(trajectory: Trajectory, seed: int = 0) -> tuple[Contrast, ...]:
    """Compare the steps of easy and hard faces, by the model's confidence and by the votes.

    By the model: the most and the least confident quarter, at step 1 (before it could stop) and at
    the answer (which its stopping has shaped). By people: unanimous faces against faces whose
    leading emotion has at most half of the votes.
    """
    table = trajectory.predictions
    if table.steps is None or not len(table):
        return ()
    first, last = trajectory.probabilities[:, 0].max(1), table.probabilities.max(1)
    found = [
        _quarters("confidence at step 1", first),
        _quarters("confidence of the answer", last),
    ]
    if table.votes is not None:
        top = table.votes.max(1) / table.votes.sum(1)
        found.append(
            ("votes", "unanimous", "at most half agree", top > 1 - 1e-6, top <= 0.5 + 1e-6)
        )
    counts = resamples(len(table), seed)
    return tuple(
        contrast(name, easy_name, hard_name, table.steps, easy, hard, counts)
        for name, easy_name, hard_name, easy, hard in found
        if min(easy.sum(), hard.sum()) >= FEWEST
    )


def contrast(
    name: str,
    easy_name: str,
    hard_name: str,
    steps: NDArray[np.int64],
    easy: NDArray[np.bool_],
    hard: NDArray[np.bool_],
    counts: NDArray[np.float32],
) -> Contrast:
    """Compare the steps (N,) of two sets of faces, given as masks (N,)."""

    def means(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        drawn = counts[:, mask]
        total = drawn.sum(1)
        return np.where(total > 0, drawn @ steps[mask] / np.maximum(total, 1), np.nan)

    test = mannwhitneyu(steps[hard], steps[easy], alternative="two-sided")
    difference = float(steps[hard].mean() - steps[easy].mean())
    return Contrast(
        name=name,
        easy=easy_name,
        hard=hard_name,
        easy_faces=int(easy.sum()),
        hard_faces=int(hard.sum()),
        easy_steps=float(steps[easy].mean()),
        hard_steps=float(steps[hard].mean()),
        difference=estimate(difference, means(hard) - means(easy)),
        p=float(test.pvalue),
        chance_harder_longer=float(test.statistic / (easy.sum() * hard.sum())),
    )


def _quarters(
    name: str, sure: NDArray[np.float64]
) -> tuple[str, str, str, NDArray[np.bool_], NDArray[np.bool_]]:
    low, high = np.quantile(sure, (0.25, 0.75))
    return name, "most confident quarter", "least confident quarter", sure >= high, sure <= low
