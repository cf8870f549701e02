"""One way to ask for a map over faces, whatever the method.

Legend: S thinking steps that are explained one by one (1 where there is one map for the answer),
N faces, C classes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adafer.errors import WordsError
from adafer.explain import attention, attributions, gradcam


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What speaks for a class, pixel by pixel."""

    method: str
    values: NDArray[np.float32]  # (S, N, H, W); larger speaks more for the class
    layer: str  # that was read; "" where none is
    signed: bool  # below 0 speaks against the class; else nothing is below 0


class Method(Protocol):
    """A way to explain; it returns maps (S, N, H, W) and the layer that it read."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        layer: str,
        background: Tensor | None,
        seed: int,
        samples: int,
    ) -> tuple[Tensor, str]:
        """Explain the class `targets` (N,) for faces (N, 3, H, W)."""
        ...


METHODS: dict[str, tuple[Method, bool, str]] = {
    "gradcam": (gradcam.gradcam, False, "Grad-CAM, per step where a model takes steps"),
    "gradcam++": (gradcam.gradcam_plus, False, "Grad-CAM++, per step where a model takes steps"),
    "hirescam": (gradcam.hirescam, False, "HiResCAM, exact for a classifier that reads a grid"),
    "attention": (attention.rollout, False, "attention rollout of a vision transformer"),
    "shap": (attributions.shap_values, True, "Shapley values against a background of faces"),
    "lime": (attributions.lime_weights, True, "LIME, a linear surrogate over grid cells"),
    "occlusion": (attributions.occlusion, True, "fall of the logit under a grey patch"),
}
"""Method, whether its maps are signed, and what it is."""


def explain(
    method: str,
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str = "",
    background: Tensor | None = None,
    seed: int = 0,
    samples: int = 0,
) -> Maps:
    """Explain the classes `targets` (N,) for normalised faces (N, 3, H, W).

    `background` holds faces (M, 3, H, W) that Shapley values are taken against, `samples` how many
    evaluations a sampling method makes (0 its own number). The model is left as it was found.

    Raises:
        WordsError: an unknown method or layer, or a method that the model does not suit.
        MachineError: a library of the extra `explain` is missing.
    """
    if method not in METHODS:
        near = get_close_matches(method, METHODS, 1, 0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(METHODS)}"
        raise WordsError(f"no method {method!r}; {hint}")
    run, signed, _ = METHODS[method]
    with as_found(model):
        values, read = run(
            model, images.detach(), targets, layer=layer, background=background,
            seed=seed, samples=samples,
        )  # fmt: skip
    array = values.detach().float().cpu().numpy()
    return Maps(method=method, values=np.nan_to_num(array), layer=read, signed=signed)


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation, and back as it was: modes, gradients, depth."""
    modes = [(part, part.training) for part in model.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    depth: Any = getattr(model, "full_depth", None)
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
        for parameter, wanted in learning:
            parameter.requires_grad_(wanted)
        if depth is not None:
            model.full_depth = depth
