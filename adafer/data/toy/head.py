"""Head, hair, clothes and backdrop, and what stands in front of the face."""

import cv2
import numpy as np

from adafer.data.toy.dice import Dice
from adafer.data.toy.person import Colour, Person, View, mixed
from adafer.data.toy.sketch import Canvas, Points, Sketch, ellipse, path, ring, spots

_DARK: Colour = (24, 14, 14)
_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_SIN = np.sign(np.sin(_TURN)) * np.abs(np.sin(_TURN)) ** 0.85
_COS = -np.cos(_TURN)  # from the top of the head clockwise
_TOP = np.linspace(-np.pi / 2 - 0.25, np.pi / 2 + 0.25, 15)
_T = np.linspace(-1, 1, 11)


def outline(person: Person, jaw_drop: float, scale: float = 1.0) -> Points:
    """Outline of the head; an open mouth lengthens its lower half."""
    down = _COS * (1 + 0.07 * jaw_drop * (_COS > 0))
    narrow = 1 - person.jaw * np.maximum(_COS, 0.0) ** 2
    return path(scale * person.width * _SIN * narrow, scale * down)


def paint_backdrop(canvas: Canvas, dice: Dice, view: View) -> None:
    """Fill the canvas with what is behind the head."""
    side = canvas.shape[0]
    one, other = view.backdrop
    _box(canvas, 0, 0, side, side, one)
    if view.background == "horizon":
        _box(canvas, 0, int(side * dice.uniform(0.3, 0.8)), side, side, other)
    elif view.background == "stripes":
        step = max(2, int(side * dice.uniform(0.12, 0.3)))
        for start in range(int(dice.uniform(0, step)), side, 2 * step):
            _box(canvas, start, 0, step - 1, side, other)
    elif view.background == "room":
        for _ in range(3):
            x, y = int(dice.uniform(-0.2, 1) * side), int(dice.uniform(-0.2, 1) * side)
            wide, tall = int(dice.uniform(0.2, 0.6) * side), int(dice.uniform(0.2, 0.6) * side)
            colour = mixed(one, other, dice.uniform(0.3, 1))
            _box(canvas, x, y, wide, tall, colour)


def _box(canvas: Canvas, x: int, y: int, wide: int, tall: int, colour: Colour) -> None:
    cv2.rectangle(canvas, (x, y), (x + wide, y + tall), colour, cv2.FILLED)


def add_head(sketch: Sketch, person: Person, view: View, jaw_drop: float) -> None:
    """Add everything that lies behind the moving parts, from back to front."""
    shade = mixed(person.skin, _DARK, 0.28)
    _add_hair_behind(sketch, person)
    neck = spots((-0.36, 0.6), (0.36, 0.6), (0.42, 1.5), (-0.42, 1.5))
    sketch.fill(neck, shade, flat=True)
    shoulders = spots((-1.5, 1.6), (-0.9, 1.22), (-0.3, 1.12), (0.3, 1.12), (0.9, 1.22), (1.5, 1.6))
    sketch.fill(shoulders, person.cloth, flat=True)
    if person.haircut not in ("long", "scarf"):
        for side in (-1, 1):
            ear = ellipse(side * person.width * 0.99, 0.02, 0.09, 0.17)
            sketch.fill(ear, shade, flat=True)
    sketch.fill(outline(person, jaw_drop), shade, flat=True)
    toward = np.array((0.045 if view.light[0] > 0 else -0.045, -0.02))
    sketch.fill(outline(person, jaw_drop, 0.93) + toward, person.skin, flat=True)
    for side in (-1, 1):  # eye sockets
        socket = ellipse(side * person.eye_distance, person.eye_height - 0.03, 0.2, 0.14)
        sketch.fill(socket, mixed(person.skin, _DARK, 0.1))
    if person.beard in ("stubble", "full"):
        _add_beard(sketch, person, jaw_drop)


def add_hair(sketch: Sketch, person: Person) -> None:
    """Add the hair in front of the head, a moustache, glasses and earrings."""
    if person.beard in ("moustache", "full"):
        y = person.mouth_height - 0.115
        top, low = path(0.24 * _T, y - 0.05 * (1 - _T**2)), path(0.24 * _T, y + 0.03 + 0.04 * _T**2)
        sketch.fill(ring(top, low), mixed(person.hair, person.skin, 0.1))
    _add_hair_in_front(sketch, person)
    if person.glasses != "none":
        _add_glasses(sketch, person)
    if person.earrings:
        for side in (-1, 1):
            ring_ = ellipse(side * person.width, 0.27, 0.035, 0.05)
            sketch.fill(ring_, (226, 200, 110), flat=True)


def _crown(person: Person, scale: float) -> Points:
    """Upper part of the head, a little larger than the skull, from left to right."""
    return path(scale * person.width * 1.02 * np.sin(_TOP), -scale * np.cos(_TOP))


def _add_hair_behind(sketch: Sketch, person: Person) -> None:
    shaded = mixed(person.hair, _DARK, 0.3)
    wide = person.width
    if person.haircut == "long":
        ends = spots((wide * 1.22, 1.25), (-wide * 1.22, 1.25))
        sketch.fill(np.concatenate((_crown(person, 1.14), ends)), shaded, flat=True)
    elif person.haircut == "scarf":
        ends = spots((wide * 1.15, 0.9), (0.5, 1.4), (-0.5, 1.4), (-wide * 1.15, 0.9))
        sketch.fill(np.concatenate((_crown(person, 1.14), ends)), person.cloth, flat=True)
    elif person.haircut == "bun":
        sketch.fill(ellipse(0, -1.16, 0.3, 0.26), shaded, flat=True)
    elif person.haircut == "curly":
        for angle in np.linspace(-1.9, 1.9, 9).tolist():
            x, y = 1.02 * wide * np.sin(angle), -1.0 * np.cos(angle)
            sketch.fill(ellipse(x, y, 0.24, 0.24), shaded, flat=True)


