"""Shapes of a face in its own coordinates, projected together and drawn in order.

Face coordinates: the origin between forehead and mouth, x to the right of the image, y down, one
unit is half the height of the head. Legend: P points of a shape.
"""

from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from adafer.data.toy.person import Colour, View

Points = NDArray[np.float64]  # (P, 2)
Canvas = NDArray[np.uint8]  # (S, S, 3)

_SHIFT = 4  # bits of a pixel's fraction, which OpenCV's drawing takes
_FLAT = -9.0  # depth that marks a shape as lying in the plane of the head's outline


class Sketch:
    """A list of shapes that is drawn with one projection for all their points."""

    def __init__(self) -> None:
        self._points: list[Points] = []
        self._styles: list[tuple[Colour, float]] = []  # a width of 0 fills
        self._depths: list[float] = []

    def fill(
        self, points: Points, colour: Colour, *, flat: bool = False, depth: float = 0.0
    ) -> None:
        """Add a filled polygon; `depth` lifts it from the surface of the head (the nose, say)."""
        self._add(points, colour, 0.0, flat, depth)

    def line(
        self,
        points: Points,
        colour: Colour,
        width: float,
        *,
        flat: bool = False,
        depth: float = 0.0,
    ) -> None:
        """Add an open line; its width is in face units."""
        self._add(points, colour, width, flat, depth)

    def draw(self, canvas: Canvas, view: View) -> None:
        """Draw all shapes in the order in which they were added."""
        if not self._points:
            return
        side = canvas.shape[0]
        counts = [len(points) for points in self._points]
        depths = np.repeat(self._depths, counts)
        pixels = projected(np.concatenate(self._points), depths, view)  # (sum of P, 2)
        fixed = np.rint((pixels + 1) * (side / 2 * (1 << _SHIFT))).astype(np.int32)
        pixels_per_unit = view.scale * side / 2
        start = 0
        for count, (colour, width) in zip(counts, self._styles, strict=True):
            points = fixed[start : start + count]
            start += count
            if width:
                thickness = max(1, round(width * pixels_per_unit))
                cv2.polylines(canvas, [points], False, colour, thickness, cv2.LINE_AA, _SHIFT)
            else:
                cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA, _SHIFT)

    def _add(self, points: Points, colour: Colour, width: float, flat: bool, depth: float) -> None:
        self._points.append(points)
        self._styles.append((colour, width))
        self._depths.append(_FLAT if flat else depth)


def projected(points: Points, depths: NDArray[np.float64], view: View) -> Points:
    """Turn points of the head and lay them on the image, whose sides run from -1 to 1, (P, 2)."""
    x, y = points.T.copy()
    on_head = depths != _FLAT
    bulge = 0.8 * np.sqrt(np.maximum(1 - 1.1 * x * x - 0.5 * y * y, 0.0))
    z = (bulge + depths) * on_head
    across = x * cos(view.yaw) + z * sin(view.yaw)
    down = y * cos(view.pitch) + (z - 0.35 * on_head) * sin(view.pitch)
    cosine, sine = view.scale * cos(view.roll), view.scale * sin(view.roll)
    return path(
        cosine * across - sine * down + view.shift[0],
        sine * across + cosine * down + view.shift[1],
    )


def path(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """Points from their coordinates, (P, 2)."""
    out = np.empty((len(x), 2))
    out[:, 0] = x
    out[:, 1] = y
    return out


def ring(upper: Points, lower: Points) -> Points:
    """Closed outline from an upper and a lower edge, both from left to right."""
    return np.concatenate((upper, lower[::-1]))


def spots(*points: tuple[float, float]) -> Points:
    """Points as they are written down, (P, 2)."""
    return np.array(points, dtype=np.float64)


_TURNS = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE = path(np.cos(_TURNS), np.sin(_TURNS))


def ellipse(x: float, y: float, across: float, down: float) -> Points:
    """Ellipse around (x, y) with these radii."""
    return _CIRCLE * (across, down) + (x, y)
