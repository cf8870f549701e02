"""The models: name to its settings class and its module class."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from adafer.image import DEFAULT_MEAN, DEFAULT_STD, Preprocessing
from adafer.models import pretrained
from adafer.models.grefel import GrefelNet
from adafer.models.recursive import RecursiveFER
from adafer.models.tiny_vgg import TinyVGG
from adafer.models.transfer import TransferNet, input_needs
from adafer.settings.model import (
    GrefelSettings,
    RecursiveSettings,
    TinyVGGSettings,
    TransferSettings,
)

MODELS: dict[str, tuple[type, type[nn.Module]]] = {
    "recursive": (RecursiveSettings, RecursiveFER),
    "tinyvgg": (TinyVGGSettings, TinyVGG),
    "transfer": (TransferSettings, TransferNet),
    "grefel": (GrefelSettings, GrefelNet),
}


def build(settings: Any, classes: int, img_size: int) -> nn.Module:
    """Return the model of these settings with random weights, for faces of this side in pixels."""
    module = next(module for kind, module in MODELS.values() if type(settings) is kind)
    if getattr(module, "sized", False):
        return module(settings, classes, img_size)
    return module(settings, classes)


def fill_published(model: nn.Module, settings: Any) -> Mapping[str, Any]:
    """Fill a model with the published weights that its settings ask for, and say what with.

    Raises:
        AdaferError: of the kind that `pretrained.load` names; never a silent random start.
    """
    if isinstance(model, TransferNet | GrefelNet) and settings.pretrained:
        return pretrained.load(model, settings)
    return {}


def preprocessing_for(settings: Any, img_size: int, grey: bool, crop: float) -> Preprocessing:
    """Return how faces reach this model; 0 pixels asks for the backbone's own size."""
    if not isinstance(settings, TransferSettings | GrefelSettings):
        return Preprocessing(img_size, grey, DEFAULT_MEAN, DEFAULT_STD, crop)
    needs = input_needs(settings)
    return Preprocessing(img_size or needs.size, grey, needs.mean, needs.std, crop)
