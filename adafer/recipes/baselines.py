"""Baselines that any adaptive model has to beat."""

from adafer.recipe import Recipe
from adafer.settings.data import DataSettings
from adafer.settings.loss import CrossEntropySettings
from adafer.settings.model import TinyVGGSettings, TransferSettings
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
"""The from-scratch floor: Adam at 1e-3 (AdamW without decay), batches of 16."""

RESNET18 = Recipe(
    name="resnet18",
    summary="ResNet-18 with ImageNet weights; whole, --stages head, or --stages layer4,head",
    data=DataSettings(batch_size=16, augment="light", img_size=224, grey=False),
    model=TransferSettings(backbone="resnet18.tv_in1k", dropout=0.0),
    loss=CrossEntropySettings(),
    phases=(PhaseSettings(epochs=15, lr=1e-4, weight_decay=1e-4, warmup=0.05),),
    train=TrainSettings(ema=0.0, monitor="val_loss"),
)
"""The small pretrained baseline, with torchvision's weights; best epoch by validation loss."""
