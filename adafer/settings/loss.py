"""Settings of the losses; the loss classes add `__call__` to these fields."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CrossEntropySettings:
    """Cross-entropy on labels, or on the share of votes where a face has them."""

    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over the classes."""
    soft_targets: bool = True
    """Learn the share of votes rather than the label, where the data set has votes."""


@dataclass(frozen=True, kw_only=True)
class FocalSettings(CrossEntropySettings):
    """Focal loss: cross-entropy in which faces that are already right count less."""

    gamma: float = 2.0
    """Power of 1 - p by which a face's loss is multiplied; 0 is plain cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class LDAMSettings(CrossEntropySettings):
    """Label-distribution-aware margins: rare classes have to win by more."""

    ldam_margin: float = 0.5
    """Margin of the rarest class; the others' shrink with the fourth root of their faces."""
    ldam_scale: float = 30.0
    """Scale of the logits: the margins are multiplied by it."""
    drw: float = 1.0
    """Deferred re-weighting: share of training after which rare classes count more; 1 never, 0.8
    as published."""
    drw_beta: float = 0.9999
    """Overlap of faces (beta) in the effective number of each class, by which it then counts."""


@dataclass(frozen=True, kw_only=True)
class LogitAdjustmentSettings(CrossEntropySettings):
    """Logit adjustment: the class frequencies are learned around, not into, the logits."""

    tau: float = 1.0
    """Factor on the logarithm of the class frequencies that training adds to the logits."""


@dataclass(frozen=True, kw_only=True)
class DistillationSettings(CrossEntropySettings):
    """Distillation: learn the answers of a larger, trained model beside the labels."""

    teacher: str = ""
    """Run, or file of its weights, of the trained model whose answers are learned."""
    alpha: float = 0.9
    """Weight of the teacher's answers; the labels weigh 1 minus this."""
    temperature: float = 4.0
    """Both models' logits are divided by this before they are compared."""


@dataclass(frozen=True, kw_only=True)
class PonderLossSettings(CrossEntropySettings):
    """Cross-entropy + ponder cost, and optionally cross-entropy at every step."""

    ponder_lambda: float = 0.01
    """Weight of the ponder cost (Graves' tau)."""
    ponder_cost: Literal["steps+remainder", "remainder", "expected"] = "steps+remainder"
    """What thinking costs: Graves' N + R, the remainder alone, or the expected steps."""
    ponder_warmup: float = 0.3
    """Share of training over which the weight of the ponder cost rises from 0."""
    ponder_class_weights: tuple[float, ...] = ()
    """Factor on the ponder cost per true class, in the order of the classes; empty is 1 each."""
    deep_supervision: float = 0.0
    """Weight of the mean cross-entropy over the steps that were run."""


@dataclass(frozen=True, kw_only=True)
class PonderNetLossSettings(CrossEntropySettings):
    """PonderNet: cross-entropy expected over the steps + divergence from a prior."""

    prior_lambda: float = 0.2
    """Parameter of the geometric prior; its mean, 1 / this, sets the mean number of steps."""
    prior_beta: float = 0.01
    """Weight of the divergence from that prior."""


@dataclass(frozen=True, kw_only=True)
class GrefelLossSettings(CrossEntropySettings):
    """GReFEL: cross-entropy on the corrected answer, anchors pushed apart, faces pulled to them."""

    anchor_weight: float = 1.0
    """Weight of the anchor loss: anchors of different classes push each other away."""
    center_weight: float = 1.0
    """Weight of the center loss: a sure face is pulled to the nearest anchor of its class."""
    center_warmup: float = 0.0
    """Share of training over which both weights rise from 0."""


LossSettings = (
    CrossEntropySettings
    | FocalSettings
    | LDAMSettings
    | LogitAdjustmentSettings
    | DistillationSettings
    | PonderLossSettings
    | PonderNetLossSettings
    | GrefelLossSettings
)

LOSS_SETTINGS: dict[str, type[LossSettings]] = {
    "cross-entropy": CrossEntropySettings,
    "focal": FocalSettings,
    "ldam": LDAMSettings,
    "logit-adjustment": LogitAdjustmentSettings,
    "distillation": DistillationSettings,
    "ponder": PonderLossSettings,
    "pondernet": PonderNetLossSettings,
    "grefel": GrefelLossSettings,
}
"""Loss name to its settings."""
