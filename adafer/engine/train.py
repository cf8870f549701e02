"""The one training loop: a generator that trains an epoch and hands over.

Its caller's loop body is the callback: it evaluates, writes down, saves and breaks. Legend: B
images in a batch.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from adafer.contracts import Batch, Loss, Output
from adafer.engine import hardware, optim
from adafer.engine.batches import Batches, answer, some_ids, tell_progress, to_device
from adafer.engine.ranks import ALONE, Ranks
from adafer.engine.state import EpochRecord, State, Stopper, Totals
from adafer.errors import AdaferError, DataError, MachineError
from adafer.settings.training import PhaseSettings, TrainSettings

__all__ = ["EpochRecord", "State", "Stopper", "fit", "steps_and_cost"]

MAX_SKIPPED_IN_ROW = 50
"""Steps in a row that the fp16 scaler may leave out before training stops."""


def steps_and_cost(output: Output) -> dict[str, Tensor]:
    """Read `mean_steps` and `ponder_cost` (B,) from an output that has them."""
    named = {"mean_steps": "steps", "ponder_cost": "ponder_cost"}
    found = {name: getattr(output, attribute, None) for name, attribute in named.items()}
    return {name: values for name, values in found.items() if values is not None}


def fit(
    state: State,
    loss: Loss,
    batches: Batches,
    phases: tuple[PhaseSettings, ...],
    train: TrainSettings,
    *,
    prepare: Callable[[Batch], Batch] | None = None,
    figures: Callable[[Any], Mapping[str, Tensor]] = steps_and_cost,
    stop: Callable[[], bool] | None = None,
    on_step: Callable[[State], None] | None = None,
    may_rest: Sequence[str] = (),
    ranks: Ranks = ALONE,
) -> Iterator[EpochRecord]:
    """Train from where the state stands, and hand over after each epoch.

    `prepare` changes a batch on the device; what it draws from torch's generator is repeatable,
    because every batch starts from a seed of its own. `figures` reads more numbers from an output,
    (B,) or scalar, to be averaged over the faces. `stop` is asked after each optimiser step: when
    it says yes inside an epoch, a record with `finished=False` is handed over as the last one, and
    the state may be saved as it is. `on_step` sees the state after each optimiser step, when it may
    be saved too. `may_rest` names parameters, or modules, that the loss need not reach. `ranks` are
    the processes that train together, each called with its own part of the same batches: they
    start from the weights of the first, take the same steps and stop at the same one; the figures
    are those of whole batches, and running statistics of a batch norm are of one's own part.

    Raises:
        AdaferError: a loss or gradient that is not finite; the weights are those of the step
            before (running statistics of a batch norm have seen the batch).
        DataError: an epoch without batches, or with fewer than announced.
        MachineError: out of memory.
    """
    if batches.batches_per_epoch < 1:
        raise DataError("there is no face to train on; look at `adafer data show`")
    schedule = optim.Schedule(
        phases=phases, batches_per_epoch=batches.batches_per_epoch, accumulate=train.accumulate
    )
    stepper = _Stepper(state, loss, schedule, train, prepare, figures, may_rest, ranks)
    ranks.spread(state.model, state.average)
    while state.epoch < schedule.epochs and not _asked(stop, ranks):
        state.enter(phases, schedule.phase_at(state.epoch))
        finished = _train_epoch(stepper, batches, stop, on_step)
        record = _record(state, schedule, finished)
        if finished:
            state.epoch += 1
            state.begin_epoch_again()
        yield record
        if not finished:
            return


def _train_epoch(
    stepper: "_Stepper",
    batches: Batches,
    stop: Callable[[], bool] | None,
    on_step: Callable[[State], None] | None,
) -> bool:
    """Train the rest of the current epoch; False if a stop was asked for before its end."""
    state, total = stepper.state, batches.batches_per_epoch
    stream: Iterator[Batch] | None = None
    since = time.perf_counter()
    while state.batch < total:
        if _asked(stop, stepper.ranks):
            return False
        try:
            with hardware.machine_limits(stepper.batch_size):
                stream = batches(state.epoch, state.batch) if stream is None else stream
                group = list(islice(stream, min(stepper.train.accumulate, total - state.batch)))
        except MachineError:
            # A signal to the whole process group ends the loader's processes as well.
            if stop is not None and stop() and stepper.ranks.count == 1:
                return False
            raise
        if not group:
            raise DataError(
                f"epoch {state.epoch + 1} ended after {state.batch} of {total} batches; "
                "the loader has to give as many as it announces"
            )
        stepper.take(group)
        now = time.perf_counter()
        state.totals.seconds += now - since
        since = now
        if on_step is not None:
            on_step(state)
    return True


def _asked(stop: Callable[[], bool] | None, ranks: Ranks) -> bool:
    """Whether any of the processes was asked to stop."""
    return ranks.any(stop is not None and stop())


def _record(state: State, schedule: optim.Schedule, finished: bool) -> EpochRecord:
    totals = state.totals
    factor = schedule.factor(state.epoch, max(0, state.batch - 1))

    def means(kind: str) -> dict[str, float]:
        prefix = f"{kind}/"
        return {n.removeprefix(prefix): totals.mean(n) for n in totals.sums if n.startswith(prefix)}

    return EpochRecord(
        epoch=state.epoch + 1,
        phase=state.phase + 1,
        finished=finished,
        step=state.step,
        faces=totals.faces,
        train_loss=totals.mean("loss"),
        train_acc=totals.mean("correct"),
        terms=means("term"),
        figures=means("figure"),
        lr_backbone=optim.peak_rate(state.optimiser, "backbone") * factor,
        lr_head=optim.peak_rate(state.optimiser, "head") * factor,
        grad_norm=totals.grad_norm / max(1, totals.steps - totals.skipped),
        skipped_steps=totals.skipped,
        seconds=totals.seconds,
        precision=state.precision,
    )


@dataclass(frozen=True)
class _Row:
    """Numbers of one batch, still on the device."""

    names: tuple[str, ...]
    values: Tensor  # (len(names),) float32
    faces: int  # of the whole batch
    weight: float  # how many of them this process stands for
    ids: tuple[str, ...]


class _Stepper:
    """One optimiser step over a group of batches."""

    def __init__(
        self,
        state: State,
        loss: Loss,
        schedule: optim.Schedule,
        train: TrainSettings,
        prepare: Callable[[Batch], Batch] | None,
        figures: Callable[[Any], Mapping[str, Tensor]],
        may_rest: Sequence[str],
        ranks: Ranks,
    ) -> None:
        self.state, self.loss, self.schedule, self.train = state, loss, schedule, train
        self.prepare, self.figures, self.may_rest = prepare, figures, may_rest
        self.ranks = ranks
        self.batch_size = 0

    def take(self, group: list[Batch]) -> None:
        """Take the step; every batch counts by its faces, so a smaller last group is right too."""
        state = self.state
        self.batch_size = max(len(batch.ids) for batch in group)
        faces = sum(batch.whole or len(batch.ids) for batch in group)
        optim.set_rates(state.optimiser, self.schedule.factor(state.epoch, state.batch))
        state.optimiser.zero_grad(set_to_none=True)
        with hardware.machine_limits(self.batch_size):
            rows = [
                self._backward(batch, state.batch + offset, faces)
                for offset, batch in enumerate(group)
            ]
            if not state.gradients_checked:
                optim.require_gradients(state.model, self.may_rest)
                state.gradients_checked = True
            norm = self._gradient_norm()
            means = self._over_all(rows)
            numbers = torch.cat([*(row.values for row in means), norm[None]]).tolist()
            self._check(rows, numbers)
            skipped = self._update(norm, numbers[-1])
        self._count(means, numbers, skipped)
        state.step += 1
        state.batch += len(group)

    def _backward(self, batch: Batch, number: int, faces: int) -> _Row:
        """Add this batch's gradient, weighted by its share of the step's faces."""
        state, epoch = self.state, self.state.epoch
        progress = self.schedule.progress(epoch, state.batch)
        tell_progress(state.model, progress)
        seed = hardware.step_seed(self.train.seed, epoch, number, self.ranks.rank)
        hardware.seed_device(state.device, seed)
        batch = to_device(batch, state.device)
        if self.prepare is not None:
            batch = self.prepare(batch)
        with hardware.autocast(state.device, state.precision):
            output = answer(state.model, batch)
        # Outside autocast: what a loss sums, it sums in the arithmetic that it chose.
        terms = self.loss(output, batch, progress)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        share = self._weight(batch) / faces
        state.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        return self._row(batch, output, loss, terms)

    def _weight(self, batch: Batch) -> float:
        """How many faces of the whole batch this process stands for."""
        here, whole = len(batch.ids), batch.whole or len(batch.ids)
        return here if here < whole else whole / self.ranks.count  # small ones all take whole

    @torch.no_grad()
    def _row(self, batch: Batch, output: Output, loss: Tensor, terms: Mapping[str, Tensor]) -> _Row:
        named = {"loss": loss} | {f"term/{name}": term for name, term in terms.items()}
        named["correct"] = (output.logits.argmax(1) == batch.labels).float().sum()
        for name, values in self.figures(output).items():
            named[f"figure/{name}"] = values.float().mean()
        stacked = torch.stack([value.detach().float() for value in named.values()])
        faces = batch.whole or len(batch.ids)
        return _Row(tuple(named), stacked, faces, self._weight(batch), batch.ids)

    def _over_all(self, rows: list[_Row]) -> list[_Row]:
        """Return the rows of the whole batches, from what each process has of its part."""
        if self.ranks.count == 1:
            return rows
        shared = [row.values * row.weight / row.faces for row in rows]
        for row, values in zip(rows, shared, strict=True):
            values[row.names.index("correct")] *= row.faces / len(row.ids)  # a sum, no mean
        self.ranks.add_up(shared)
        return [replace(row, values=values) for row, values in zip(rows, shared, strict=True)]

    def _gradient_norm(self) -> Tensor:
        """Sum the gradients over the processes, and measure them."""
        state = self.state
        gradients = [
            parameter.grad
            for group in state.optimiser.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        self.ranks.add_up(gradients)
        state.scaler.unscale_(state.optimiser)
        return torch.nn.utils.get_total_norm(gradients).float()

    def _check(self, rows: list[_Row], numbers: list[float]) -> None:
        """Stop before the step if a number is not finite; fp16 may overflow in its gradient."""
        start = 0
        for row in rows:
            for name, number in zip(row.names, numbers[start:], strict=False):
                if not math.isfinite(number):
                    said = self._not_finite(_worded(name, row), number, row)
                    guilty = not row.values[row.names.index(name)].isfinite()
                    raise AdaferError(self.ranks.sentence(said if guilty else "") or said)
            start += len(row.names)
        if not math.isfinite(numbers[-1]) and not self.state.scaler.is_enabled():
            raise AdaferError(self._not_finite("the gradient's norm", numbers[-1], rows[0]))

    def _not_finite(self, what: str, number: float, row: _Row) -> str:
        state = self.state
        rate = max(group["lr"] for group in state.optimiser.param_groups)
        return (
            f"{what} is {number} in epoch {state.epoch + 1}, step {state.step + 1}, learning rate "
            f"{rate:.3g}, faces {some_ids(row.ids)}; the weights are those of the step before, so "
            "look at these faces, then resume with a smaller --lr or --precision fp32"
        )

    def _update(self, norm: Tensor, norm_value: float) -> bool:
        """Clip and step; True if the fp16 scaler left the step out."""
        state = self.state
        skipped = not math.isfinite(norm_value)
        if not skipped:
            if self.train.clip > 0:
                parameters = (p for g in state.optimiser.param_groups for p in g["params"])
                torch.nn.utils.clip_grads_with_norm_(parameters, self.train.clip, norm)
            state.scaler.step(state.optimiser)
        state.scaler.update()
        state.skipped_in_row = state.skipped_in_row + 1 if skipped else 0
        if skipped and (state.skipped_in_row >= MAX_SKIPPED_IN_ROW or state.scaler.get_scale() < 1):
            raise AdaferError(
                f"the fp16 gradient overflowed {state.skipped_in_row} steps in a row, the last in "
                f"epoch {state.epoch + 1}, step {state.step + 1}; resume with --precision fp32"
            )
        if not skipped:
            state.update_average(self.train.ema)
        return skipped

    def _count(self, rows: list[_Row], numbers: list[float], skipped: bool) -> None:
        totals: Totals = self.state.totals
        start = 0
        for row in rows:
            for name, number in zip(row.names, numbers[start:], strict=False):
                totals.add(name, number if name == "correct" else number * row.faces)
            start += len(row.names)
            totals.faces += row.faces
        totals.steps += 1
        totals.skipped += skipped
        totals.grad_norm += 0.0 if skipped else numbers[-1]


def _worded(name: str, row: _Row) -> str:
    """Name the culprit: a total that is not finite is blamed on its term."""
    kind, _, rest = name.partition("/")
    if kind == "loss":
        values = dict(zip(row.names, row.values.tolist(), strict=True))
        broken = [n for n, v in values.items() if n.startswith("term/") and not math.isfinite(v)]
        return f"the loss term {broken[0].partition('/')[2]!r}" if broken else "the loss"
    return f"the {kind} {rest!r}" if rest else f"the {kind}"
