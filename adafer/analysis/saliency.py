"""Where maps lie on an aligned face: shares of fixed parts of the crop.

Legend: N maps, H, W their size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BANDS = {
    "brows and eyes": (0.20, 0.47),
    "nose and cheeks": (0.47, 0.65),
    "mouth and chin": (0.65, 0.92),
}
"""Rows of each part as shares of the height; the parts take the columns of `INNER`."""
INNER = (0.15, 0.85)
OUTSIDE = "outside these"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A fixed part of the crop, not found by landmarks."""

    name: str
    share: float  # of what the maps mark
    area: float  # of the crop

    @property
    def ratio(self) -> float:
        """How much more is marked there than chance would; 1 is chance."""
        return self.share / self.area


def normalised(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return maps (N, H, W) without sign, each with sum 1; a map of nothing is spread evenly."""
    marked = np.abs(maps.astype(np.float64))
    total = marked.sum((1, 2), keepdims=True)
    even = np.full_like(marked, 1 / (maps.shape[1] * maps.shape[2]))
    return np.where(total > 0, marked / np.where(total > 0, total, 1), even)


def parts(maps: NDArray[np.float32]) -> tuple[Part, ...]:
    """Return the mean share of maps (N, H, W) in each part of the crop; the shares sum to 1."""
    mean = normalised(maps).mean(0)  # (H, W)
    height, width = mean.shape
    left, right = (round(edge * width) for edge in INNER)
    found, inside = [], np.zeros(mean.shape, dtype=bool)
    for name, (top, bottom) in BANDS.items():
        here = np.zeros(mean.shape, dtype=bool)
        here[round(top * height) : round(bottom * height), left:right] = True
        inside |= here
        found.append(Part(name=name, share=float(mean[here].sum()), area=float(here.mean())))
    rest = Part(name=OUTSIDE, share=float(mean[~inside].sum()), area=float((~inside).mean()))
    return (*found, rest)
