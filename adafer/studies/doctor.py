"""Checks before a long training: a minute now against hours later.

Legend: B faces in a batch, C classes.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adafer.contracts import Batch
from adafer.data.loader import Loader
from adafer.engine import optim
from adafer.engine.batches import answer, to_device
from adafer.errors import AdaferError
from adafer.progress import Silence
from adafer.readiness import prepare_training, training_batches
from adafer.recipe import Recipe
from adafer.studies.doctor_batch import largest_batch
from adafer.studies.doctor_machine import Check, Verdict, machine_checks
from adafer.training import Training

FACES = 32
"""Faces that a sound model learns by heart."""
STEPS = 80
"""Optimiser steps that it gets for that."""
LEARNED = 0.95
"""Share of those faces that must be right in the end."""
USUAL_RATE = 1e-3
"""Rate that is tried when the recipe's own does not do."""
UNEVEN = 10.0
"""Largest class over smallest from which on balance is advised."""
FEW = 10
"""Faces of a class below which its figures say little."""
FLAT, STEEP = 1e-7, 1e3
"""Gradient norms of a stage that is hardly reached, and of one that may blow up."""


def doctor(recipe: Recipe | None, runs: Path, memory: float | None = None) -> list[Check]:
    """Check the machine, and, with a recipe, its data and its training. Nothing is written.

    `memory` is that of the card that the largest batch is stated for, in gigabytes.
    """
    checks = machine_checks(runs)
    if recipe is None or any(check.verdict == "fail" for check in checks):
        return checks
    return [*checks, *training_checks(recipe, memory)]


def training_checks(recipe: Recipe, memory: float | None = None) -> list[Check]:
    """Check a recipe on its data, from the files to the first optimiser steps."""
    try:
        training = prepare_training(recipe, Silence())
    except AdaferError as error:
        what, _, todo = str(error).rpartition("; ")
        return [_check("data and model", "fail", what or str(error), todo if what else "")]
    found = [_counts(training)]
    try:
        patient = _Patient(training, memory)
    except AdaferError as error:
        return [*found, _check("one batch", "fail", str(error))]
    examinations: tuple[Callable[[_Patient], Check], ...] = (
        _batch, _answer, _gradients, _by_heart, _largest, _time,
    )  # fmt: skip
    for examine in examinations:
        try:
            found.append(examine(patient))
        except AdaferError as error:
            found.append(_check(examine.__name__.strip("_").replace("_", " "), "fail", str(error)))
    return found


class _Patient:
    """A training and its first batch, varied as in training."""

    def __init__(self, training: Training, memory: float | None) -> None:
        self.training, self.memory = training, memory
        self.batch = to_device(next(iter(training_batches(training)(0))), training.state.device)
        self.seconds: float | None = None  # of one optimiser step


def _check(name: str, verdict: Verdict, said: str, todo: str = "") -> Check:
    return Check(name=name, verdict=verdict, said=said, todo=todo)


def _counts(training: Training) -> Check:
    counts = training.train.listing.counts()
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    said = f"{len(training.train):,} training and {len(training.validation):,} validation faces: "
    said += told
    present = [count for count in counts.values() if count]
    absent = [name for name, count in counts.items() if not count]
    if absent:
        return _check("classes", "warn", said, f"no face of {', '.join(absent)} to learn from")
    if min(present) < FEW:
        return _check("classes", "warn", said, "gather more faces of the rarest class")
    ratio = max(present) / min(present)
    if ratio > UNEVEN and training.recipe.data.balance == "none":
        todo = f"the largest class is {ratio:.0f} times the smallest: try --balance weights"
        return _check("classes", "warn", said, todo)
    return _check("classes", "pass", said)


def _batch(patient: _Patient) -> Check:
    images, labels = patient.batch.images, patient.batch.labels
    said = (
        f"{tuple(images.shape)} {str(images.dtype).removeprefix('torch.')}, mean "
        f"{float(images.mean()):.2f}, deviation {float(images.std()):.2f}, labels {labels.min()} "
        f"to {labels.max()}"
    )
    if not bool(images.isfinite().all()):
        return _check("one batch", "fail", said, "some pixels are not finite; look at the pictures")
    if float(images.std()) < 1e-3:
        return _check(
            "one batch", "fail", said, "all faces are one colour; check how they are read"
        )
    return _check("one batch", "pass", said)


def _answer(patient: _Patient) -> Check:
    """The loss at the start is near ln C where nothing was learned for these classes yet."""
    training = patient.training
    model = copy.deepcopy(training.state.model).eval()
    with torch.no_grad():
        output = answer(model, patient.batch)
    classes = len(training.class_names)
    logits: Tensor = output.logits
    loss = float(nn.functional.cross_entropy(logits.float(), patient.batch.labels))
    said = (
        f"{tuple(logits.shape)}, cross-entropy {loss:.2f} (ln {classes} = {math.log(classes):.2f})"
    )
    if logits.shape != (len(patient.batch.ids), classes) or not math.isfinite(loss):
        return _check("first answer", "fail", said, "the model does not fit its classes")
    if loss > 3 * math.log(classes):
        return _check(
            "first answer", "warn", said, "it starts sure and wrong; lower the head's scale"
        )
    return _check("first answer", "pass", said)


