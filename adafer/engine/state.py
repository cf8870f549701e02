"""Everything that a training is at one moment, and what it says after an epoch."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import AdamW

from adafer.engine import hardware, optim
from adafer.settings.training import PhaseSettings, TrainSettings


@dataclass(kw_only=True)
class Totals:
    """Sums over the steps of the current epoch; saved, so that a stop inside an epoch is exact."""

    faces: int = 0
    steps: int = 0
    skipped: int = 0  # steps that the fp16 scaler did not take
    sums: dict[str, float] = field(default_factory=dict)  # figure to its sum over the faces
    grad_norm: float = 0.0  # sum over the steps taken
    seconds: float = 0.0

    def add(self, name: str, total: float) -> None:
        """Add to the sum of a figure."""
        self.sums[name] = self.sums.get(name, 0.0) + total

    def mean(self, name: str) -> float:
        """Mean of a figure over the faces so far."""
        return self.sums.get(name, 0.0) / max(1, self.faces)


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch of training was; means are over its faces, in the order they were seen."""

    epoch: int  # from 1
    phase: int  # from 1
    finished: bool  # False when a stop was asked for inside the epoch
    step: int  # optimiser steps since the start
    faces: int
    train_loss: float
    train_acc: float
    terms: Mapping[str, float]  # named terms of the loss, already weighted
    figures: Mapping[str, float]  # what the caller's function read from the outputs
    lr_backbone: float  # of the last step; 0 where that part does not learn
    lr_head: float
    grad_norm: float  # mean over the steps, before clipping
    skipped_steps: int
    seconds: float
    precision: str

    @property
    def mean_steps(self) -> float | None:
        """Mean whole steps per face, where the model thinks in steps."""
        return self.figures.get("mean_steps")

    @property
    def ponder_cost(self) -> float | None:
        """Mean ponder cost per face, where the model thinks in steps."""
        return self.figures.get("ponder_cost")


@dataclass(kw_only=True)
class State:
    """Model, moving average, optimiser, and where the training stands."""

    model: nn.Module
    average: nn.Module | None
    optimiser: AdamW
    scaler: torch.amp.GradScaler
    device: torch.device
    precision: hardware.Precision
    phase: int = 0
    epoch: int = 0  # finished epochs
    batch: int = 0  # batches of the current epoch that are done
    step: int = 0  # optimiser steps since the start
    averaged: int = 0  # updates of the moving average
    skipped_in_row: int = 0
    totals: Totals = field(default_factory=Totals)
    best: float | None = None
    best_epoch: int | None = None
    stale: int = 0  # epochs without a better figure
    history: list[dict[str, Any]] = field(default_factory=list)  # one row an epoch, the caller's
    forks: list[dict[str, Any]] = field(default_factory=list)  # resumes with changed settings
    gradients_checked: bool = False

    @classmethod
    def create(
        cls, model: nn.Module, train: TrainSettings, phases: tuple[PhaseSettings, ...]
    ) -> "State":
        """Start a training: device and precision chosen, model moved, first phase entered.

        Raises:
            WordsError: an unknown device, precision or stage.
            MachineError: a device that is not there.
        """
        device = hardware.choose_device(train.device)
        precision = hardware.choose_precision(train.precision, device)
        model = model.to(device)
        average = copy.deepcopy(model).eval().requires_grad_(False) if train.ema else None
        if train.compile:
            hardware.compile_in_place(model)
        optim.set_modes(model, phases[0])
        return cls(
            model=model,
            average=average,
            optimiser=optim.build_optimiser(model, phases[0]),
            scaler=torch.amp.GradScaler(device.type, enabled=precision == "fp16"),
            device=device,
            precision=precision,
        )

    @property
    def smoothed(self) -> nn.Module:
        """The moving average of the weights if there is one, else the model."""
        return self.model if self.average is None else self.average

    def enter(self, phases: tuple[PhaseSettings, ...], number: int) -> None:
        """Take up a phase: its stages learn, and the optimiser goes on for what goes on."""
        optim.set_modes(self.model, phases[number])
        if number != self.phase:
            self.optimiser = optim.build_optimiser(self.model, phases[number], self.optimiser)
            self.phase, self.gradients_checked = number, False

    def update_average(self, decay: float) -> None:
        """Move the average towards the weights; buffers are copied.

        The decay rises as (1 + n) / (10 + n) up to its setting, so that a short training is not
        held back by its random start (the rule of TensorFlow's ExponentialMovingAverage).
        """
        if self.average is None:
            return
        rising = min(decay, (1 + self.averaged) / (10 + self.averaged))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1 - rising
            )
            for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
                mine.copy_(theirs)
        self.averaged += 1

    def begin_epoch_again(self) -> None:
        """Forget the batches of the current epoch that are done; the weights stay."""
        self.batch, self.totals = 0, Totals()

    def counters(self) -> dict[str, Any]:
        """Return all that is neither tensor nor history, as plain values."""
        return {name: getattr(self, name) for name in COUNTERS} | {"totals": asdict(self.totals)}

    def set_counters(self, values: Mapping[str, Any]) -> None:
        """Take over what `counters` gave."""
        for name in COUNTERS:
            setattr(self, name, values[name])
        self.totals = Totals(**values["totals"])


COUNTERS = (
    "phase",
    "epoch",
    "batch",
    "step",
    "averaged",
    "skipped_in_row",
    "best",
    "best_epoch",
    "stale",
)


class Judged(Protocol):
    """What a Stopper keeps its count in; a `State` is one."""

    best: float | None
    best_epoch: int | None
    stale: int


@dataclass(frozen=True, kw_only=True)
class Stopper:
    """Choose the best epoch by one figure, and say when waiting is no longer worth it."""

    monitor: str
    patience: int = 0
    min_delta: float = 0.0

    @property
    def lower_is_better(self) -> bool:
        """True for a loss."""
        return self.monitor.endswith("loss")

    def better(self, figure: float, best: float | None) -> bool:
        """Whether a figure beats the best by more than `min_delta`; not a number never does."""
        if not math.isfinite(figure):
            return False
        if best is None:
            return True
        gain = best - figure if self.lower_is_better else figure - best
        return gain > self.min_delta

    def judge(self, state: Judged, epoch: int, figure: float) -> bool:
        """Count an epoch; True if it is the best so far."""
        if self.better(figure, state.best):
            state.best, state.best_epoch, state.stale = figure, epoch, 0
            return True
        state.stale += 1
        return False

    def enough(self, state: Judged) -> bool:
        """Whether `patience` epochs in a row brought nothing better; 0 waits for ever."""
        return self.patience > 0 and state.stale >= self.patience
