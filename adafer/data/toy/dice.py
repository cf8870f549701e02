"""Random numbers by the block: a scalar draw from numpy costs ten times as much."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_BLOCK = 128
_LIMIT = 2.5  # normal draws are cut here, so that no face falls apart


class Dice:
    """A stream of random numbers from one generator, served from blocks."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self._uniform = _stream(generator.random)
        self._normal = _stream(generator.standard_normal)

    def uniform(self, low: float, high: float) -> float:
        """Draw evenly from low to high."""
        return low + (high - low) * next(self._uniform)

    def normal(self, spread: float) -> float:
        """Draw around 0 with this standard deviation, cut at 2.5 of it."""
        return spread * min(max(next(self._normal), -_LIMIT), _LIMIT)

    def chance(self, probability: float) -> bool:
        """Return True this often."""
        return next(self._uniform) < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of the choices, each as often."""
        return choices[int(next(self._uniform) * len(choices))]


def _stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    while True:
        yield from draw(_BLOCK).tolist()
