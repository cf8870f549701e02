"""Throughput of `fit` against a bare hand-written loop: same model, batch, precision and faces.

Both run in one process, in turns, on batches made beforehand, at full depth so that both do the
same work. The bare loop takes the step and nothing else; ours also clips, averages the weights,
checks every number and keeps the figures. Prints the median ratio over the rounds; the aim is 0.95.

    python benchmarks/loop_speed.py --rounds 9 --steps 20
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from torch import nn

from adafer.contracts import Batch
from adafer.engine import hardware
from adafer.engine.batches import to_device
from adafer.engine.train import State, fit
from adafer.losses import LOSSES
from adafer.models import MODELS
from adafer.settings.model import RecursiveSettings
from adafer.settings.training import PhaseSettings, TrainSettings

CLASSES = 7
FOR_EVER = (PhaseSettings(epochs=100_000),)


class ReadyBatches:
    """The same batches in every epoch, already made."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    @property
    def batches_per_epoch(self) -> int:
        """Number of them."""
        return len(self.batches)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give them from number `start` on."""
        return iter(self.batches[start:])


def make_model(settings: RecursiveSettings) -> nn.Module:
    """Build the recursive model at full depth."""
    torch.manual_seed(0)
    model = MODELS["recursive"][1](settings, CLASSES)
    model.full_depth = True
    return model


def make_batches(count: int, size: int, side: int, device: torch.device) -> list[Batch]:
    """Draw batches of noise."""
    generator = torch.Generator().manual_seed(0)
    return [
        to_device(
            Batch(
                images=torch.randn(size, 3, side, side, generator=generator),
                labels=torch.randint(CLASSES, (size,), generator=generator),
                ids=tuple(f"{number}-{face}" for face in range(size)),
            ),
            device,
        )
        for number in range(count)
    ]


def bare_rounds(
    model: nn.Module, batches: list[Batch], device: torch.device, precision: hardware.Precision
) -> Iterator[float]:
    """Seconds of each pass over the batches, by a loop as one would write it by hand."""
    loss = LOSSES["ponder"][1]()
    model = model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type != "mps")
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    while True:
        start = time.perf_counter()
        for batch in batches:
            optimiser.zero_grad(set_to_none=True)
            with hardware.autocast(device, precision):
                output = model(batch.images)
            total = sum(loss(output, batch, 0.5).values())
            scaler.scale(total).backward()
            scaler.step(optimiser)
            scaler.update()
        total.item()  # waits for the device
        yield time.perf_counter() - start


def our_rounds(model: nn.Module, batches: list[Batch], train: TrainSettings) -> Iterator[float]:
    """Seconds of each epoch of `fit`."""
    state = State.create(model, train, FOR_EVER)
    epochs = fit(state, LOSSES["ponder"][1](), ReadyBatches(batches), FOR_EVER, train)
    while True:
        start = time.perf_counter()
        next(epochs)
        yield time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps of a round")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--img-size", type=int, default=48)
    parser.add_argument("--max-steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    device = hardware.choose_device(words.device)
    precision = hardware.choose_precision(words.precision, device)
    settings = RecursiveSettings(max_steps=words.max_steps)
    train = TrainSettings(device=str(device), precision=precision)
    batches = make_batches(words.steps, words.batch_size, words.img_size, device)
    bare = bare_rounds(make_model(settings), batches, device, precision)
    ours = our_rounds(make_model(settings), batches, train)
    next(bare), next(ours)  # kernels are chosen and memory is taken
    seconds = []
    for number in range(words.rounds):
        pair = {"bare": bare, "ours": ours}
        # Turns change, so that neither always runs after the other.
        order = sorted(pair, reverse=bool(number % 2))
        seconds.append({name: next(pair[name]) for name in order})
    faces = words.steps * words.batch_size
    for name in ("bare", "ours"):
        middle = statistics.median(one[name] for one in seconds)
        print(
            f"{name}: {faces / middle:8.0f} faces/s ({1000 * middle / words.steps:.2f} ms a step)"
        )
    ratios = [one["bare"] / one["ours"] for one in seconds]
    print(
        f"ratio of throughput, ours / bare: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}, {words.rounds} rounds, {device}, {precision}, "
        f"batch {words.batch_size}, torch {torch.__version__})"
    )


if __name__ == "__main__":
    main()
