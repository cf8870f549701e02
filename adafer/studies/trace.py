"""Ask a model about every face at every step, and keep what it said.

Legend: B images in a batch, N faces, T steps, C classes, D channels.
"""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adafer.contracts import StepModel
from adafer.data.dataset import FaceDataset
from adafer.data.duplicates import grey
from adafer.data.loader import Loader
from adafer.errors import WordsError
from adafer.evaluation import measure
from adafer.recipe import Recipe
from adafer.trajectory import Mixing, Trajectory

BEYOND = 2
"""How many times the steps of training a trajectory goes on for."""


def trace(
    model: nn.Module,
    dataset: FaceDataset,
    recipe: Recipe,
    device: torch.device,
    *,
    beyond: int = BEYOND,
) -> Trajectory:
    """Run all steps, `beyond` times as many as in training, for every face of a data set.

    Raises:
        WordsError: if the model takes no steps.
    """
    if not isinstance(model, StepModel):
        raise WordsError("this model takes no steps; choose a run of a recursive recipe")
    trained = model.max_steps
    predictions = measure(model, dataset, recipe, device, every_step=True)
    kept: tuple[list[NDArray[np.float32]], ...] = ([], [], [])
    with torch.inference_mode():
        model.eval()
        for batch in Loader(dataset, recipe.data, seed=0, train=False)(0):
            parts = _all_steps(model, batch.images.to(device), trained * beyond)
            for column, part in zip(kept, parts, strict=True):
                column.append(part.float().cpu().numpy())
    logits, scores, features = (np.concatenate(column) for column in kept)
    sharpness, brightness = picture_quality(dataset)
    return Trajectory(
        predictions=predictions,
        logits=logits,
        halting=scores,
        features=features,
        mixing=_mixing(model),
        trained_steps=trained,
        sharpness=sharpness,
        brightness=brightness,
    )


def picture_quality(dataset: FaceDataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sharpness (variance of the Laplacian) and brightness (mean, 0 to 255) of each face, (N,)."""
    sharpness, brightness = np.empty(len(dataset)), np.empty(len(dataset))
    for index, face in enumerate(dataset.pixels):
        plain = grey(face)
        sharpness[index] = cv2.Laplacian(np.ascontiguousarray(plain), cv2.CV_64F).var()
        brightness[index] = plain.mean()
    return sharpness, brightness


def _all_steps(model: Any, images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, count, C), scores (B, count), features after step 1 (B, D)."""
    memory = model.begin(images)
    logits, scores, features = [], [], images.new_empty(0)
    for number in range(count):
        memory = model.step(memory)
        found, score = model.read(memory)
        logits.append(found)
        scores.append(score)
        if number == 0:
            features = memory.state.mean((2, 3))
    return torch.stack(logits, 1), torch.stack(scores, 1), features


def _mixing(model: Any) -> Mixing:
    """Who answers, under this model's halting rule."""
    settings = model.settings
    if settings.halting != "graves":
        return "one"
    return "multiplicative" if settings.remainder == "multiplicative" else "additive"
