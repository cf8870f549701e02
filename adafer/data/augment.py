"""Random variation of training faces, one at a time, as a pure function of (seed, epoch, index).

The family is shift, scale and rotation, horizontal flip, colour jitter and coarse dropout.
"""

import os
import random
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

# albumentations asks the package index for its newest version while it is imported, unless this
# is set; nothing here uses the network unasked, so it has to be set before that import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A

Face = NDArray[np.uint8]
Level = Literal["none", "light", "strong"]

_WORD = 1 << 64


class Augmentation:
    """Vary a face; the same (seed, epoch, index, repeat) always gives the same pixels.

    Not safe to share between threads: its random generators are set anew for each face.
    """

    def __init__(self, level: Level, seed: int, *, grey: bool) -> None:
        self.level = level
        self.seed = seed
        self.grey = grey
        self._build()

    def __call__(self, face: Face, epoch: int, index: int, repeat: int = 0) -> Face:
        """Return a varied copy of a face (S, S, 3), or (S, S, 1) if grey.

        `index` is the place of the face in its data set, `repeat` how often it has come before in
        this epoch.
        """
        if self.level == "none":
            return face
        self._rewind(epoch, index, repeat)
        return cast(Face, self._pipeline(image=face)["image"])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out: a process that prepares faces builds its own."""
        return {"level": self.level, "seed": self.seed, "grey": self.grey}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()

    def _build(self) -> None:
        self._numpy_random = np.random.Philox(key=0)
        self._fresh = self._numpy_random.state
        self._python_random = random.Random(0)
        self._pipeline = A.Compose(_transforms(self.level, grey=self.grey))
        # One pair of generators for all transforms: setting their states for each face is thirty
        # times cheaper than Compose.set_random_seed, which builds a pair for every transform.
        self._pipeline.set_random_state(
            np.random.Generator(self._numpy_random), self._python_random
        )

    def _rewind(self, epoch: int, index: int, repeat: int) -> None:
        low = (repeat * _WORD + index) % (_WORD * _WORD)
        self._python_random.seed(((self.seed % _WORD) << 256) | ((epoch % _WORD) << 128) | low)
        word = self._python_random.getrandbits
        self._fresh["state"]["key"][:] = word(64), word(64)
        self._numpy_random.state = self._fresh


def _transforms(level: Level, *, grey: bool) -> list[A.BasicTransform]:
    if level == "none":
        return []
    strong = level == "strong"
    reach, turn, zoom = (0.08, 15, 0.15) if strong else (0.05, 8, 0.08)
    chosen: list[A.BasicTransform] = [
        A.HorizontalFlip(p=0.5),
        A.Affine(
            scale=(1 - zoom, 1 + zoom),
            translate_percent=(-reach, reach),
            rotate=(-turn, turn),
            # Repeats the rim; the mirroring borders would also mirror landmarks.
            border_mode=cv2.BORDER_REPLICATE,
            p=0.9 if strong else 0.7,
        ),
        _jitter(0.3 if strong else 0.15, grey=grey, chance=0.7 if strong else 0.5),
    ]
    if strong:
        chosen.append(
            A.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=(0.1, 0.3),
                hole_width_range=(0.1, 0.3),
                fill=0,
                p=0.5,
            )
        )
    return chosen


def _jitter(reach: float, *, grey: bool, chance: float) -> A.BasicTransform:
    if grey:  # the same without colour, as one look-up in a table
        return A.RandomBrightnessContrast(
            brightness_limit=reach / 2, contrast_limit=reach, p=chance
        )
    sway = (1 - reach, 1 + reach)
    return A.ColorJitter(
        brightness=sway, contrast=sway, saturation=sway, hue=(-0.02, 0.02), p=chance
    )
