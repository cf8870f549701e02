"""GReFEL: geometry-aware attention and reliability balancing."""

from adafer.recipe import Recipe
from adafer.settings.data import DataSettings
from adafer.settings.loss import GrefelLossSettings
from adafer.settings.model import GrefelSettings
from adafer.settings.training import PhaseSettings, TrainSettings

GREFEL = Recipe(
    name="grefel",
    summary="GReFEL: ViT, attention from landmarks, answers balanced by anchors",
    data=DataSettings(
        batch_size=32,
        workers=4,
        img_size=224,
        grey=False,
        augment="strong",
        balance="weights",
        leaks="drop",
    ),
    model=GrefelSettings(),
    loss=GrefelLossSettings(),
    phases=(PhaseSettings(epochs=50, lr=1e-4, weight_decay=1e-2),),
    train=TrainSettings(ema=0.999),
    runs="outputs",
)
"""Wasi, Rafi, Islam, Serbetar and Chae 2024, arXiv:2410.15927, written anew.

Batches of 32, 50 epochs of AdamW at 1e-4 with weight decay 1e-2, 10 anchors a class. FER+'s own
CSVs share 231 faces of validation with train, which are left out. The backbone wants published
weights; for 48-pixel faces from random start use a small one: `--no-pretrained --backbone test_vit
--stem conv --patch-size 8 --img-size 48 --batch-size 128 --lr 1e-3`.
"""
