"""The largest batch that fits a card: measured on a GPU, estimated elsewhere.

What a training step holds is a part that is always there (weights, gradients, AdamW's two moments,
the moving average) and a part for each face (what the forward pass keeps for the backward one).
Legend: B faces in a batch.
"""

import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from adafer.contracts import Batch
from adafer.engine import hardware, optim
from adafer.engine.batches import answer, to_device
from adafer.evaluation import set_full_depth
from adafer.launch import process_count
from adafer.settings.training import PhaseSettings
from adafer.studies.doctor_machine import Check, Verdict
from adafer.training import Training

CARD = 16.0
"""Gigabytes of the card that is assumed where there is none: a T4's."""
CONTEXT = 0.6
"""Gigabytes that CUDA and its libraries take for themselves."""
USABLE = 0.9
"""Share of the rest that a training can fill before the allocator's gaps are in its way."""
OFF_BY = 0.3
"""How far off the estimate may be. Against tensors alive at once it was 4 to 25 % too careful for
eight recipes; working space of the libraries is not counted."""
MOST = 65_536
"""Faces above which the batch is no question of memory."""

_FEW, _MORE = 2, 6  # faces of the two batches whose difference is the part for each face


@dataclass(frozen=True)
class Needs:
    """Bytes that a training step holds."""

    fixed: float
    each: float  # for each face of the batch

    def faces(self, room: float) -> int:
        """Faces that fit into so many bytes, 0 if not even the fixed part does."""
        return max(0, min(MOST, int((room - self.fixed) / max(self.each, 1.0))))


def largest_batch(training: Training, batch: Batch, gigabytes: float | None = None) -> Check:
    """Say how many faces fit a card with this recipe; of `gigabytes`, else this GPU's, else 16."""
    if training.state.device.type == "cuda":
        return _measured(training, batch, gigabytes)
    card = gigabytes or CARD
    largest = estimated(training, batch).faces(USABLE * (card - CONTEXT) * 1e9)
    said = (
        f"about {_rounded(largest):,} faces fit a card of {card:g} GB in 16-bit arithmetic "
        f"(estimated on the CPU; the truth may be {OFF_BY:.0%} away)"
    )
    return _judged(training, largest, int(largest * (1 - OFF_BY)), said)


def estimated(training: Training, batch: Batch) -> Needs:
    """Count what a step holds from two small batches, in the 16-bit arithmetic of a GPU.

    Gradients that flow back hold about twice the largest tensor beside what was saved. A block that
    is computed anew in the backward pass (`checkpoint_block`) is there once.
    """
    phase = max(training.phases, key=lambda phase: _learning(training, phase))
    fixed = _lasting(training, phase)
    few, more = (_saved(training, phase, _of(batch, size)) for size in (_FEW, _MORE))
    each = (more.total - few.total + 2 * (more.largest - few.largest)) / (_MORE - _FEW)
    if getattr(training.recipe.model, "checkpoint_block", False):
        each += _recomputed(training, phase, batch)
    return Needs(fixed + max(0.0, few.total - _FEW * each), each)


def _recomputed(training: Training, phase: PhaseSettings, batch: Batch) -> float:
    """Bytes a face of the one step that stands in memory while the backward pass is in it."""
    model: Any = copy.deepcopy(training.state.model)
    settings: Any = training.recipe.model
    model.settings = replace(settings, checkpoint_block=False)
    few, more = (_saved(training, phase, _of(batch, size), model) for size in (_FEW, _MORE))
    return (more.total - few.total) / (_MORE - _FEW) / max(1, int(settings.max_steps))


def _learning(training: Training, phase: PhaseSettings) -> int:
    model = copy.deepcopy(training.state.model)
    optim.set_modes(model, phase)
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def _lasting(training: Training, phase: PhaseSettings) -> float:
    """Bytes of weights, gradients, two moments, the moving average and a teacher."""
    state, learning = training.state, _learning(training, phase)
    models = [state.model, state.average]
    if training.teacher is not None:
        models.append(training.teacher.model)
    weights = sum(_bytes(model) for model in models if model is not None)
    return float(weights + 3 * 4 * learning)


def _bytes(model: nn.Module) -> int:
    return sum(v.numel() * v.element_size() for v in (*model.parameters(), *model.buffers()))


