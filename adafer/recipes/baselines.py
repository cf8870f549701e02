"""Baselines that any adaptive model has to beat."""

from adafer.recipe import Recipe
from adafer.settings.data import DataSettings
from adafer.settings.loss import CrossEntropySettings
from adafer.settings.model import TinyVGGSettings
from adafer.settings.training import PhaseSettings, TrainSettings

TINYVGG = Recipe(
    name="tinyvgg",
    summary="TinyVGG baseline, two blocks of two convolutions",
    data=DataSettings(batch_size=16, augment="light"),
    model=TinyVGGSettings(),
    loss=CrossEntropySettings(),
    phases=(PhaseSettings(epochs=15, lr=1e-3, weight_decay=0.0),),
    train=TrainSettings(ema=0.0),
)
"""The from-scratch floor: Adam at 1e-3, batches of 16."""
