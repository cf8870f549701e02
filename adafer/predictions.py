"""The table that evaluation writes and every number, plot and report reads.

Legend: N faces, C classes, T steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers of one model on one split."""

    class_names: tuple[str, ...]
    ids: tuple[str, ...]  # N
    labels: NDArray[np.int64]  # (N,)
    probabilities: Floats  # (N, C)
    steps: NDArray[np.int64] | None = None  # (N,) whole steps taken
    ponder_cost: Floats | None = None  # (N,)
    votes: Floats | None = None  # (N, C) annotator share
    step_correct: NDArray[np.bool_] | None = None  # (N, T) is the answer at this fixed depth right
    loss: float | None = None  # mean cross-entropy on the labels

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class with the largest probability, (N,)."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)
