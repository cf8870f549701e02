"""What is done to a batch on the device before the model sees it: mixing, then a teacher's answers.

Legend: B images in a batch, C classes, S side of a face in pixels.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.bundle import Bundle, load_bundle
from adafer.contracts import Batch
from adafer.engine.batches import answer, wants_landmarks
from adafer.engine.cutmix import CutMix
from adafer.engine.mixup import MixUp
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing
from adafer.recipe import Recipe
from adafer.settings.loss import DistillationSettings
from adafer.settings.training import TrainSettings

Prepare = Callable[[Batch], Batch]

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R 601), as the decoder has them."""


def preparation(recipe: Recipe, teacher: "Teacher | None") -> Prepare | None:
    """Return what a recipe does to each batch, in order: MixUp or CutMix, then the teacher.

    The teacher therefore answers for the very faces that the model sees, blended ones too.
    """
    steps = [step for step in (mixing(recipe.train), teacher) if step is not None]
    if not steps:
        return None

    def prepare(batch: Batch) -> Batch:
        for step in steps:
            batch = step(batch)
        return batch

    return prepare


def mixing(train: TrainSettings) -> Prepare | None:
    """Return MixUp, CutMix or a draw between them for each batch; None where both are off."""
    ways: list[Prepare] = []
    if train.mixup:
        ways.append(MixUp(alpha=train.mixup))
    if train.cutmix:
        ways.append(CutMix(alpha=train.cutmix))
    if not ways or not train.mix_probability:
        return None
    if len(ways) == 1 and train.mix_probability == 1:
        return ways[0]
    return _Mixing(ways=tuple(ways), probability=train.mix_probability)


@dataclass(frozen=True, kw_only=True)
class _Mixing:
    """One of several ways, each as likely, for that share of the batches."""

    ways: tuple[Prepare, ...]
    probability: float

    def __call__(self, batch: Batch) -> Batch:
        # The CPU's generator, which is seeded for every batch as well: no wait for the device.
        drawn = float(torch.rand(()))
        if drawn >= self.probability:
            return batch
        return self.ways[int(drawn / self.probability * len(self.ways))](batch)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained model that puts its logits into each batch; made by `open_teacher`."""

    model: nn.Module  # in evaluation mode, on the training's device
    preprocessing: Preprocessing  # its own
    seen: Preprocessing  # of the batches that it is shown
    order: tuple[int, ...]  # place of each of the student's classes among its own
    path: Path
    sha256: str  # of its weights

    def facts(self) -> dict[str, str]:
        """Return what the record of a run says of it."""
        return {"weights": str(self.path), "sha256": self.sha256}

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the teacher's logits (B, C), in the student's order of classes."""
        with torch.no_grad():
            images = converted(batch.images, self.seen, self.preprocessing)
            logits = answer(self.model, replace(batch, images=images)).logits.float()
        return replace(batch, teacher=logits[:, list(self.order)])


def open_teacher(
    recipe: Recipe,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    device: torch.device,
) -> Teacher | None:
    """Load the teacher that a recipe learns from; None for a recipe that learns from none.

    `preprocessing` and `class_names` are those of the model that is trained.

    Raises:
        WordsError: distillation without a teacher.
        DataError: no model there, a damaged one, or one that knows other classes.
    """
    loss = recipe.loss
    if not isinstance(loss, DistillationSettings):
        return None
    if not loss.teacher:
        raise WordsError("--loss distillation learns from a trained model; give --teacher RUN")
    bundle = load_bundle(Path(loss.teacher))
    _require_same_classes(bundle, class_names)
    if wants_landmarks(bundle.model):
        raise DataError(f"{bundle.path} needs landmarks; give a --teacher that needs faces alone")
    return Teacher(
        model=bundle.model.to(device).eval().requires_grad_(False),
        preprocessing=bundle.preprocessing,
        seen=preprocessing,
        order=tuple(bundle.class_names.index(name) for name in class_names),
        path=bundle.path,
        sha256=hashlib.sha256(bundle.path.read_bytes()).hexdigest(),
    )


def _require_same_classes(bundle: Bundle, class_names: tuple[str, ...]) -> None:
    if set(bundle.class_names) != set(class_names):
        raise DataError(
            f"the teacher {bundle.path} knows {', '.join(bundle.class_names)}, the data "
            f"{', '.join(class_names)}; give a --teacher that was trained on the data's classes"
        )


def converted(images: Tensor, seen: Preprocessing, wanted: Preprocessing) -> Tensor:
    """Return faces (B, 3, S, S) normalised for one model as another one wants them.

    Back to the scale 0-1, to grey where wanted, to the wanted side by an antialiased bilinear
    filter, and normalised again. The frame stays: a middle that one of the models cuts out of
    whole faces is not cut out again. Faces that are grey for the student stay grey.
    """
    if (seen.size, seen.mean, seen.std) == (wanted.size, wanted.mean, wanted.std) and (
        seen.grey or not wanted.grey
    ):
        return images
    faces = images * _channels(seen.std, images) + _channels(seen.mean, images)
    if wanted.grey and not seen.grey:
        faces = (faces * _channels(LUMINANCE, images)).sum(1, keepdim=True).expand_as(faces)
    if seen.size != wanted.size:
        faces = functional.interpolate(
            faces, (wanted.size, wanted.size), mode="bilinear", antialias=True
        )
    return (faces - _channels(wanted.mean, images)) / _channels(wanted.std, images)


def _channels(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return like.new_tensor(values).reshape(3, 1, 1)