def _add_hair_in_front(sketch: Sketch, person: Person) -> None:
    if person.haircut == "bald":
        return
    scale = 1.14 if person.haircut in ("long", "scarf", "fringe") else 1.08
    crown = _crown(person, scale)
    right, left = crown[-1], crown[0]
    x = left[0] + (right[0] - left[0]) * (_T + 1) / 2
    line, rim = person.hairline, left[1]
    if person.haircut == "side":
        edge = line + 0.14 * _T + (rim - line) * np.abs(_T) ** 4
    elif person.haircut == "fringe":
        edge = line + 0.12 + 0.03 * np.cos(9 * _T) + (rim - line - 0.1) * np.abs(_T) ** 8
    else:
        edge = line + (rim - line) * np.abs(_T) ** 3
    colour = person.cloth if person.haircut == "scarf" else person.hair
    sketch.fill(ring(crown, path(x, edge)), colour, flat=True)
    if person.haircut in ("long", "scarf"):
        for side in (-1, 1):
            inner = side * person.width * 0.93
            outer = side * person.width * 1.2
            lock = spots((inner, -0.4), (outer, -0.4), (outer, 1.2), (inner * 1.02, 0.75))
            sketch.fill(lock, colour, flat=True)


def _add_beard(sketch: Sketch, person: Person, jaw_drop: float) -> None:
    share = 0.35 if person.beard == "stubble" else 0.85
    chin = outline(person, jaw_drop, 0.985)
    chin = chin[chin[:, 1] > 0.15]  # from right to left below the ears
    inner = chin * (0.74, 0.0) + (0.0, 0.36)
    inner[:, 1] -= 0.1 * (1 - (inner[:, 0] / person.width) ** 2)
    shape = np.concatenate((chin, inner[::-1]))
    sketch.fill(shape, mixed(person.skin, person.hair, share), flat=True)


def _add_glasses(sketch: Sketch, person: Person) -> None:
    frame = mixed(person.cloth, _DARK, 0.75)
    y = person.eye_height + 0.01
    for side in (-1, 1):
        x = side * person.eye_distance
        if person.glasses == "round":
            lens = ellipse(x, y, 0.225, 0.19)
        else:
            lens = spots((x - 0.23, y - 0.15), (x + 0.23, y - 0.15), (x + 0.2, y + 0.16))
            lens = np.concatenate((lens, spots((x - 0.2, y + 0.16))))
        sketch.line(np.concatenate((lens, lens[:1])), frame, 0.026, depth=0.05)
        arm = spots((side * (person.eye_distance + 0.225), y), (side * person.width, y - 0.03))
        sketch.line(arm, frame, 0.026, flat=False, depth=0.0)
    bridge = spots((0.225 - person.eye_distance, y), (person.eye_distance - 0.225, y))
    sketch.line(bridge, frame, 0.026, depth=0.07)


def add_occlusion(sketch: Sketch, dice: Dice, person: Person, view: View) -> None:
    """Add what hides a part of the face, where there is such a thing."""
    side = dice.pick((-1, 1))
    if view.occlusion == "scarf":
        y = dice.uniform(0.42, 0.75)
        band = spots((-1.2, y + 0.1), (0, y - 0.05), (1.2, y + 0.1), (1.2, 1.7), (-1.2, 1.7))
        sketch.fill(band, mixed(person.cloth, (200, 200, 200), 0.3), flat=True)
    elif view.occlusion == "strand":
        x = side * dice.uniform(0.1, 0.4)
        lock = spots((x - 0.14, -1.0), (x + 0.16, -1.0), (x + side * 0.35 + 0.05, 0.25))
        sketch.fill(lock, person.hair, flat=True)
    elif view.occlusion == "box":
        x, y = dice.uniform(-0.8, 0.4), dice.uniform(-0.7, 0.5)
        wide, tall = dice.uniform(0.3, 0.6), dice.uniform(0.25, 0.5)
        box = spots((x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall))
        level = dice.uniform(10, 240)
        sketch.fill(box, (level, level, level), flat=True)
    elif view.occlusion == "hand":
        _add_hand(sketch, dice, person, side)


def _add_hand(sketch: Sketch, dice: Dice, person: Person, side: int) -> None:
    x, y = side * dice.uniform(0.35, 0.65), dice.uniform(0.35, 0.75)
    skin = mixed(person.skin, _DARK, 0.08)
    edge = mixed(person.skin, _DARK, 0.4)
    palm = spots((x - 0.2, y), (x + 0.22, y), (x + 0.3, y + 1.2), (x - 0.14, y + 1.2))
    sketch.fill(palm, skin, flat=True)
    for finger in range(4):
        across = x - 0.15 + 0.11 * finger
        tip = y - 0.28 + 0.05 * abs(finger - 1.5)
        sketch.line(spots((across, y + 0.05), (across - side * 0.04, tip)), edge, 0.13, flat=True)
        sketch.line(spots((across, y + 0.05), (across - side * 0.04, tip)), skin, 0.1, flat=True)