@dataclass(frozen=True)
class _Saved:
    """Bytes that a forward pass kept for the backward one: together, and the largest tensor."""

    total: int
    largest: int


def _saved(
    training: Training, phase: PhaseSettings, batch: Batch, model: nn.Module | None = None
) -> _Saved:
    """Count each piece of memory once, however many tensors look at it; weights are not counted."""
    model = copy.deepcopy(training.state.model) if model is None else model
    optim.set_modes(model, phase)
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(training, model, batch, "bf16")
    del loss  # alive until here, so that no address is used twice
    return _Saved(sum(sizes.values()), max(sizes.values(), default=0))


def _loss(
    training: Training, model: nn.Module, batch: Batch, precision: hardware.Precision
) -> Tensor:
    """The loss as the training loop computes it, with all steps: a model may come to take them."""
    device = training.state.device
    set_full_depth(model, True)
    hardware.seed_device(device, training.recipe.train.seed)
    if training.prepare is not None:
        batch = training.prepare(batch)
    with hardware.autocast(device, precision):
        output = answer(model, batch)
    loss: Any = training.loss()
    terms = loss(output, batch, 1.0)
    return torch.stack([term.float() for term in terms.values()]).sum()


def _of(batch: Batch, size: int) -> Batch:
    """A batch of this size, made of the same faces again and again."""
    again = torch.arange(size, device=batch.images.device) % len(batch.ids)
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    taken: dict[str, Any] = {n: v[again] for n, v in values.items() if isinstance(v, Tensor)}
    return replace(batch, **taken, ids=tuple(batch.ids[n] for n in again.tolist()))


def _measured(training: Training, batch: Batch, gigabytes: float | None) -> Check:
    """Take steps with growing batches on the GPU, read what they held, and try the answer."""
    device = training.state.device
    batch = to_device(batch, device)
    small, large = 16, 64
    try:
        first, second = (_peak(training, batch, size) for size in (small, large))
    except torch.OutOfMemoryError:
        return _judged(training, 0, 0, f"not even {large} faces fit this GPU")
    each = (second - first) / (large - small)
    needs = Needs(first - small * each, each)
    card = torch.cuda.get_device_properties(device).total_memory
    asked = card if gigabytes is None else gigabytes * 1e9
    largest = needs.faces(USABLE * (asked - CONTEXT * 1e9))
    while asked <= card and largest > large:
        try:
            _peak(training, batch, largest)
            break
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            largest = int(largest * 0.85)
    said = f"{_rounded(largest):,} faces fit {asked / 1e9:.0f} GB (measured on this GPU)"
    return _judged(training, largest, largest, said)


def _peak(training: Training, batch: Batch, size: int) -> int:
    """Most bytes that two optimiser steps with a batch of this size held on the GPU."""
    device, phase = training.state.device, training.phases[-1]
    model = copy.deepcopy(training.state.model)
    optim.set_modes(model, phase)
    optimiser = optim.build_optimiser(model, phase)
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(2):  # the moments come with the first step
        optimiser.zero_grad(set_to_none=True)
        _loss(training, model, _of(batch, size), training.state.precision).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    peak: int = torch.cuda.max_memory_allocated(device)
    return peak


def _judged(training: Training, largest: int, safe: int, said: str) -> Check:
    """Compare with the recipe's own batch, or a GPU's part of it; below `safe` it surely fits."""
    whole, gpus = training.recipe.data.batch_size, process_count(training.recipe)
    own = -(-whole // gpus)
    said += f"; this recipe's has {whole:,}" + (f", {own:,} on each GPU" if gpus > 1 else "")
    verdict: Verdict = "pass" if own <= safe else "warn" if own <= largest else "fail"
    if verdict == "pass":
        return Check(name="largest batch", verdict=verdict, said=said)
    fits = _rounded(safe) * gpus
    todo = (
        f"--batch-size {fits} --accumulate {-(-whole // fits)}" if fits else "a smaller --img-size"
    )
    if hasattr(training.recipe.model, "checkpoint_block"):
        todo += ", or --checkpoint-block"
    return Check(name="largest batch", verdict=verdict, said=said, todo=f"use {todo}")


def _rounded(faces: int) -> int:
    """Down to two leading digits: more of them would claim what nobody knows."""
    scale: int = 10 ** max(0, len(str(faces)) - 2)
    return faces // scale * scale
