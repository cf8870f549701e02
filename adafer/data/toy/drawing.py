"""One face from a person, an expression and a view: draw large, shrink, light, and add noise."""

from typing import cast

import cv2
import numpy as np

from adafer.data.toy import features, head
from adafer.data.toy.dice import Dice
from adafer.data.toy.expression import Expression
from adafer.data.toy.person import Person, View
from adafer.data.toy.sketch import Canvas, Sketch

_ZOOM = 2  # the canvas is this much larger than the face that leaves it


def draw(dice: Dice, person: Person, expression: Expression, view: View, size: int) -> Canvas:
    """Draw a face in colour, (size, size, 3)."""
    canvas = np.empty((size * _ZOOM, size * _ZOOM, 3), np.uint8)
    head.paint_backdrop(canvas, dice, view)
    sketch = Sketch()
    head.add_head(sketch, person, view, expression.mouth_open)
    sketch.draw(canvas, view)
    soft = 2 * (size * _ZOOM // 48) + 1  # so that the shades of the skin run into each other
    cv2.blur(canvas, (soft, soft), dst=canvas)
    sketch = Sketch()
    features.add_cheeks(sketch, person, expression)
    features.add_mouth(sketch, person, expression, dice.pick((-1, 1)))
    features.add_eyes(sketch, person, expression, view.gaze)
    features.add_nose(sketch, person, expression, view.light[0])
    features.add_brows(sketch, person, expression)
    head.add_hair(sketch, person)
    head.add_occlusion(sketch, dice, person, view)
    sketch.draw(canvas, view)
    small = np.empty((size, size, 3), np.uint8)
    cv2.resize(canvas, (size, size), dst=small, interpolation=cv2.INTER_AREA)
    return _photographed(dice.generator, small, view)


def _photographed(generator: np.random.Generator, picture: Canvas, view: View) -> Canvas:
    """Light from one side, brightness, contrast, warmth, blur and the camera's noise."""
    size = picture.shape[0]
    if view.blur:
        cv2.GaussianBlur(picture, (0, 0), view.blur * size / 48, dst=picture)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    across, down = (view.contrast * slope for slope in view.light)
    gain = (view.contrast + across * ramp)[None, :] + (down * ramp)[:, None]  # (S, S)
    gains = cv2.merge((gain * (1 + view.warmth), gain, gain * (1 - view.warmth)))
    offset = generator.standard_normal((size, size), dtype=np.float32)
    offset *= np.float32(view.noise)
    offset += np.float32(118 * (1 - view.contrast) + view.brightness)
    lit = cv2.multiply(picture, gains, dtype=cv2.CV_32F)
    return cast(Canvas, cv2.add(lit, cv2.merge((offset, offset, offset)), dtype=cv2.CV_8U))
