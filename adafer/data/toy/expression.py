"""What a face does in each emotion: prototypes in the facial action coding system's units.

The prototypes follow Ekman and Friesen's (FACS, 1978; EMFACS): several for each emotion, so that
no single part tells it: bared teeth go with anger, fear and happiness, an open mouth with surprise
and fear, a frown with sadness, anger and disgust; what the rest of the face does decides.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adafer.data.toy.dice import Dice


class Expression(NamedTuple):
    """How far each part of the face has moved, from 0 (at rest) to about 1 (fully)."""

    inner_brow_raise: float = 0.0  # AU 1
    outer_brow_raise: float = 0.0  # AU 2
    brow_lower: float = 0.0  # AU 4, together and down
    lid_raise: float = 0.0  # AU 5
    cheek_raise: float = 0.0  # AU 6
    lid_tighten: float = 0.0  # AU 7
    nose_wrinkle: float = 0.0  # AU 9
    upper_lip_raise: float = 0.0  # AU 10
    corner_pull: float = 0.0  # AU 12
    one_corner_pull: float = 0.0  # AU 12 and 14 on one side
    corner_drop: float = 0.0  # AU 15
    chin_raise: float = 0.0  # AU 17
    lip_stretch: float = 0.0  # AU 20
    lip_press: float = 0.0  # AU 23 and 24
    mouth_open: float = 0.0  # AU 25 and 26
    rounded: float = 0.0  # the open mouth is narrow and tall
    teeth: float = 0.0  # share of the open mouth that teeth fill


PROTOTYPES: dict[str, tuple[Expression, ...]] = {
    "neutral": (
        Expression(),
        Expression(lid_tighten=0.15, lip_press=0.25),
        Expression(mouth_open=0.12),
    ),
    "happiness": (
        Expression(cheek_raise=0.7, corner_pull=0.8),
        Expression(cheek_raise=0.9, corner_pull=1.0, mouth_open=0.4, teeth=0.9),
        Expression(cheek_raise=1.0, corner_pull=1.0, mouth_open=0.85, teeth=0.4),
        Expression(corner_pull=0.9, mouth_open=0.22, teeth=1.0, lid_raise=0.1),
    ),
    "surprise": (
        Expression(
            inner_brow_raise=1, outer_brow_raise=1, lid_raise=0.8, mouth_open=0.9, rounded=1
        ),
        Expression(
            inner_brow_raise=1, outer_brow_raise=0.9, lid_raise=1, mouth_open=0.45, rounded=0.9
        ),
        Expression(
            inner_brow_raise=0.9, outer_brow_raise=1, lid_raise=0.6, mouth_open=0.6, rounded=0.3
        ),
    ),
    "sadness": (
        Expression(inner_brow_raise=1, brow_lower=0.5, corner_drop=0.9, chin_raise=0.4),
        Expression(
            inner_brow_raise=0.9, brow_lower=0.4, corner_drop=0.7, lid_tighten=0.5, mouth_open=0.2
        ),
        Expression(inner_brow_raise=0.8, brow_lower=0.3, corner_drop=1.0, chin_raise=0.9),
    ),
    "anger": (
        Expression(brow_lower=1, lid_raise=0.4, lid_tighten=0.3, lip_press=1, corner_drop=0.3),
        Expression(brow_lower=1, lid_raise=0.6, mouth_open=0.45, teeth=1, lip_stretch=0.2),
        Expression(brow_lower=1, lid_raise=0.5, mouth_open=0.75, teeth=0.35, upper_lip_raise=0.4),
        Expression(brow_lower=1, lid_tighten=0.4, corner_drop=0.7, lip_press=0.6, chin_raise=0.5),
    ),
    "disgust": (
        Expression(
            nose_wrinkle=1, upper_lip_raise=0.9, brow_lower=0.45, lid_tighten=0.8, corner_drop=0.4
        ),
        Expression(
            nose_wrinkle=0.9,
            upper_lip_raise=1,
            lid_tighten=0.7,
            cheek_raise=0.5,
            mouth_open=0.3,
            teeth=0.7,
            corner_drop=0.3,
        ),
        Expression(nose_wrinkle=1, lid_tighten=1, corner_drop=0.8, chin_raise=0.9),
    ),
    "fear": (
        Expression(
            inner_brow_raise=1,
            outer_brow_raise=0.4,
            brow_lower=0.6,
            lid_raise=1,
            lip_stretch=1,
            mouth_open=0.35,
            teeth=0.8,
        ),
        Expression(
            inner_brow_raise=1,
            outer_brow_raise=0.3,
            brow_lower=0.5,
            lid_raise=0.9,
            lip_stretch=0.7,
            mouth_open=0.6,
            teeth=0.2,
        ),
        Expression(
            inner_brow_raise=1,
            outer_brow_raise=0.3,
            brow_lower=0.6,
            lid_raise=1,
            lip_stretch=0.8,
            corner_drop=0.35,
        ),
    ),
    "contempt": (
        Expression(one_corner_pull=1.0, lid_tighten=0.35),
        Expression(one_corner_pull=0.9, outer_brow_raise=0.15, lip_press=0.5),
        Expression(one_corner_pull=1.0, chin_raise=0.4, lid_tighten=0.2),
    ),
}

_TABLE = {name: np.array(rows, dtype=np.float64) for name, rows in PROTOTYPES.items()}
_ACTIONS = len(Expression._fields)


def expressed(dice: Dice, emotions: tuple[str, str], blend: float, intensity: float) -> Expression:
    """Mix one prototype of each of two emotions (`blend` is the share of the second), and vary it.

    People differ: every action is up to a third stronger or weaker, and all faces twitch a little.
    """
    first, second = (_TABLE[name] for name in emotions)
    mixed = (1 - blend) * first[int(dice.uniform(0, len(first)))]
    mixed = mixed + blend * second[int(dice.uniform(0, len(second)))]
    personal: NDArray[np.float64] = dice.generator.uniform(0.75, 1.25, _ACTIONS)
    twitch = np.maximum(dice.generator.normal(0.0, 0.06, _ACTIONS), 0.0)
    return Expression(*(mixed * personal * intensity + twitch).tolist())
