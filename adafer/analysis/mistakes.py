"""Which emotions are taken for which, and which faces cost most. Legend: N faces, C classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from adafer.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Confused:
    """Faces of one emotion that are taken for another."""

    label: str
    prediction: str
    faces: int
    share: float  # of the faces with this label
    low: float  # Wilson's interval, 95 %
    high: float
    people: float | None  # share of the votes that these faces' annotators gave the other emotion

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def confused_pairs(predictions: Predictions, most: int = 10) -> tuple[Confused, ...]:
    """Rank pairs of emotions by the number of faces, with what annotators said of the same pair.

    `people` is the mean vote share of the other emotion over all faces of the label: a model that
    takes fear for surprise more often than annotators do makes a mistake of its own.
    """
    labels, told = predictions.labels, predictions.predicted
    names = predictions.class_names
    found = []
    for one in range(len(names)):
        here = labels == one
        for other in range(len(names)):
            number = int((here & (told == other)).sum())
            if one == other or not number:
                continue
            test = binomtest(number, int(here.sum())).proportion_ci(method="wilson")
            votes = predictions.votes
            found.append(
                Confused(
                    label=names[one],
                    prediction=names[other],
                    faces=number,
                    share=number / int(here.sum()),
                    low=float(test.low),
                    high=float(test.high),
                    people=None if votes is None else _given(votes[here], other),
                )
            )
    return tuple(sorted(found, key=lambda pair: (-pair.faces, pair.label))[:most])


def top_losses(predictions: Predictions, most: int = 24) -> NDArray[np.intp]:
    """Places of the faces whose label the model thought least likely, dearest first."""
    chosen = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    return np.argsort(chosen, kind="stable")[:most]


def _given(votes: NDArray[np.float64], other: int) -> float:
    return float((votes[:, other] / votes.sum(1)).mean())
