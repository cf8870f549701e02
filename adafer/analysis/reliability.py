"""Does confidence follow people? An answer's probability against the votes that a face got.

Legend: N faces, C classes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.analysis.resampling import Estimate, correlations, estimate, ranks, resamples
from adafer.metrics import adaptive_ece, calibration_error, reliability

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one way to answer stands, with the labels and with the people who voted."""

    name: str
    accuracy: float  # of the labels
    ece: float  # against the labels, 15 bins of equal width
    adaptive_ece: float  # bins of equal count
    brier: float  # sum over classes of squared differences to the label, mean over faces
    agreement: Estimate  # Spearman of the largest probability with the largest share of votes
    vote_ece: float | None  # ECE with the share of votes of the answer in the place of right
    vote_brier: float | None  # Brier score against the shares of votes

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Several ways to answer for the same faces, and how each differs from the first."""

    faces: int
    standings: tuple[Standing, ...]
    gains: tuple[Estimate, ...]  # agreement of each standing less that of the first, paired

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def against_people(
    answers: Mapping[str, Floats],
    labels: NDArray[np.int64],
    votes: Floats | None,
    seed: int = 0,
) -> Reliability:
    """Hold probabilities (N, C), by name, against labels (N,) and shares of votes (N, C).

    Peterson et al. 2019 (arXiv:1908.07086) hold probabilities against shares of votes; the
    expected calibration error is that of Guo et al. 2017 with those shares for right or wrong.
    """
    counts = resamples(len(labels), seed)
    agreed = None if votes is None else ranks(votes.max(1))
    draws = []
    standings = []
    for name, probabilities in answers.items():
        sure = ranks(probabilities.max(1))
        drawn = np.full(len(counts), np.nan)
        value = None
        if agreed is not None:
            drawn = correlations(sure, agreed, counts)
            value = float(correlations(sure, agreed, np.ones((1, len(labels)), np.float32))[0])
        draws.append((value, drawn))
        standings.append(_standing(name, probabilities, labels, votes, estimate(value, drawn)))
    first, first_drawn = draws[0]
    gains = tuple(
        estimate(None if value is None or first is None else value - first, drawn - first_drawn)
        for value, drawn in draws
    )
    return Reliability(faces=len(labels), standings=tuple(standings), gains=gains)


def _standing(
    name: str,
    probabilities: Floats,
    labels: NDArray[np.int64],
    votes: Floats | None,
    agreement: Estimate,
) -> Standing:
    rows, answer = np.arange(len(labels)), probabilities.argmax(1)
    sure, right = probabilities.max(1), answer == labels
    onehot = np.eye(probabilities.shape[1])[labels]
    return Standing(
        name=name,
        accuracy=float(right.mean()),
        ece=_gap(sure, right),
        adaptive_ece=adaptive_ece(sure, right),
        brier=float(((probabilities - onehot) ** 2).sum(1).mean()),
        agreement=agreement,
        vote_ece=None if votes is None else _gap(sure, votes[rows, answer]),
        vote_brier=None if votes is None else float(((probabilities - votes) ** 2).sum(1).mean()),
    )


def _gap(confidence: Floats, share: NDArray[np.bool_] | Floats) -> float:
    return calibration_error(reliability(confidence, share), len(confidence))
