"""`adafer lr-find`: a learning rate from one short run with rising rates.

Smith 2017, arXiv:1506.01186, sec. 3.3. Two suggestions, with the names that fastai gives to such:
the rate where the smoothed loss falls most steeply, and one two thirds down the valley. Differs
from fastai: the valley goes from where a twentieth of the fall is done to the lowest point.
"""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from adafer.contracts import Batch
from adafer.engine import hardware
from adafer.engine.batches import Batches, answer, to_device
from adafer.errors import DataError
from adafer.plain_values import finite
from adafer.predictions_file import csv_bytes, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.readiness import prepare_training, training_batches
from adafer.recipe import Recipe
from adafer.training import Training

SMOOTHING = 0.95
DIVERGED = 4.0
"""The sweep ends when the smoothed loss is this many times the best one."""
SKIPPED = 10
"""The first tenth is not read: its mean is of too few batches."""
FALLEN = 0.95
"""Share of the whole fall that is still to come where the valley starts."""
FEWEST = 10
"""Steps below which a curve says nothing."""


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """The curve, and what it suggests."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    valley: float
    diverged: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def lr_find(
    recipe: Recipe,
    *,
    low: float = 1e-5,
    high: float = 1.0,
    steps: int = 100,
    output: Path = Path("lr_find"),
    watcher: Watcher | None = None,
) -> RateSweep:
    """Train for some steps with an exponentially rising rate; write the curve and a picture.

    The weights are thrown away. The loss, the batches and the optimiser are those of the recipe.

    Raises:
        DataError: too few steps before the loss is no number.
    """
    watcher = watcher or usual_watcher()
    training = prepare_training(recipe.changed(freeze_backbone_epochs=0), watcher)
    rates = np.geomspace(low, high, steps)
    losses = _swept(training, training_batches(training), rates.tolist(), watcher)
    found = suggestions(rates[: len(losses)].tolist(), losses, stopped=len(losses) < steps)
    rows = [["rate", "loss", "smoothed"]]
    rows += [
        [f"{a:.8g}", f"{b:.6f}", f"{c:.6f}"]
        for a, b, c in zip(found.rates, found.losses, found.smoothed, strict=True)
    ]
    write_bytes(output / "lr_find.csv", csv_bytes(rows))
    text = json.dumps(finite(found.to_json()), indent=2, allow_nan=False)
    write_bytes(output / "lr_find.json", f"{text}\n".encode())
    write_bytes(output / "lr_find.png", _picture(found))
    return found


def suggestions(
    rates: Sequence[float], losses: Sequence[float], *, stopped: bool = False
) -> RateSweep:
    """Smooth a curve and read both suggestions from it.

    Raises:
        DataError: for a curve of fewer than ten steps.
    """
    if len(losses) < FEWEST:
        raise DataError(
            f"the loss was no number after {len(losses)} steps; start with a smaller --low"
        )
    smoothed = _smoothed(losses)
    logs = np.log(np.asarray(rates))
    skipped = len(losses) // SKIPPED
    start, end = (skipped + place for place in _valley(np.asarray(smoothed)[skipped:]))
    slopes = np.gradient(np.asarray(smoothed), logs)
    return RateSweep(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        steepest=float(rates[start + int(np.argmin(slopes[start : end + 1]))]),
        valley=float(rates[start + round(2 * (end - start) / 3)]),
        diverged=stopped,
    )


def _swept(
    training: Training, batches: Batches, rates: list[float], watcher: Watcher
) -> list[float]:
    state, loss, prepare = training.state, training.loss(), training.prepare
    phase = training.phases[0]
    state.enter(training.phases, 0)
    state.model.train()
    losses: list[float] = []
    best = math.inf
    for number, (rate, batch) in enumerate(zip(rates, _endless(batches), strict=False)):
        for group in state.optimiser.param_groups:
            group["lr"] = rate * group["peak"] / phase.lr  # a backbone keeps its share
        hardware.seed_device(state.device, number)
        moved = to_device(batch, state.device)
        if prepare is not None:
            moved = prepare(moved)
        with hardware.autocast(state.device, state.precision):
            output = answer(state.model, moved)
        value = torch.stack([t.float() for t in loss(output, moved, 1.0).values()]).sum()
        if not bool(value.isfinite()):
            break
        losses.append(float(value.detach()))
        smoothed = _smoothed(losses)[-1]
        best = min(best, smoothed)
        if smoothed > DIVERGED * best:
            break
        state.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if training.recipe.train.clip:
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), training.recipe.train.clip)
        state.optimiser.step()
        watcher.stepped(1, number + 1, len(rates), smoothed)
    watcher.rest()
    return losses


def _endless(batches: Batches) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from batches(epoch)
        epoch += 1


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Exponential moving average without the pull of its start (Kingma and Ba 2015)."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**number))
    return smoothed


def _valley(smoothed: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[int, int]:
    """Places of the first step on the way down and of the lowest one."""
    end = int(smoothed.argmin())
    low, top = smoothed[end], smoothed[: end + 1].max()
    above = np.flatnonzero(smoothed[: end + 1] >= low + FALLEN * (top - low))
    return int(above[-1]), end


def _picture(found: RateSweep) -> bytes:
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    drawn = figure.add_subplot()
    drawn.plot(found.rates, found.losses, color="0.8", linewidth=1, label="loss of a batch")
    drawn.plot(found.rates, found.smoothed, color="#3c48c8", linewidth=2, label="smoothed")
    drawn.axvline(found.valley, color="#c8643c", linestyle="--", label=f"valley {found.valley:.1e}")
    steepest = f"steepest {found.steepest:.1e}"
    drawn.axvline(found.steepest, color="0.4", linestyle=":", label=steepest)
    low, high = min(found.smoothed), found.smoothed[0]
    drawn.set(
        xscale="log", xlabel="learning rate", ylabel="loss",
        ylim=(low - 0.1 * abs(low), high + 0.6 * (high - low) + 0.1),
    )  # fmt: skip
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.legend(frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150)
    return data.getvalue()
