"""Which parameters learn, how fast, and when: pure functions of the phase and the position in it.

The schedule stores nothing, so a resumed run needs only its position.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import nn
from torch.optim import AdamW

from adafer.contracts import Model
from adafer.errors import AdaferError, WordsError
from adafer.settings.training import PhaseSettings

BETAS = (0.9, 0.999)
HEAD = "head"
"""Name under which a phase reaches the last stage, whatever the model calls it."""


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
        return rate_at(step, phase.epochs * self.steps_per_epoch, phase)

    def progress(self, epoch: int, batch: int) -> float:
        """Share of the whole training that is done before this batch, 0 to 1."""
        done = epoch * self.steps_per_epoch + batch // self.accumulate
        return min(1.0, done / max(1, self.epochs * self.steps_per_epoch))


def in_phases(phases: tuple[PhaseSettings, ...]) -> tuple[PhaseSettings, ...]:
    """Cut each phase that starts with a frozen backbone in two: the head alone, then the rest.

    The head's rate rises linearly over the whole of its own part (staged unfreezing).
    """
    cut: list[PhaseSettings] = []
    for phase in phases:
        frozen = min(phase.freeze_backbone_epochs, phase.epochs)
        if frozen:
            cut.append(replace(phase, epochs=frozen, stages=(HEAD,), warmup=1.0, schedule="cosine"))
        if phase.epochs > frozen:
            cut.append(replace(phase, epochs=phase.epochs - frozen))
    return tuple(replace(phase, freeze_backbone_epochs=0) for phase in cut)


def rate_at(step: int, steps: int, phase: PhaseSettings) -> float:
    """Share of the peak rate at a step (from 0) of a phase of so many steps."""
    match phase.schedule:
        case "cosine":
            return warmup_cosine(step, steps, phase.warmup)
        case "one-cycle":
            return one_cycle(step, steps)
        case "cosine-restarts":
            return cosine_restarts(step, steps, phase.warmup, phase.restarts)
        case "constant":
            rising = round(phase.warmup * steps)
            return min(1.0, (step + 1) / rising) if rising else 1.0


def one_cycle(step: int, steps: int) -> float:
    """Up from 1/25 over the first 0.3 of the steps, then down to nearly 0, both half cosines.

    Smith and Topin 2018, arXiv:1708.07120. Differs: the rate alone has a cycle, not the momentum.
    """
    top = max(1, round(0.3 * steps))
    if step < top:
        return 1 - 0.96 * 0.5 * (1 + math.cos(math.pi * step / top))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - top) / max(1, steps - top))))


def cosine_restarts(step: int, steps: int, warmup: float, restarts: int) -> float:
    """Linear rise, then cosines from 1 to 0, each twice as long as the one before.

    Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5 with T_mult = 2.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, steps - rising))
    cycles = restarts + 1
    # Cycle k of them ends at (2^(k + 1) - 1) / (2^cycles - 1) of the way.
    cycle = min(cycles - 1, math.floor(math.log2(1 + done * (2**cycles - 1)) + 1e-12))
    within = (1 + done * (2**cycles - 1)) / 2**cycle - 1
    return 0.5 * (1 + math.cos(math.pi * min(1.0, within)))


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
    wanted = {names[-1] if name == HEAD else name for name in phase.stages}
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise WordsError(
            f"this model has no stage {', '.join(map(repr, unknown))}; "
            f"its stages are {', '.join(names)}"
        )
    return [name for name in names if name in wanted or not wanted]


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

    The last stage is the head and learns at `lr`, the others at `lr * lr_backbone_factor`, times
    `layer_decay` for every stage between them and the head (Howard and Ruder 2018,
    arXiv:1801.06146). Weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101) is for tensors of
    two or more dimensions: not for biases and norms. Call `set_modes` first.

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
    groups: dict[tuple[str, bool, float], list[nn.Parameter]] = {}
    placed: set[nn.Parameter] = set()
    for name, stage in stages:
        peak = stage_rate(phase, [other for other, _ in stages], name)
        for parameter in stage.parameters() if name in learning else ():
            if parameter not in placed:
                placed.add(parameter)
                part = "head" if name == head else "backbone"
                groups.setdefault((part, parameter.ndim >= 2, peak), []).append(parameter)
    _require_all_placed(model, placed)
    return [
        {
            "params": parameters,
            "part": part,
            "peak": peak,
            "lr": 0.0,
            "weight_decay": phase.weight_decay if decays else 0.0,
        }
        for (part, decays, peak), parameters in groups.items()
    ]


@dataclass(frozen=True)
class StageRates:
    """A stage of a model, its parameters, and its rate in each phase (None: it rests)."""

    name: str
    parameters: int
    rates: tuple[float | None, ...]


def stage_rates(model: nn.Module, phases: tuple[PhaseSettings, ...]) -> list[StageRates]:
    """Return every stage, stem to head, with its peak learning rate in each phase as it runs.

    Raises:
        WordsError: a phase names a stage that the model does not have.
    """
    stages, cut = stages_of(model), in_phases(phases)
    names = [name for name, _ in stages]
    learning = [learning_stages(model, phase) for phase in cut]
    return [
        StageRates(
            name,
            sum(parameter.numel() for parameter in stage.parameters()),
            tuple(
                stage_rate(phase, names, name) if name in chosen else None
                for phase, chosen in zip(cut, learning, strict=True)
            ),
        )
        for name, stage in stages
    ]


def stage_rate(phase: PhaseSettings, names: Sequence[str], name: str) -> float:
    """Peak learning rate of a stage among the stages of a model, named from stem to head."""
    below = len(names) - 1 - list(names).index(name)
    if not below:
        return phase.lr
    return phase.lr * phase.lr_backbone_factor * phase.layer_decay ** (below - 1)


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
