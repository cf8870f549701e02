"""Methods that treat the model as a function of its pixels: Shapley values, LIME, occlusion.

The libraries are the extra `explain`. Legend: N faces, M background faces, C classes.
"""

import copy
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adafer.errors import MachineError, WordsError
from adafer.explain.regions import grid

CELLS = 8
"""Cells along each side that LIME switches on and off."""
ADDITIVE = 0.05
"""Largest gap, as a share of what is explained, between Shapley values and the answer."""


class Score(nn.Module):
    """The logit of one class (N, 1), as libraries want a model."""

    def __init__(self, model: nn.Module, target: int) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, images: Tensor) -> Tensor:
        """Logit of the class for faces (N, 3, H, W)."""
        logits: Tensor = self.model(images).logits
        return logits[:, self.target : self.target + 1]


def shap_values(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    background: Tensor | None = None,
    seed: int = 0,
    samples: int = 0,
    **_: object,
) -> tuple[Tensor, str]:
    """Shapley values of the pixels for the logit of the class, summed over channels.

    Lundberg and Lee 2017, arXiv:1705.07874. DeepExplainer where its values add up to the answer;
    it cannot see a block that is called more than once, so there, and wherever they do not add up,
    GradientExplainer (expected gradients) takes over.

    Raises:
        WordsError: without background faces.
    """
    shap = _library("shap")
    if background is None or not len(background):
        raise WordsError("Shapley values need background faces; give some of the training faces")
    shared = hasattr(model, "step")
    found, used = [], set()
    for image, target in zip(images, targets.tolist(), strict=True):
        values = None if shared else _deep(shap, model, image[None], target, background)
        used.add("DeepExplainer" if values is not None else "GradientExplainer")
        if values is None:
            values = _expected_gradients(
                shap, model, image[None], target, background, samples or 200, seed
            )
        found.append(values.sum(0))
    return torch.from_numpy(np.stack(found))[None], " and ".join(sorted(used))


def _deep(
    shap: Any, model: nn.Module, image: Tensor, target: int, background: Tensor
) -> NDArray[np.float64] | None:
    """Values (3, H, W), or None where they do not add up to the answer."""
    score = Score(_without_in_place(model), target).eval()
    try:
        with _without_warnings():
            explainer = shap.DeepExplainer(score, background)
            given = explainer.shap_values(image, check_additivity=False)
    except (RuntimeError, AssertionError, AttributeError, TypeError, KeyError, IndexError):
        return None  # a layer that the library cannot take apart
    values = _as_pixels(given, image)
    with torch.no_grad():
        explained = float(score(image) - score(background).mean())
    gap = abs(float(values.sum()) - explained)
    return values if gap <= ADDITIVE * max(abs(explained), 0.1) else None


def _expected_gradients(
    shap: Any,
    model: nn.Module,
    image: Tensor,
    target: int,
    background: Tensor,
    samples: int,
    seed: int,
) -> NDArray[np.float64]:
    score = Score(model, target).eval()
    with _without_warnings():
        explainer = shap.GradientExplainer(score, background)
        given = explainer.shap_values(image, nsamples=samples, rseed=seed)
    return _as_pixels(given, image)


def _as_pixels(given: Any, image: Tensor) -> NDArray[np.float64]:
    """Values (3, H, W) of the one face, from a list, or with an axis for the one output."""
    values = np.asarray(given[0] if isinstance(given, list) else given, dtype=np.float64)
    return values.reshape(image.shape[1:])


def lime_weights(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    samples: int = 0,
    **_: object,
) -> tuple[Tensor, str]:
    """Weight of each grid cell in a linear model of the logit around the face.

    Ribeiro et al. 2016, arXiv:1602.04938, ridge regression under a cosine kernel. Differs: the
    logit, as a probability near 1 hides what it rests on; cells of a fixed grid, not superpixels,
    which find no edges in small aligned faces. A cell that is off shows the mean grey of the data.
    """
    captum = _library("captum.attr")
    ridge = _library("captum._utils.models.linear_model").SkLearnRidge
    height, width = images.shape[2:]
    cells = torch.from_numpy(grid(height, width, CELLS)).to(images.device)
    found = []
    for image, target in zip(images, targets.tolist(), strict=True):
        surrogate = captum.Lime(Score(model, target), interpretable_model=ridge(alpha=1.0))
        with torch.random.fork_rng(devices=[]), _without_warnings():
            torch.manual_seed(seed)
            given = surrogate.attribute(
                image[None],
                baselines=0,
                feature_mask=cells[None, None].expand(1, 3, -1, -1),
                n_samples=samples or 500,
                perturbations_per_eval=64,
                return_input_shape=True,
            )
        found.append(given[0].mean(0))
    return torch.stack(found)[None], ""


def occlusion(model: nn.Module, images: Tensor, targets: Tensor, **_: object) -> tuple[Tensor, str]:
    """Fall of the logit when a patch of a sixth of the side turns grey, moved by half of it.

    Zeiler and Fergus 2014, arXiv:1311.2901. Differs: the logit, as in `lime_weights`.
    """
    captum = _library("captum.attr")
    side = max(2, round(images.shape[-1] / 6))
    stride = max(1, side // 2)
    found = []
    with torch.no_grad():
        for image, target in zip(images, targets.tolist(), strict=True):
            attribution = captum.Occlusion(Score(model, target)).attribute(
                image[None],
                sliding_window_shapes=(3, side, side),
                strides=(3, stride, stride),
                baselines=0,
                perturbations_per_eval=32,
            )
            found.append(attribution[0].mean(0))
    return torch.stack(found)[None], ""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hold back what the libraries say of each other's versions, and of odd layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_in_place(model: nn.Module) -> nn.Module:
    """Return a copy whose layers leave their inputs alone, as the hooks of the library need."""
    copied = copy.deepcopy(model)
    for part in copied.modules():
        if getattr(part, "inplace", False):
            setattr(part, "inplace", False)  # noqa: B010  a plain attribute, no tensor
    return copied


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise MachineError(
            f"{package} is not installed; pip install 'adafer[explain]', or choose --method gradcam"
        ) from None
