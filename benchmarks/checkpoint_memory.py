"""Memory that each further step of thinking costs in training, with and without checkpointing.

    python benchmarks/checkpoint_memory.py [--device cuda] [--batch 128] [--side 48]

Peak memory of forward and backward is taken at several depths; the slope over the depth is what one
step costs. On the CPU the peak is the sum of all live tensor storages, watched at every operation,
which is exact and repeatable; on a GPU it is the allocator's peak. Aim: with checkpointing at most
a quarter of that without.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adafer.models.recursive import RecursiveFER
from adafer.settings.model import RecursiveSettings

DEPTHS = (4, 12)
AIM = 0.25


class LiveStorages(TorchDispatchMode):
    """Bytes of all storages made while this is active that are still alive; `peak` is the most."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count the storages that it leaves."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                reference = StorageWeakRef(storage)
                self._alive[reference.cdata] = (reference, storage.nbytes())
        self._alive = {k: kept for k, kept in self._alive.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def one_update(steps: int, checkpointing: bool, batch: int, side: int, device: str) -> None:
    """Run forward and backward of one batch at a fixed depth."""
    settings = RecursiveSettings(
        halting="none", max_steps=steps, checkpoint_block=checkpointing, dropout=0.0
    )
    torch.manual_seed(0)
    model = RecursiveFER(settings, 7).to(device).train()
    images = torch.randn(batch, 3, side, side, device=device)
    model(images).logits.square().mean().backward()


def live_peak(steps: int, checkpointing: bool, batch: int, side: int) -> int:
    """Peak of live storages on the CPU, in bytes."""
    with LiveStorages() as watched:
        one_update(steps, checkpointing, batch, side, "cpu")
    return watched.peak


def gpu_peak(steps: int, checkpointing: bool, batch: int, side: int) -> int:
    """Peak of the CUDA allocator, in bytes."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    one_update(steps, checkpointing, batch, side, "cuda")
    return torch.cuda.max_memory_allocated()


def per_step(peak: Callable[..., int], checkpointing: bool, batch: int, side: int) -> float:
    """Bytes that one further step adds to a peak."""
    low, high = (peak(steps, checkpointing, batch, side) for steps in DEPTHS)
    return (high - low) / (DEPTHS[1] - DEPTHS[0])


def compare(peak: Callable[..., int], batch: int, side: int) -> dict[str, float]:
    """Return bytes per further step without and with checkpointing, and their ratio."""
    without = per_step(peak, False, batch, side)
    with_it = per_step(peak, True, batch, side)
    return {"without": without, "with": with_it, "ratio": with_it / without}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    name, peak = ("CUDA allocator", gpu_peak) if given.device == "cuda" else ("live", live_peak)
    found = compare(peak, given.batch, given.side)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{name} memory, batch {given.batch}, side {given.side}, T {DEPTHS[0]} to {DEPTHS[1]}:"
        f" {found['without'] / 1e6:.2f} MB a step, with checkpointing {found['with'] / 1e6:.2f} MB,"
        f" ratio {found['ratio']:.3f} (aim {AIM})"
    )


if __name__ == "__main__":
    main()
