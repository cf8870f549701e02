"""The table that evaluation writes and every number, plot and report reads.

Legend: N faces, C classes, T steps.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST = 1e-38
"""Probability below which a logarithm is not taken."""


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


def scaled(probabilities: NDArray[np.floating], temperature: float) -> Floats:
    """Return probabilities (N, C) of logits divided by a temperature; 1 changes no bit.

    The logits are those of the answer, up to a constant that softmax ignores: the logarithm of its
    probabilities. The order of the classes, and so the answer, stays the same.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if temperature == 1:
        return given
    logits = np.log(np.maximum(given, SMALLEST)) / temperature
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def rescaled(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions whose probabilities are scaled; 1 returns them as they are."""
    if temperature == 1:
        return predictions
    probabilities = scaled(predictions.probabilities, temperature)
    return replace(predictions, probabilities=probabilities, loss=None)
