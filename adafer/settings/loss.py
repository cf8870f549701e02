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


LossSettings = CrossEntropySettings | PonderLossSettings | PonderNetLossSettings

LOSS_SETTINGS: dict[str, type[LossSettings]] = {
    "cross-entropy": CrossEntropySettings,
    "ponder": PonderLossSettings,
    "pondernet": PonderNetLossSettings,
}
"""Loss name to its settings."""
