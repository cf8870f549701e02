"""The parts of a face that move: brows, eyes, nose, mouth, and the furrows between them."""

import numpy as np

from adafer.data.toy.expression import Expression
from adafer.data.toy.person import Colour, Person, mixed
from adafer.data.toy.sketch import Sketch, ellipse, path, ring, spots

_WHITE: Colour = (244, 240, 236)
_DARK: Colour = (24, 14, 14)
_MOUTH: Colour = (62, 16, 22)
_TONGUE: Colour = (186, 84, 88)
_TEETH: Colour = (246, 242, 230)

_T = np.linspace(-1, 1, 13)  # from left to right along an edge
_ARC = 1 - _T**2
_LID = _ARC**0.8
_BEND = np.abs(_T) ** 1.6
_U = np.linspace(0, 1, 6)  # from the nose outwards along a brow
_TURN = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)


def add_eyes(sketch: Sketch, person: Person, face: Expression, gaze: tuple[float, float]) -> None:
    """Add both eyes: lids by AU 5, 6 and 7, the white, iris, pupil and the crease."""
    half = person.eye_width
    tight = min(face.lid_tighten + 0.7 * face.cheek_raise + 0.5 * face.nose_wrinkle, 1.3)
    droop = 0.3 * max(face.inner_brow_raise - face.outer_brow_raise, 0.0) * face.corner_drop
    above = person.eye_opening * max(1 + 0.75 * face.lid_raise - 0.42 * tight - droop, 0.15)
    below = person.eye_opening * max(0.75 + 0.2 * face.lid_raise - 0.5 * tight, 0.08)
    crease = mixed(person.skin, _DARK, 0.38)
    lash = mixed(person.hair, _DARK, 0.6)
    radius = 0.098
    y = person.eye_height
    upper_arc, lower_arc = y - above * _LID, y + below * _ARC
    for side in (-1, 1):
        x = side * person.eye_distance
        across = x + half * _T
        slant = -side * person.eye_slant * _T
        upper, lower = path(across, slant + upper_arc), path(across, slant + lower_arc)
        sketch.fill(ring(upper, lower), _WHITE)
        iris_x = x + gaze[0] * 0.045 + radius * _COS
        iris_y = y + gaze[1] * 0.03 + radius * _SIN
        arc = np.maximum(1 - ((iris_x - x) / half) ** 2, 0.0)
        iris_y = np.clip(iris_y, y - above * arc**0.8, y + below * arc)
        sketch.fill(path(iris_x, iris_y), person.iris)
        pupil_y = np.clip(y + gaze[1] * 0.03 + 0.052 * _SIN, y - above, y + below)
        sketch.fill(path(x + gaze[0] * 0.045 + 0.052 * _COS, pupil_y), _DARK)
        sketch.line(upper, lash, 0.036)
        sketch.line(lower[1:-1], crease, 0.014)
        lift = above * 0.35 + 0.035 * (1 - face.brow_lower)
        sketch.line(upper[2:-2] - (0.0, lift), crease, 0.014)
        if face.cheek_raise > 0.3:
            _add_crows_feet(sketch, side, x, y, half, crease)


def _add_crows_feet(
    sketch: Sketch, side: int, x: float, y: float, half: float, colour: Colour
) -> None:
    outer = x + side * (half + 0.03)
    for rise in (-0.05, 0.04):
        sketch.line(spots((outer, y + rise * 0.4), (outer + side * 0.09, y + rise)), colour, 0.014)


def add_brows(sketch: Sketch, person: Person, face: Expression) -> None:
    """Add both brows: the inner end by AU 1 and 4, the outer by AU 2 and 4."""
    colour = mixed(mixed(person.hair, _DARK, 0.45), person.skin, 0.1)
    lowered = face.brow_lower + 0.35 * face.nose_wrinkle
    inner = -0.175 * face.inner_brow_raise + 0.13 * lowered + person.brow_slant
    outer = -0.15 * face.outer_brow_raise - 0.02 * lowered - person.brow_slant
    outer += 0.055 * face.inner_brow_raise * (1 - min(face.outer_brow_raise, 1.0))
    arch = 0.03 + 0.035 * min(face.outer_brow_raise, face.inner_brow_raise) - 0.02 * lowered
    near = person.eye_distance - 0.20 - 0.035 * face.brow_lower
    far = person.eye_distance + 0.20
    height = person.eye_height - person.brow_height
    x = near + (far - near) * _U
    y = height + inner * (1 - _U) ** 1.3 + outer * _U - arch * 4 * _U * (1 - _U)
    thick = person.brow_thickness * (0.62 - 0.45 * _U**2)
    for side in (-1, 1):
        across = side * x
        sketch.fill(ring(path(across, y - thick), path(across, y + thick)), colour)
    _add_forehead(sketch, person, face, height)


