"""Grad-CAM, Grad-CAM++ and HiResCAM, at every call of a layer: each step of a loop is explained.

Libraries that keep one activation a layer explain the first pass of a shared block and say nothing
of the others. Legend: S steps, N faces, C classes, D features, h x w the layer's grid.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.contracts import StepOutput
from adafer.errors import WordsError
from adafer.explain.layers import find_layer, on_grid, usual_layer, watched, with_gradient

Weights = Callable[[Tensor, Tensor], Tensor]
"""Weights (N, D, 1, 1), or (N, D, h, w), from activations and gradients (N, D, h, w)."""


def gradcam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str = "", **_: object
) -> tuple[Tensor, str]:
    """Positive part of the activations, weighted by their mean gradient.

    Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2. Differs: one map a step where the model takes
    steps: activations of call t under the gradient of the logit after step t.
    """
    return _explained(model, images, targets, layer, mean_gradient)


def gradcam_plus(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str = "", **_: object
) -> tuple[Tensor, str]:
    """Grad-CAM++, whose weights count each position of several instances alike.

    Chattopadhay et al. 2018, arXiv:1710.11063, eq. 10 and 19 for exp(logit); its scale, the same at
    every position of a face, is left out.
    """
    return _explained(model, images, targets, layer, pixel_wise)


def hirescam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str = "", **_: object
) -> tuple[Tensor, str]:
    """Positive part of activations times gradients, position by position.

    Draelos and Carin 2020, arXiv:2011.08891, eq. 2. Exact where a linear layer reads the grid, as
    in the recursive models and TinyVGG: there the mean gradient of Grad-CAM forgets the cell.
    """
    return _explained(model, images, targets, layer, own_gradient)


def own_gradient(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weights of HiResCAM (N, D, h, w)."""
    return gradients


def mean_gradient(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weights of Grad-CAM (N, D, 1, 1)."""
    return gradients.mean((2, 3), keepdim=True)


def pixel_wise(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weights of Grad-CAM++ (N, D, 1, 1)."""
    squared = gradients.square()
    spread = (activations * gradients**3).sum((2, 3), keepdim=True)
    share = squared / (2 * squared + spread).where(squared > 0, squared.new_ones(()))
    return (share * gradients.relu()).sum((2, 3), keepdim=True)


def _explained(
    model: nn.Module, images: Tensor, targets: Tensor, layer: str, weights: Weights
) -> tuple[Tensor, str]:
    name = layer or usual_layer(model, images)
    watched_layer = find_layer(model, name)
    set_full_depth(model)
    with watched({name: watched_layer}) as calls:
        output = model(with_gradient(images))
    activations = calls[name]
    if not activations or on_grid(model, activations[0]) is None:
        raise WordsError(
            f"the layer {name!r} gives no grid of positions; leave --layer out to have one chosen"
        )
    maps = [
        _map(model, activation, logits.gather(1, targets[:, None]).sum(), weights)
        for activation, logits in _paired(activations, output)
    ]
    size = images.shape[2:]
    return functional.interpolate(torch.stack(maps), size=size, mode="bilinear"), name


def set_full_depth(model: Any) -> None:
    """Take every step, also those that a face does not need, where a model takes steps."""
    if hasattr(model, "full_depth"):
        model.full_depth = True


def _paired(activations: list[Tensor], output: object) -> list[tuple[Tensor, Tensor]]:
    """Each call of the layer with the logits (N, C) that it led to."""
    if isinstance(output, StepOutput) and len(activations) == len(output.step_logits) > 1:
        return list(zip(activations, output.step_logits, strict=True))
    return [(activations[-1], output.logits)]  # type: ignore[attr-defined]


def _map(model: nn.Module, activation: Tensor, score: Tensor, weights: Weights) -> Tensor:
    """Map (N, h, w) of one call."""
    (gradient,) = torch.autograd.grad(score, activation, retain_graph=True, allow_unused=True)
    values = on_grid(model, activation)
    slopes = on_grid(model, torch.zeros_like(activation) if gradient is None else gradient)
    assert values is not None
    assert slopes is not None
    return (weights(values, slopes) * values).sum(1).relu().detach()
