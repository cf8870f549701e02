"""The layer that a map is read from: found among the stages, watched at every call.

Legend: B faces, D features, h x w the layer's grid, T calls of the layer.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn

from adafer.contracts import Model
from adafer.errors import WordsError

FINE = 16
"""Positions from which a grid can show where something is, 4 by 4."""


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the part of this dotted name, or of a stage; raises WordsError with near names."""
    parts = dict(model.named_modules())
    stages = dict(cast(Model, model).stages())
    if name in stages or name in parts:
        return stages.get(name) or parts[name]
    near = get_close_matches(name, [*stages, *parts], 3, 0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"its stages are {', '.join(stages)}"
    raise WordsError(f"the model has no layer {name!r}; {hint}")


def usual_layer(model: nn.Module, images: Tensor) -> str:
    """Name the deepest stage with a grid of positions that the answer depends on.

    Small faces leave deep stages 2 by 2 positions, which show nothing: a stage of at least FINE
    positions is taken where there is one.

    The last block of a vision transformer speaks to the answer through its class token alone, so
    that the block before it is the one that can be read.

    Raises:
        WordsError: no stage has such a grid.
    """
    named = cast(Model, model).stages()[:-1]
    with watched(dict(named)) as calls:
        logits = model(with_gradient(images[:2])).logits
        seen = {name: outputs[-1] for name, outputs in calls.items() if outputs}
    score = logits.gather(1, logits.argmax(1)[:, None]).sum()
    usable: list[str] = []
    for name, _ in reversed(named):
        if name not in seen or on_grid(model, seen[name]) is None:
            continue
        (gradient,) = torch.autograd.grad(score, seen[name], retain_graph=True, allow_unused=True)
        grid = None if gradient is None else on_grid(model, gradient)
        if grid is not None and bool(grid.any()):
            usable.append(name)
            if grid.shape[2] * grid.shape[3] >= FINE:
                return name
    if usable:
        return usable[0]
    raise WordsError(
        "no stage of this model has a grid of positions to read; name one with --layer, or choose "
        "--method occlusion"
    )


@contextmanager
def watched(layers: dict[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what each layer gives at every call; the hooks are gone afterwards."""
    calls: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            if not isinstance(output, Tensor):
                return None
            calls[name].append(output)
            return output.clone()  # what follows may work in place

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def on_grid(model: nn.Module, values: Tensor) -> Tensor | None:
    """Return activations as (B, D, h, w) of more than one position, or None if they have no grid.

    Class and register tokens are left out; channels may come last, as the backbone says.
    """
    backbone = getattr(model, "backbone", model)
    if values.ndim == 4:
        layout = getattr(backbone, "output_fmt", "NCHW")
        grid = values.movedim(3, 1) if getattr(layout, "value", layout) == "NHWC" else values
    elif values.ndim == 3:
        tokens = values[:, int(getattr(backbone, "num_prefix_tokens", 0)) :]  # (B, h * w, D)
        side = math.isqrt(tokens.shape[1])
        if side * side != tokens.shape[1]:
            return None
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    else:
        return None
    return grid if grid.shape[2] * grid.shape[3] > 1 else None


def with_gradient(images: Tensor) -> Tensor:
    """Return a copy that gradients flow from, so that frozen layers can be read as well."""
    return images.clone().requires_grad_(True)
