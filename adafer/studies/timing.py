"""What stopping early saves on the clock: every depth and the model's own halting, side by side.

Legend: B images in a batch, T steps.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adafer.contracts import StepModel
from adafer.data.dataset import FaceDataset
from adafer.engine.thinking import think

BATCHES = (1, 32)
ROUNDS = 11
FACES = 256
LEAST_SAVING = 0.1
"""Below this ideal saving there is nothing to measure."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds a face at one batch size; the least disturbed of the rounds."""

    batch_size: int
    fixed: tuple[float, ...]  # at each depth 1..T, for all faces
    adaptive: float  # each face as long as it needs
    mean_steps: float  # of these faces
    saved: float | None  # measured saving over all T steps as a share of the ideal, 1 - mean / T

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def timings(
    model: Any,
    dataset: FaceDataset,
    device: torch.device,
    *,
    batch_sizes: tuple[int, ...] = BATCHES,
    rounds: int = ROUNDS,
    faces: int = FACES,
) -> tuple[Timing, ...]:
    """Time a model on faces spread over the data set; every arm runs once in each round."""
    places = np.linspace(0, len(dataset) - 1, min(faces, len(dataset))).astype(int)
    images = torch.from_numpy(dataset.preprocessing.normalised(dataset.faces(places))).to(device)
    model.eval()
    with torch.inference_mode():
        return tuple(_timed(model, images, size, rounds) for size in batch_sizes)


def _timed(model: StepModel, images: Tensor, size: int, rounds: int) -> Timing:
    longest = model.max_steps
    parts = torch.split(images, size)
    steps = torch.cat([think(model, part).steps for part in parts]).double()
    arms: list[Callable[[], None]] = [
        *(lambda depth=depth: _run_fixed(model, parts, depth) for depth in range(1, longest + 1)),
        lambda: _run_adaptive(model, parts),
    ]
    seconds: list[list[float]] = [[] for _ in arms]
    for arm in arms:
        arm()  # the first run of a shape prepares it
    for number in range(rounds):
        for place in np.random.default_rng(number).permutation(len(arms)):
            seconds[place].append(_seconds(arms[place], images.device))
    milliseconds = [1000 * min(times) / len(images) for times in seconds]
    mean = float(steps.mean())
    ideal = 1 - mean / longest
    gained = 1 - milliseconds[-1] / milliseconds[-2]
    return Timing(
        batch_size=size,
        fixed=tuple(milliseconds[:-1]),
        adaptive=milliseconds[-1],
        mean_steps=mean,
        saved=gained / ideal if ideal >= LEAST_SAVING else None,
    )


def _run_fixed(model: StepModel, parts: tuple[Tensor, ...], depth: int) -> None:
    for part in parts:
        memory = model.begin(part)
        for _ in range(depth):
            memory = model.step(memory)
            model.read(memory)


def _run_adaptive(model: StepModel, parts: tuple[Tensor, ...]) -> None:
    for part in parts:
        think(model, part)


def _seconds(arm: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    since = time.perf_counter()
    arm()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - since
