"""Recursive network with Graves' differentiable adaptive computation time."""

from adafer.recipe import Recipe
from adafer.settings.data import DataSettings
from adafer.settings.loss import PonderLossSettings
from adafer.settings.model import RecursiveSettings
from adafer.settings.training import PhaseSettings

ACT_GRAVES = Recipe(
    name="act-graves",
    summary="recursive network, Graves' differentiable ACT (mixture of step outputs)",
    data=DataSettings(batch_size=64),
    model=RecursiveSettings(halting="graves", halt_bias=1.0),
    loss=PonderLossSettings(ponder_lambda=0.01, ponder_warmup=0.05, deep_supervision=0.5),
    phases=(PhaseSettings(epochs=12, lr=2e-3),),
)
"""Differentiable adaptive computation: halting bias +1, T = 10, AdamW with a cosine schedule.

With bias +1 every face takes two steps at first; the classification loss then moves the unit.
Epochs and batch suit the drawn faces; real data sets want more epochs.
"""
