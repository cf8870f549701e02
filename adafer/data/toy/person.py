"""Whose face is drawn, and how it is seen: everything that does not tell the emotion."""

from dataclasses import dataclass

from adafer.data.toy.dice import Dice

Colour = tuple[float, float, float]  # red, green, blue from 0 to 255

_SKINS: tuple[Colour, ...] = (
    (248, 218, 196),
    (236, 192, 160),
    (218, 168, 128),
    (190, 136, 96),
    (148, 100, 68),
    (108, 72, 50),
)
_HAIRS: tuple[Colour, ...] = (
    (28, 24, 24),
    (60, 40, 28),
    (104, 68, 40),
    (170, 120, 60),
    (222, 186, 116),
    (150, 60, 30),
    (190, 188, 186),
)
_CLOTHS: tuple[Colour, ...] = (
    (40, 60, 110),
    (150, 40, 50),
    (60, 110, 80),
    (220, 210, 190),
    (90, 90, 96),
    (200, 150, 40),
    (120, 80, 140),
)
_IRISES: tuple[Colour, ...] = ((60, 38, 24), (96, 64, 34), (70, 100, 130), (84, 112, 76))
_HAIRCUTS = ("bald", "short", "short", "side", "fringe", "long", "curly", "bun", "scarf")
_BEARDS = ("none", "none", "none", "none", "stubble", "moustache", "full")
_OCCLUSIONS = ("hand", "scarf", "strand", "box")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A head and its parts; lengths in half heights of the head."""

    skin: Colour
    hair: Colour
    cloth: Colour
    iris: Colour
    width: float  # half width of the head
    jaw: float  # how much the head narrows towards the chin
    haircut: str
    hairline: float  # how far the hair reaches down the forehead
    beard: str
    glasses: str
    earrings: bool
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_slant: float
    brow_height: float
    brow_slant: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    mouth_bend: float  # corners up or down at rest
    lipstick: float


@dataclass(frozen=True, kw_only=True)
class View:
    """Camera, light and what stands in the way; angles in radians, lengths in half images."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    gaze: tuple[float, float]
    background: str
    backdrop: tuple[Colour, Colour]
    light: tuple[float, float]  # gain of brightness across and down the image
    brightness: float
    contrast: float
    warmth: float
    noise: float  # grey levels
    blur: float  # pixels of a 48-pixel image
    occlusion: str


def born(dice: Dice) -> Person:
    """Draw a person."""
    skin = dice.pick(_SKINS)
    toward = dice.pick(_SKINS)
    share = dice.uniform(0, 0.5)
    skin = mixed(skin, toward, share)
    hair = dice.pick(_HAIRS[:3]) if sum(skin) < 400 else dice.pick(_HAIRS)
    woman = dice.chance(0.5)
    return Person(
        skin=skin,
        hair=mixed(hair, (128, 110, 100), dice.uniform(0, 0.15)),
        cloth=dice.pick(_CLOTHS),
        iris=dice.pick(_IRISES[:2]) if sum(skin) < 400 else dice.pick(_IRISES),
        width=0.78 + dice.normal(0.045),
        jaw=(0.30 if woman else 0.20) + dice.normal(0.06),
        haircut=dice.pick(_HAIRCUTS[2:] if woman else _HAIRCUTS[:5]),
        hairline=dice.uniform(-0.76, -0.60),
        beard="none" if woman else dice.pick(_BEARDS),
        glasses=dice.pick(("round", "square")) if dice.chance(0.16) else "none",
        earrings=woman and dice.chance(0.3),
        eye_distance=0.335 + dice.normal(0.02),
        eye_height=-0.10 + dice.normal(0.02),
        eye_width=0.165 + dice.normal(0.012),
        eye_opening=0.088 + dice.normal(0.011),
        eye_slant=dice.normal(0.018),
        brow_height=0.215 + dice.normal(0.022),
        brow_slant=dice.normal(0.02),
        brow_thickness=(0.05 if woman else 0.07) + dice.normal(0.008),
        nose_length=0.36 + dice.normal(0.03),
        nose_width=0.125 + dice.normal(0.015),
        mouth_height=0.53 + dice.normal(0.02),
        mouth_width=0.29 + dice.normal(0.022),
        lip_thickness=1.0 + dice.normal(0.2),
        mouth_bend=dice.normal(0.022),
        lipstick=dice.uniform(0.3, 0.9) if woman and dice.chance(0.5) else dice.uniform(0, 0.2),
    )


def seen(dice: Dice) -> View:
    """Draw how a person is seen."""
    dark, bright = dice.uniform(20, 130), dice.uniform(100, 235)
    return View(
        yaw=dice.normal(0.19),
        pitch=dice.normal(0.12),
        roll=dice.normal(0.11),
        scale=0.93 * (1 + dice.normal(0.06)),
        shift=(dice.normal(0.06), dice.normal(0.05)),
        gaze=(dice.normal(0.35), dice.normal(0.2)),
        background=dice.pick(("plain", "horizon", "stripes", "room")),
        backdrop=(_tinted(dice, dark), _tinted(dice, bright)),
        light=(dice.normal(0.28), dice.normal(0.15)),
        brightness=dice.normal(14),
        contrast=dice.uniform(0.65, 1.15),
        warmth=dice.normal(0.05),
        noise=dice.uniform(1, 7),
        blur=dice.uniform(0.5, 0.9) if dice.chance(0.2) else 0.0,
        occlusion=dice.pick(_OCCLUSIONS) if dice.chance(0.12) else "none",
    )


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Colour that holds this share of the other."""
    keep = 1 - share
    return (
        keep * one[0] + share * other[0],
        keep * one[1] + share * other[1],
        keep * one[2] + share * other[2],
    )


def _tinted(dice: Dice, level: float) -> Colour:
    red, green, blue = (level + dice.normal(spread) for spread in (18, 12, 18))
    return (min(max(red, 0), 255), min(max(green, 0), 255), min(max(blue, 0), 255))
