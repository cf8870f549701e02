"""Order and class balance of an epoch, as pure functions of (seed, epoch).

Legend: N faces, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.intp]
Floats = NDArray[np.float64]

_ORDER_STREAM = 1  # keeps these draws apart from any other that starts from the same seed


def class_weights(counts: NDArray[np.int64], power: float) -> Floats:
    """Class weight = count to minus `power`, scaled to mean 1 over the faces; empty classes get 0.

    Power 0 gives every class 1, power 1 gives every class the same total weight.
    """
    numbers = np.asarray(counts, dtype=np.float64)  # (C,)
    weights = np.zeros_like(numbers)
    present = numbers > 0
    weights[present] = numbers[present] ** -power
    total = float(weights @ numbers)
    return weights * (numbers.sum() / total) if total > 0 else weights


def shuffled(faces: int, seed: int, epoch: int) -> Integers:
    """Every face once, in the random order of this epoch, (N,)."""
    return _generator(seed, epoch).permutation(faces).astype(np.intp)


def balanced(labels: NDArray[np.int64], power: float, seed: int, epoch: int) -> Integers:
    """N faces drawn with replacement, each with its class weight as chance, (N,)."""
    chances = class_weights(np.bincount(labels), power)[labels]
    draws = _generator(seed, epoch).choice(len(labels), len(labels), p=chances / chances.sum())
    return draws.astype(np.intp)


def repeats(order: Integers) -> Integers:
    """How often the face at each place of the order has come before, (N,).

    A face that a balanced epoch shows three times is varied in three ways, not shown as copies.
    """
    by_face = np.argsort(order, kind="stable")
    ranks = np.arange(len(order), dtype=np.intp)
    starts = np.flatnonzero(np.diff(order[by_face], prepend=-1))
    runs = np.diff(starts, append=len(order))
    seen = np.empty(len(order), dtype=np.intp)
    seen[by_face] = ranks - np.repeat(starts, runs)
    return seen


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which faces of each batch one of several processes takes: every `count`-th, from `rank` on.

    A batch with fewer than two faces for each process is taken whole by all of them: a batch norm
    cannot learn from one face.
    """

    rank: int = 0
    count: int = 1

    def of(self, faces: Integers) -> Integers:
        """Faces of a batch (B,) that are this process's."""
        return faces if len(faces) < 2 * self.count else faces[self.rank :: self.count]

    def whole(self, faces: Integers) -> int | None:
        """Size of a batch (B,) where it is shared out, None where it is not."""
        return len(faces) if self.count > 1 else None


WHOLE = Part()
"""Every face of every batch, for the one process there is."""


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng((_ORDER_STREAM, seed, epoch))


def cuts(faces: int, batch_size: int) -> list[slice]:
    """Return where an epoch of so many faces is cut into batches; a last single face joins in."""
    starts = list(range(0, faces, batch_size))
    if len(starts) > 1 and faces - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], faces], strict=True)]
