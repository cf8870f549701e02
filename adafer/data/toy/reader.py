"""Toy faces as a listing: which emotions, how clearly shown, and what ten annotators would say.

Legend: N faces, C classes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.listing import Listing
from adafer.data.toy.dice import Dice
from adafer.data.toy.drawing import draw
from adafer.data.toy.expression import expressed
from adafer.data.toy.person import born, seen
from adafer.errors import WordsError
from adafer.labels import EMOTIONS
from adafer.settings.data import DataSettings

ANNOTATORS = 10
SMALLEST = 48
"""Side at which faces are drawn, unless a larger one is asked for."""

_SPLITS = {"train": 0, "val": 1, "test": 2}
_EVALUATION_SHARE = 4  # val and test have a quarter as many faces as train


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One toy face and what is known about it."""

    pixels: NDArray[np.uint8]  # (S, S, 3)
    emotions: tuple[str, str]  # the second is another one only if the face is a blend
    blend: float  # share of the second emotion, 0 to 0.5
    intensity: float  # 1 is the prototype
    chances: NDArray[np.float64]  # (C,) of each answer of an annotator
    votes: NDArray[np.float32]  # (C,) share of ten annotators
    label: int


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """Draw a split; `root` is not looked at.

    Source: drawn here, free of rights. 7 emotions or 8 with contempt, in the project's order, each
    as often, with the votes of ten annotators. Labels are the majority of the votes. The same seed
    and split always give the same faces, and more faces begin with the fewer.
    """
    _check(split, settings)
    count = settings.toy_faces
    if split != "train":
        count = max(count // _EVALUATION_SHARE, 1)
    faces = [drawn(settings, split, index) for index in range(count)]
    return Listing(
        layout="toy",
        split=split,
        class_names=EMOTIONS[: settings.toy_classes],
        ids=tuple(f"toy-{settings.toy_seed}/{split}/{index:06d}" for index in range(count)),
        labels=np.array([face.label for face in faces], np.int64),
        votes=np.stack([face.votes for face in faces]),
        pictures=tuple(face.pixels for face in faces),
    )


def _check(split: str, settings: DataSettings) -> None:
    if split not in _SPLITS:
        raise WordsError(f"toy has no split '{split}': choose one of {', '.join(_SPLITS)}")
    if settings.toy_faces < 1:
        raise WordsError(f"cannot draw {settings.toy_faces} faces: set --toy-faces to 1 or more")
    if settings.toy_classes not in (7, 8):
        raise WordsError(
            f"cannot draw {settings.toy_classes} emotions: set --toy-classes to 7 or 8"
        )
    if not 0 <= settings.toy_ambiguity <= 1:
        raise WordsError(
            f"{settings.toy_ambiguity} is no share of the faces: set --toy-ambiguity from 0 to 1"
        )
    if settings.toy_seed < 0:
        raise WordsError(f"{settings.toy_seed} is no seed: set --toy-seed to 0 or more")


def drawn(settings: DataSettings, split: str, index: int) -> Drawn:
    """Draw one face, a pure function of (toy_seed, split, index) and of the dials.

    The main emotion goes round with the index, so that even a few faces show every class.
    """
    names = EMOTIONS[: settings.toy_classes]
    dice = Dice(np.random.default_rng((settings.toy_seed, _SPLITS[split], index)))
    main = index % len(names)
    other = (main + 1 + int(dice.uniform(0, len(names) - 1))) % len(names)
    share = dice.uniform(0.2, 0.5)
    ambiguous = dice.chance(settings.toy_ambiguity)
    blend = share if ambiguous else 0.0
    intensity = 0.6 + 0.5 * dice.uniform(0, 1) ** 0.6
    emotions = (names[main], names[other] if ambiguous else names[main])
    expression = expressed(dice, emotions, blend, intensity)
    person, view = born(dice), seen(dice)
    pixels = draw(dice, person, expression, view, max(settings.img_size, SMALLEST))
    chances = _chances(len(names), main, other, blend, intensity, view.occlusion != "none")
    votes = dice.generator.multinomial(ANNOTATORS, chances)
    return Drawn(
        pixels=pixels,
        emotions=emotions,
        blend=blend,
        intensity=intensity,
        chances=chances,
        votes=(votes / ANNOTATORS).astype(np.float32),
        label=majority(votes, chances),
    )


def majority(votes: NDArray[np.int64], chances: NDArray[np.float64]) -> int:
    """Class with most votes; a tie goes to the emotion that weighs more in the face."""
    return int(np.argmax(votes + 0.5 * chances))


def _chances(
    classes: int, main: int, other: int, blend: float, intensity: float, hidden: bool
) -> NDArray[np.float64]:
    """What an annotator says: the blend, some `neutral` for weak faces, seldom anything else."""
    doubt = 0.10 if hidden else 0.02
    weak = 0.5 * max(0.8 - intensity, 0.0)
    chances = np.full(classes, doubt / classes)
    chances[main] += (1 - doubt) * (1 - weak) * (1 - blend)
    chances[other] += (1 - doubt) * (1 - weak) * blend
    chances[0] += (1 - doubt) * weak
    chances /= chances.sum()
    return chances