def _add_forehead(sketch: Sketch, person: Person, face: Expression, height: float) -> None:
    furrow = mixed(person.skin, _DARK, 0.2 + 0.25 * min(face.brow_lower, 1.0))
    if face.brow_lower > 0.35:
        for x in (-0.045, 0.045):
            sketch.line(spots((x, height - 0.02), (x * 0.8, height + 0.13)), furrow, 0.02)
    raised = min(face.inner_brow_raise, 0.4 + face.outer_brow_raise)
    if raised > 0.35:
        furrow = mixed(person.skin, _DARK, 0.1 + 0.16 * min(raised, 1.0))
        width = 0.16 + 0.22 * min(face.outer_brow_raise, 1.0)
        for rise in (0.2, 0.28):
            line = path(width * _T, height - rise + 0.03 * _T**2)
            sketch.line(line, furrow, 0.018)


def add_nose(sketch: Sketch, person: Person, face: Expression, light: float) -> None:
    """Add the nose, its shadow on the dark side, and the wrinkles of AU 9."""
    shade = mixed(person.skin, _DARK, 0.22)
    line = mixed(person.skin, _DARK, 0.45)
    root = person.eye_height + 0.04
    tip = person.eye_height + person.nose_length - 0.035 * face.nose_wrinkle
    wing = person.nose_width * (1 + 0.18 * face.nose_wrinkle)
    side = -1 if light > 0 else 1
    bridge = spots((side * 0.05, root), (side * 0.075, tip - 0.1), (side * wing, tip), (0, tip))
    sketch.fill(bridge, shade, depth=0.06)
    under = path(wing * _T, tip + 0.03 * _ARC - 0.02 * np.abs(_T))
    sketch.line(under, line, 0.026, depth=0.08)
    for x in (-0.5, 0.5):
        sketch.fill(ellipse(x * wing, tip + 0.008, 0.03, 0.017), line, depth=0.08)
    if face.nose_wrinkle > 0.3:
        crease = mixed(person.skin, _DARK, 0.2 + 0.28 * min(face.nose_wrinkle, 1.0))
        for rise in (0.02, 0.09):
            wrinkle = path(0.085 * _T, root + rise - 0.035 * _ARC)
            sketch.line(wrinkle, crease, 0.022, depth=0.05)
        for flank in (-1, 1):
            fold = spots((flank * 0.09, root + 0.12), (flank * 0.17, root + 0.03))
            sketch.line(fold, crease, 0.02)


def add_cheeks(sketch: Sketch, person: Person, face: Expression) -> None:
    """Add the fold from nose to mouth (AU 10, 12) and the bulge under the eyes (AU 6)."""
    deep = 0.6 * face.corner_pull + 0.9 * max(face.upper_lip_raise, 0.7 * face.nose_wrinkle)
    sides = (-1, 1) if deep > 0.2 else ()
    wing = person.nose_width + 0.03
    top = person.eye_height + person.nose_length - 0.04
    corner = person.mouth_height - 0.1 * face.corner_pull
    fold = mixed(person.skin, _DARK, min(0.12 + 0.26 * deep, 0.45))
    out = person.mouth_width * (1.1 + 0.25 * face.corner_pull)
    for side in sides:
        curve = spots(
            (side * wing, top),
            (side * (wing + out) * 0.58, (top + corner) / 2 - 0.02),
            (side * (out + 0.03), corner),
        )
        sketch.line(curve, fold, 0.024)
    if face.cheek_raise > 0.35:
        under = mixed(person.skin, _DARK, 0.12 + 0.16 * min(face.cheek_raise, 1.0))
        y = person.eye_height + 0.13
        for side in (-1, 1):
            x = side * person.eye_distance + 0.12 * _T
            sketch.line(path(x, y + 0.035 * _ARC), under, 0.022)


