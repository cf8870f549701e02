"""A batch on its way into a model. Legend: B images in a batch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from adafer.contracts import Batch, Output


class Batches(Protocol):
    """Where `fit` gets its faces: a pure function of the epoch, so that nothing is stored."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches of every epoch."""
        ...

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of this epoch (from 0), from batch number `start` on."""
        ...


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move every tensor of a batch; on the CPU the batch itself."""
    if device.type == "cpu":
        return batch

    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(device, non_blocking=True)

    return replace(
        batch,
        images=batch.images.to(device, non_blocking=True),
        labels=batch.labels.to(device, non_blocking=True),
        votes=moved(batch.votes),
        landmarks=moved(batch.landmarks),
        teacher=moved(batch.teacher),
    )


def wants_landmarks(model: nn.Module) -> bool:
    """Whether a model is called with landmarks as well."""
    return bool(getattr(model, "wants_landmarks", False))


def answer(model: nn.Module, batch: Batch) -> Output:
    """Ask a model for a batch; a model that wants landmarks gets them."""
    inputs: list[Any] = [batch.images]
    if wants_landmarks(model):
        inputs.append(batch.landmarks)
    output: Output = model(*inputs)
    return output


def tell_progress(model: nn.Module, progress: float) -> None:
    """Tell a model that asks for it, by a buffer `progress`, how much of the training is done."""
    buffer = getattr(model, "progress", None)
    if isinstance(buffer, Tensor):
        buffer.fill_(progress)


def some_ids(ids: tuple[str, ...], count: int = 3) -> str:
    """First names of a batch, for a message."""
    more = f" and {len(ids) - count} more" if len(ids) > count else ""
    return ", ".join(ids[:count]) + more
