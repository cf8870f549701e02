"""Run a model step by step and drop each face from the batch once it needs no more.

Legend: B images in a batch, C classes, T steps.
"""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from adafer.contracts import StepModel, StepOutput

KEEP_ON_ACCELERATOR = 0.75
"""A batch is made smaller on an accelerator only when less than this share of it goes on."""


def think(model: StepModel, images: Tensor, *, compact: bool = True) -> StepOutput:
    """Answer for faces (B, 3, H, W); those that are done are not computed any further.

    Call it in evaluation mode. The answers are those of `model(images)`, whatever shares the
    batch: a model of this kind computes each face on its own. `step_logits` and `step_probs` of a
    face hold zeros after its last step, unless it stayed in the batch. Making the batch smaller
    copies what stays, which always pays on a CPU and on an accelerator only for a real cut.
    """
    memory = model.begin(images)
    faces = torch.arange(len(images), device=images.device)  # who is still in the batch
    step_logits: list[Tensor] = []
    scores: list[Tensor] = []
    for number in range(1, model.max_steps + 1):
        memory = model.step(memory)
        logits, score = model.read(memory)  # (b, C), (b,)
        step_logits.append(_among_all(logits, faces, len(images)))
        scores.append(_among_all(score, faces, len(images)))
        if number == model.max_steps:
            break
        going = ~model.finished(torch.stack(scores)[:, faces])  # (b,)
        left = int(going.sum())
        if left == 0:
            break
        if compact and _worth_it(left, len(faces), images.device):
            faces, memory = faces[going], _rows(memory, going)
    return model.answer(torch.stack(step_logits), torch.stack(scores))


def _worth_it(left: int, there: int, device: torch.device) -> bool:
    most = there if device.type == "cpu" else KEEP_ON_ACCELERATOR * there
    return left < most


def _among_all(values: Tensor, faces: Tensor, count: int) -> Tensor:
    """Put the rows of the faces that are still there among the rows of all (B, ...)."""
    if len(faces) == count:
        return values
    return values.new_zeros((count, *values.shape[1:])).index_copy_(0, faces, values)


def _rows(memory: Any, going: Tensor) -> Any:
    """Keep these faces of a memory, a frozen dataclass of tensors (b, ...)."""
    kept = {item.name: getattr(memory, item.name)[going] for item in fields(memory)}
    return replace(memory, **kept)