def _gradients(patient: _Patient) -> Check:
    """In every phase each parameter that should learn is reached, and every stage by enough."""
    training = patient.training
    resting = training.resting
    norms: dict[str, float] = {}
    for phase in training.phases:
        model = copy.deepcopy(training.state.model)
        optim.set_modes(model, phase)
        optim.build_optimiser(model, phase)
        _loss(training, model, patient.batch).backward()  # type: ignore[no-untyped-call]
        optim.require_gradients(model, resting)
        for name, stage in optim.stages_of(model):
            grads = [p.grad for p in stage.parameters() if p.grad is not None]
            if grads:
                norms[name] = float(torch.nn.utils.get_total_norm(grads))
    said = "norm by stage: " + ", ".join(f"{name} {norm:.1e}" for name, norm in norms.items())
    flat = [name for name, norm in norms.items() if norm < FLAT and name not in resting]
    steep = [name for name, norm in norms.items() if not norm < STEEP]
    if flat:
        todo = f"{', '.join(flat)} hardly learn: look for dead activations or a loss that saturates"
        return _check("gradients", "fail", said, todo)
    if steep and not training.recipe.train.clip:
        todo = f"{', '.join(steep)} may blow up: use --clip 1 or a smaller --lr"
        return _check("gradients", "warn", said, todo)
    return _check("gradients", "pass", said)


@dataclass(frozen=True)
class _Learned:
    """How a model did at learning faces by heart."""

    right: float
    first: float
    last: float
    seconds: float  # a step


def _by_heart(patient: _Patient) -> Check:
    """A sound model learns 32 faces by heart; one that cannot has a fault, not bad data."""
    training = patient.training
    phase = training.phases[-1]
    own = _learn(training, phase.lr)
    patient.seconds = own.seconds
    said = (
        f"{own.right:.0%} of {FACES} faces after {STEPS} steps at rate {phase.lr:g}, loss "
        f"{own.first:.2f} to {own.last:.2f}"
    )
    if own.right >= LEARNED:
        return _check("32 faces by heart", "pass", said)
    usual = _learn(training, USUAL_RATE)
    if usual.right >= LEARNED:
        todo = (
            f"at rate {USUAL_RATE:g} it does ({usual.right:.0%}): change --lr; try adafer lr-find"
        )
        verdict: Verdict = "fail" if own.right < 0.5 else "warn"
        return _check("32 faces by heart", verdict, said, todo)
    todo = "the model cannot learn these faces: check --stages, labels, and what the model sees"
    return _check("32 faces by heart", "fail", said, todo)


def _learn(training: Training, rate: float) -> _Learned:
    """Train on the first faces, unvaried, with dropout off and labels for targets."""
    batch = _few(training)
    model = copy.deepcopy(training.state.model)
    phase = replace(training.phases[-1], lr=rate)
    optim.set_modes(model, phase)
    for part in model.modules():
        if isinstance(part, nn.Dropout) or type(part).__name__ == "DropPath":
            part.eval()
    optimiser = optim.build_optimiser(model, phase)
    optim.set_rates(optimiser, 1.0)
    losses, since = [], time.perf_counter()
    for _ in range(STEPS):
        optimiser.zero_grad(set_to_none=True)
        loss = _loss(training, model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        learning = [p for group in optimiser.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(learning, training.recipe.train.clip or 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    seconds = (time.perf_counter() - since) / STEPS
    with torch.no_grad():
        right = (answer(model, batch).logits.argmax(1) == batch.labels).float().mean()
    return _Learned(float(right), losses[0], losses[-1], seconds)


def _few(training: Training) -> Batch:
    """Return the first faces of an epoch's order, as evaluation sees them."""
    order = Loader(training.train, training.recipe.data, seed=0, train=True).order(0)[:FACES]
    few = training.train.only(order, "not among the first")
    settings = replace(training.recipe.data, batch_size=FACES)
    batch = next(iter(Loader(few, settings, seed=0, train=False)(0)))
    return replace(to_device(batch, training.state.device), votes=None)


def _loss(training: Training, model: nn.Module, batch: Batch) -> Tensor:
    """The recipe's loss in full; a teacher is left out, as its class decides nothing here."""
    loss: Any = training.loss()
    if training.teacher is not None and training.prepare is not None:
        batch = training.prepare(batch)
    terms = loss(answer(model, batch), batch, 1.0)
    return torch.stack([term.float() for term in terms.values()]).sum()


def _largest(patient: _Patient) -> Check:
    """State the largest batch for a card; faces as they are, votes and all."""
    return largest_batch(patient.training, patient.batch, patient.memory)


def _time(patient: _Patient) -> Check:
    training = patient.training
    assert patient.seconds is not None
    size = training.recipe.data.batch_size
    epoch = patient.seconds / FACES * len(training.train)
    epochs = sum(phase.epochs for phase in training.phases)
    said = (
        f"about {_duration(epoch)} an epoch, {_duration(epoch * epochs)} for {epochs} epochs, "
        f"measured on batches of {min(FACES, len(training.train))} (this recipe's: {size}), "
        "without variation and validation"
    )
    if training.state.device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        said += f"; {(total - free) / 1e9:.1f} of {total / 1e9:.0f} GB of GPU memory in use"
    return _check("time", "pass", said)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