def add_mouth(sketch: Sketch, person: Person, face: Expression, side: int) -> None:
    """Add lips, and teeth and tongue where they part; `side` is where a single corner is pulled."""
    wide = 1 + 0.3 * face.corner_pull + 0.28 * face.lip_stretch - 0.42 * face.rounded
    half = person.mouth_width * max(wide - 0.1 * face.lip_press, 0.4)
    one = np.maximum(_T * side, 0.0)
    across = half * _T + 0.07 * side * face.one_corner_pull * one**2
    lift = 0.17 * face.corner_pull - 0.15 * face.corner_drop - 0.03 * face.lip_stretch
    lift += person.mouth_bend
    middle = person.mouth_height + 0.45 * lift - lift * _BEND
    middle = middle - 0.17 * face.one_corner_pull * one**1.5 - 0.06 * face.chin_raise * _ARC
    square = 2 + 2.5 * face.teeth * (1 - face.rounded)
    gape = np.sqrt(np.maximum(1 - np.abs(_T) ** square, 0.0))
    opening = max(face.mouth_open - 0.08, 0.0)
    tall = 0.26 + 0.08 * face.rounded
    raised = 0.065 * face.upper_lip_raise * (1 - 0.7 * np.abs(_T))
    upper = middle - 0.1 * opening * gape - raised
    lower = middle + tall * opening * gape - 0.5 * raised * (opening == 0)
    thin = max(1 - 0.65 * face.lip_press - 0.3 * face.lip_stretch - 0.2 * face.teeth, 0.2)
    full = person.lip_thickness * thin
    cupid = 1 - 0.25 * np.exp(-((_T / 0.18) ** 2))
    lips = mixed(mixed(person.skin, (150, 70, 70), 0.45), (190, 30, 50), person.lipstick)
    top = path(across, upper - 0.058 * full * _ARC**0.7 * cupid)
    bottom = path(across, lower + 0.08 * full * _ARC**0.8)
    sketch.fill(ring(top, bottom), lips)
    inner_top, inner_bottom = path(across, upper), path(across, lower)
    if opening * tall + raised.max() > 0.02:
        _add_inside(sketch, face, inner_top, inner_bottom)
    else:
        sketch.line(path(across, middle), mixed(lips, _DARK, 0.72), 0.034)
    _add_mouth_corners(sketch, person, face, inner_top, side)
    shadow = mixed(person.skin, _DARK, 0.2 + 0.2 * min(face.chin_raise, 1.0))
    sketch.line(path(across[4:9] * 0.8, bottom[4:9, 1] + 0.055), shadow, 0.02)


def _add_inside(sketch: Sketch, face: Expression, top: np.ndarray, bottom: np.ndarray) -> None:
    sketch.fill(ring(top, bottom), _MOUTH)
    share = min(face.teeth, 1.0)
    if share > 0.1:
        edge = top + (bottom - top) * share * 0.96
        inside = slice(1, -1)
        sketch.fill(ring(top[inside], edge[inside]), _TEETH)
        if share > 0.65:
            bite = top + (bottom - top) * 0.52
            sketch.line(bite[inside], mixed(_TEETH, _DARK, 0.5), 0.014)
    elif face.mouth_open > 0.5:
        tongue = bottom + (top - bottom) * 0.4 * _ARC[:, None]
        inside = slice(3, -3)
        sketch.fill(ring(tongue[inside], bottom[inside]), _TONGUE)


def _add_mouth_corners(
    sketch: Sketch, person: Person, face: Expression, edge: np.ndarray, side: int
) -> None:
    for end, place in ((-1, 0), (1, -1)):
        single = face.one_corner_pull if end == side else 0.0
        deep = max(face.corner_pull, face.corner_drop, 1.2 * single)
        if deep < 0.3:
            continue
        x, y = edge[place]
        fall = 0.05 if face.corner_drop > max(face.corner_pull, single) else -0.05
        colour = mixed(person.skin, _DARK, 0.2 + 0.3 * min(deep, 1.0))
        sketch.line(spots((x, y), (x + end * 0.04, y + fall)), colour, 0.024)
