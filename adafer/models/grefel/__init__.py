"""GReFEL: a ViT, attention from landmarks, and probabilities balanced by anchors."""

from adafer.models.grefel.model import GrefelNet, GrefelOutput

__all__ = ["GrefelNet", "GrefelOutput"]
