"""Our best recursive model: a trajectory that profits from depth, left when it is sure."""

from dataclasses import replace

from adafer.recipes.act_graves import ACT_GRAVES
from adafer.settings.loss import PonderLossSettings
from adafer.settings.model import RecursiveSettings

ADAFER = replace(
    ACT_GRAVES,
    name="adafer",
    summary="recursive network, deeply supervised, stops when confident",
    model=RecursiveSettings(halting="confidence", max_steps=5, channels=96, stem_channels=48),
    loss=PonderLossSettings(ponder_lambda=0.0, deep_supervision=1.0),
)
"""Every step is trained to answer; a face stops at the first step that is sure enough."""
