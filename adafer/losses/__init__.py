"""The losses: name to its settings class and its loss class."""

from adafer.losses.classification import CrossEntropy
from adafer.losses.ponder import DifferentiablePonderLoss, PonderNetLoss
from adafer.settings.loss import (
    CrossEntropySettings,
    PonderLossSettings,
    PonderNetLossSettings,
)

LOSSES: dict[str, tuple[type, type]] = {
    "cross-entropy": (CrossEntropySettings, CrossEntropy),
    "ponder": (PonderLossSettings, DifferentiablePonderLoss),
    "pondernet": (PonderNetLossSettings, PonderNetLoss),
}
