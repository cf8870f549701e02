"""The models: name to its settings class and its module class."""

from torch import nn

from adafer.models.recursive import RecursiveFER
from adafer.models.tiny_vgg import TinyVGG
from adafer.settings.model import RecursiveSettings, TinyVGGSettings

MODELS: dict[str, tuple[type, type[nn.Module]]] = {
    "recursive": (RecursiveSettings, RecursiveFER),
    "tinyvgg": (TinyVGGSettings, TinyVGG),
}
