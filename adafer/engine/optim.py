"""Which parameters learn, how fast, and when: pure functions of the phase and the position in it.

The schedule stores nothing, so a resumed run needs only its position.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn
from torch.optim import AdamW

from adafer.contracts import Model
from adafer.errors import AdaferError, WordsError
from adafer.settings.training import PhaseSettings

BETAS = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Position in the training to phase, learning rate factor and progress."""

    phases: tuple[PhaseSettings, ...]
    batches_per_epoch: int
    accumulate: int = 1

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; the last one may have fewer batches."""
        return math.ceil(self.batches_per_epoch / self.accumulate)

    def phase_at(self, epoch: int) -> int:
        """Number of the phase (from 0) that holds this epoch (from 0)."""
        end = 0
        for number, phase in enumerate(self.phases):
            end += phase.epochs
            if epoch < end:
                return number
        return len(self.phases) - 1

    def factor(self, epoch: int, batch: int) -> float:
        """Share of the peak learning rate at the step that starts with this batch."""
        number = self.phase_at(epoch)
        phase = self.phases[number]
        first = sum(earlier.epochs for earlier in self.phases[:number])
        step = (epoch - first) * self.steps_per_epoch + batch // self.accumulate
        return warmup_cosine(step, phase.epochs * self.steps_per_epoch, phase.warmup)

    def progress(self, epoch: int, batch: int) -> float:
        """Share of the whole training that is done before this batch, 0 to 1."""
        done = epoch * self.steps_per_epoch + batch // self.accumulate
        return min(1.0, done / max(1, self.epochs * self.steps_per_epoch))


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate at a step (from 0): linear up to 1, then a half cosine to 0.

    The rise ends at step `warmup * steps`; 0 is reached after the last step, so none is wasted.
    Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, one cycle.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def learning_stages(model: nn.Module, phase: PhaseSettings) -> list[str]:
    """Names of the stages that learn in a phase, stem to head.

    Raises:
        WordsError: the phase names a stage that the model does not have.
    """
    names = [name for name, _ in stages_of(model)]
    unknown = [name for name in phase.stages if name not in names]
    if unknown:
        raise WordsError(
            f"this model has no stage {', '.join(map(repr, unknown))}; "
            f"its stages are {', '.join(names)}"
        )
    return [name for name in names if name in phase.stages or not phase.stages]


def stages_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Parts of the model, stem to head."""
    return cast(Model, model).stages()


def set_modes(model: nn.Module, phase: PhaseSettings) -> None:
    """Let the learning stages train; the others keep their weights and their norm statistics."""
    learning = learning_stages(model, phase)
    model.train()
    # Frozen first: a part that two stages share learns if one of them does.
    for name, stage in sorted(stages_of(model), key=lambda item: item[0] in learning):
        stage.requires_grad_(name in learning)
        stage.train(name in learning)


def build_optimiser(model: nn.Module, phase: PhaseSettings, previous: AdamW | None = None) -> AdamW:
    """AdamW over the learning stages; its state goes on for parameters that go on.

    The last stage is the head and learns at `lr`, the others at `lr * lr_backbone_factor`. Weight
    decay (Loshchilov and Hutter 2019, arXiv:1711.05101) is for tensors of two or more dimensions:
    not for biases and norms. Call `set_modes` first.

    Raises:
        AdaferError: a parameter that should learn is in no stage, or nothing learns.
    """
    groups = _parameter_groups(model, phase)
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    optimiser = AdamW(groups, betas=BETAS, fused=devices <= {"cuda", "cpu"})
    if previous is not None:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter in previous.state:
                    optimiser.state[parameter] = previous.state[parameter]
    return optimiser


def _parameter_groups(model: nn.Module, phase: PhaseSettings) -> list[dict[str, Any]]:
    learning = learning_stages(model, phase)
    stages = stages_of(model)
    head = stages[-1][0]
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    placed: set[nn.Parameter] = set()
    for name, stage in stages:
        for parameter in stage.parameters() if name in learning else ():
            if parameter not in placed:
                placed.add(parameter)
                part = "head" if name == head else "backbone"
                groups.setdefault((part, parameter.ndim >= 2), []).append(parameter)
    _require_all_placed(model, placed)
    return [
        {
            "params": parameters,
            "part": part,
            "peak": phase.lr * (1.0 if part == "head" else phase.lr_backbone_factor),
            "lr": 0.0,
            "weight_decay": phase.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]


def _require_all_placed(model: nn.Module, placed: set[nn.Parameter]) -> None:
    if not placed:
        raise AdaferError("no parameter learns in this phase; name a stage that has parameters")
    forgotten = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter not in placed
    ]
    if forgotten:
        raise AdaferError(
            f"no stage of the model holds {_some(forgotten)}, so the optimiser would never see "
            "them; add them to what stages() returns"
        )


def require_gradients(model: nn.Module, may_rest: Sequence[str] = ()) -> None:
    """Refuse a parameter that should learn and that the loss does not reach.

    `may_rest` holds names of parameters, or of the modules above them, that may have no gradient.

    Raises:
        AdaferError: naming the parameters.
    """
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        and parameter.grad is None
        and not any(name == rest or name.startswith(f"{rest}.") for rest in may_rest)
    ]
    if silent:
        raise AdaferError(
            f"the loss does not reach {_some(silent)} in the first step; choose a loss that uses "
            "them, leave their stage out of the phase's `stages`, or name them in `may_rest`"
        )


def set_rates(optimiser: AdamW, factor: float) -> None:
    """Set every group's learning rate to this share of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def peak_rate(optimiser: AdamW, part: str) -> float:
    """Peak learning rate of `head` or `backbone`; 0 where that part does not learn."""
    return max((g["peak"] for g in optimiser.param_groups if g["part"] == part), default=0.0)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
