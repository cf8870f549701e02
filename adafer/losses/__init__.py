"""The losses: name to its settings class and its loss class."""

from adafer.losses.classification import CrossEntropy
from adafer.losses.distillation import DistillationLoss
from adafer.losses.focal import FocalLoss
from adafer.losses.grefel import GrefelLoss
from adafer.losses.ldam import LDAMLoss, LogitAdjustedLoss
from adafer.losses.ponder import DifferentiablePonderLoss, PonderNetLoss
from adafer.settings.loss import (
    CrossEntropySettings,
    DistillationSettings,
    FocalSettings,
    GrefelLossSettings,
    LDAMSettings,
    LogitAdjustmentSettings,
    PonderLossSettings,
    PonderNetLossSettings,
)

LOSSES: dict[str, tuple[type, type]] = {
    "cross-entropy": (CrossEntropySettings, CrossEntropy),
    "focal": (FocalSettings, FocalLoss),
    "ldam": (LDAMSettings, LDAMLoss),
    "logit-adjustment": (LogitAdjustmentSettings, LogitAdjustedLoss),
    "distillation": (DistillationSettings, DistillationLoss),
    "ponder": (PonderLossSettings, DifferentiablePonderLoss),
    "pondernet": (PonderNetLossSettings, PonderNetLoss),
    "grefel": (GrefelLossSettings, GrefelLoss),
}
