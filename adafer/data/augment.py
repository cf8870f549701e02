"""Random variation of training faces, one at a time, as a pure function of (seed, epoch, index).

The family is shift, scale and rotation, horizontal flip, colour jitter and coarse dropout.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

# albumentations asks the package index for its newest version while it is imported, unless this
# is set; nothing here uses the network unasked, so it has to be set before that import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A

from adafer.image import BACKGROUND

Face = NDArray[np.uint8]
Points = NDArray[np.float32]
Level = Literal["none", "light", "strong", "transfer"]

_WORD = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far a level goes; chances are for each face."""

    flip: float = 0.5  # chance
    affine: float  # chance of shift, scale and rotation together
    shift: float  # share of the side, either way
    turn: float  # degrees, either way
    zoom: float  # scale of each side is 1 minus to 1 plus this
    jittered: float  # chance
    jitter: float  # contrast factor is 1 minus to 1 plus this
    dropout: float  # chance of one or two holes


RANGES = {
    "light": Ranges(
        affine=0.7, shift=0.05, turn=8, zoom=0.08, jittered=0.5, jitter=0.15, dropout=0.0
    ),
    "strong": Ranges(
        affine=0.9, shift=0.08, turn=15, zoom=0.15, jittered=0.7, jitter=0.3, dropout=0.5
    ),
}
"""Ranges of both levels, whichever way the faces are varied."""

AREA = (0.75, 1.0)
"""Share of the face's area that level `transfer` cuts out and resizes."""
TURN = 15
"""Degrees that level `transfer` turns a face, either way."""
JITTER = 0.2
"""Reach of the colour jitter of level `transfer`."""
ERASED = (0.02, 0.2)
"""Share of the area that level `transfer` paints over, in one face of four."""

HOLE = (0.1, 0.3)
"""Sides of a hole, as shares of the face's side."""
HUE = 0.02
"""Shift of the hue, either way, as a share of the circle."""

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


class Augmentation:
    """Vary a face; the same (seed, epoch, index, repeat) always gives the same pixels.

    Not safe to share between threads: its random generators are set anew for each face.
    """

    def __init__(self, level: Level, seed: int, *, grey: bool, size: int = 0) -> None:
        """Make a variation; `size` is the side that leaves it where faces come larger, or 0."""
        self.level = level
        self.seed = seed
        self.grey = grey
        self.size = size
        self._build()

    def __call__(self, face: Face, epoch: int, index: int, repeat: int = 0) -> Face:
        """Return a varied copy (S, S, 3), or (S, S, 1) if grey, of a face of that many channels.

        `index` is the place of the face in its data set, `repeat` how often it has come before in
        this epoch.
        """
        if self.level == "none":
            return face
        self._rewind(epoch, index, repeat)
        return cast(Face, self._pipeline(image=face)["image"])

    def with_points(
        self,
        face: Face,
        points: Points,
        mirror_points: Sequence[int],
        epoch: int,
        index: int,
        repeat: int = 0,
    ) -> tuple[Face, Points]:
        """Vary a face, the same as without points, and its landmarks (P, 2) with it.

        In a mirrored face each point takes the place of its partner, so that a left eye stays the
        eye on the left. Points may leave the face; unknown ones (NaN) stay unknown.
        """
        if self.level == "none":
            return face, points
        known = np.isfinite(points).sum(1) == 2
        given = np.concatenate([np.where(known[:, None], points, 0), _CORNERS]).astype(np.float32)
        self._rewind(epoch, index, repeat)
        varied = self._pointed(image=face, keypoints=given)
        moved = np.asarray(varied["keypoints"], dtype=np.float32).reshape(-1, 2)
        origin, right, down = moved[-3:].astype(np.float64)
        moved = moved[:-3]
        moved[np.flatnonzero(~known)] = np.nan
        if np.linalg.det(np.stack([right - origin, down - origin])) < 0:
            moved = moved[list(mirror_points)]
        return cast(Face, varied["image"]), moved

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out: a process that prepares faces builds its own."""
        names = ("level", "seed", "grey", "size")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()

    def _build(self) -> None:
        self._numpy_random = np.random.Philox(key=0)
        self._fresh = self._numpy_random.state
        self._python_random = random.Random(0)
        transforms = _transforms(self.level, grey=self.grey, size=self.size)
        self._pipeline = A.Compose(transforms)
        points = A.KeypointParams(format="xy", remove_invisible=False)
        # Without a transform that moves points, the library warns of them.
        self._pointed = A.Compose(transforms, keypoint_params=points if transforms else None)
        # One pair of generators for all transforms: setting their states for each face is thirty
        # times cheaper than Compose.set_random_seed, which builds a pair for every transform.
        for pipeline in (self._pipeline, self._pointed):
            pipeline.set_random_state(np.random.Generator(self._numpy_random), self._python_random)

    def _rewind(self, epoch: int, index: int, repeat: int) -> None:
        low = (repeat * _WORD + index) % (_WORD * _WORD)
        self._python_random.seed(((self.seed % _WORD) << 256) | ((epoch % _WORD) << 128) | low)
        word = self._python_random.getrandbits
        self._fresh["state"]["key"][:] = word(64), word(64)
        self._numpy_random.state = self._fresh


def _transforms(level: Level, *, grey: bool, size: int) -> list[A.BasicTransform]:
    if level == "none":
        return []
    if level == "transfer":
        return _fine_tuning(size, grey=grey)
    cut = [A.CenterCrop(size, size)] if size else []
    return [*_family(RANGES[level], grey=grey), *cut]


def _fine_tuning(size: int, *, grey: bool) -> list[A.BasicTransform]:
    """The usual variation of fine-tuning: a resized crop, flip, turn, colour, one erased patch."""
    return [
        A.RandomResizedCrop(size=(size, size), scale=AREA, p=1.0),
        A.HorizontalFlip(p=0.5),
        A.Rotate(limit=TURN, border_mode=cv2.BORDER_REPLICATE, p=1.0),
        _jitter(JITTER, grey=grey, chance=0.8),
        A.Erasing(scale=ERASED, fill=BACKGROUND, p=0.25),
    ]


def _family(ranges: Ranges, *, grey: bool) -> list[A.BasicTransform]:
    chosen: list[A.BasicTransform] = [
        A.HorizontalFlip(p=ranges.flip),
        A.Affine(
            scale=(1 - ranges.zoom, 1 + ranges.zoom),
            translate_percent=(-ranges.shift, ranges.shift),
            rotate=(-ranges.turn, ranges.turn),
            # Repeats the rim; the mirroring borders would also mirror landmarks.
            border_mode=cv2.BORDER_REPLICATE,
            p=ranges.affine,
        ),
        _jitter(ranges.jitter, grey=grey, chance=ranges.jittered),
    ]
    if ranges.dropout:
        chosen.append(
            A.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=HOLE,
                hole_width_range=HOLE,
                fill=0,
                p=ranges.dropout,
            )
        )
    return chosen


def _jitter(reach: float, *, grey: bool, chance: float) -> A.BasicTransform:
    if grey:  # the same without colour, as one look-up in a table
        return A.RandomBrightnessContrast(
            brightness_limit=reach / 2, contrast_limit=reach, p=chance
        )
    sway = (1 - reach, 1 + reach)
    return A.ColorJitter(brightness=sway, contrast=sway, saturation=sway, hue=(-HUE, HUE), p=chance)
