"""Temperature scaling: one number that makes probabilities mean what they say.

Legend: N faces, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.model_selection import StratifiedKFold

from adafer.errors import DataError
from adafer.predictions import SMALLEST, scaled

Floats = NDArray[np.float64]

LOWEST, HIGHEST = 0.05, 20.0
"""Range of the temperature; its ends mean that the faces do not say where it lies."""
FEWEST = 20
"""Faces from which a temperature is worth fitting."""
FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A fitted temperature; above 1 it takes confidence away."""

    value: float
    at_bound: bool  # the faces ask for more than the range holds


def fit_temperature(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> Temperature:
    """Return the temperature of smallest negative log-likelihood on these faces.

    Guo et al. 2017, arXiv:1706.04599, section 4.2.

    Raises:
        DataError: too few faces.
    """
    if len(labels) < FEWEST:
        raise DataError(
            f"{len(labels)} validation faces are too few to fit a temperature; give {FEWEST} or "
            "more"
        )
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        logits = logs / np.exp(log_temperature)
        top = logits.max(1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
        return float((total - logits[rows, labels]).mean())

    low, high = np.log(LOWEST), np.log(HIGHEST)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    value = float(np.exp(found.x))
    return Temperature(value=value, at_bound=min(found.x - low, high - found.x) < 1e-3)


def cross_fitted(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], seed: int = 0
) -> Floats:
    """Return probabilities, each scaled by a temperature that its face had no part in.

    What they score is an honest estimate where the same faces have to serve for fitting.
    """
    result = np.empty(np.shape(probabilities), dtype=np.float64)
    fewest = int(np.bincount(labels)[np.unique(labels)].min())
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    # A class with fewer faces than folds cannot be spread over them; then chance spreads all.
    kinds = labels if fewest >= FOLDS else np.zeros(len(labels), dtype=np.int64)
    for rest, here in folds.split(np.zeros(len(labels)), kinds):
        temperature = fit_temperature(probabilities[rest], labels[rest])
        result[here] = scaled(probabilities[here], temperature.value)
    return result
