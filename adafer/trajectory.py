"""What a model that thinks in steps said of every face at every step; the analysis reads only this.

Legend: N faces, T steps, C classes, D features.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adafer.predictions import Predictions

Floats = NDArray[np.float64]
Mixing = Literal["one", "additive", "multiplicative"]
"""Who answers: the last step taken alone, or the mixture with Graves' (or the product's) rest."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """All steps of one model on one split, whether or not it would have halted before.

    `predictions` holds what the model answers by its own halting within `trained_steps`. There
    may be more steps here than the model was trained for, to see what thinking on does.
    """

    predictions: Predictions
    logits: NDArray[np.float32]  # (N, T, C) of each step alone
    halting: NDArray[np.float32]  # (N, T) the score that the halting rule reads
    features: NDArray[np.float32]  # (N, D) the state after step 1, averaged over its map
    mixing: Mixing
    trained_steps: int  # T in training; logits may hold more
    sharpness: Floats | None = None  # (N,) variance of the Laplacian of the grey face
    brightness: Floats | None = None  # (N,) mean grey level, 0 to 255

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def probabilities(self) -> Floats:
        """Class probabilities of each step alone, (N, T, C)."""
        return softmax(self.logits.astype(np.float64))

    def stopped(self) -> Floats:
        """Probabilities (N, T, C) of the answer if a face were stopped after each step.

        A mixture gives the stopping step what the steps before it have left (Graves 2016,
        arXiv:1603.08983, eq. 6-7); otherwise it is that step's own answer.
        """
        if self.mixing == "one":
            return self.probabilities
        logits, scores = self.logits.astype(np.float64), self.halting.astype(np.float64)
        if self.mixing == "additive":
            before = np.cumsum(scores, 1) - scores  # (N, T) sum of the steps before
            shares, left = scores, 1 - before
        else:
            survived = np.cumprod(1 - scores, 1)  # (N, T)
            left = np.concatenate([np.ones_like(survived[:, :1]), survived[:, :-1]], 1)
            shares = scores * left
        mixed = np.cumsum(shares[..., None] * logits, 1) - shares[..., None] * logits
        return softmax(mixed + left[..., None] * logits)


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))
