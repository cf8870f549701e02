"""Point sets of faces: how many, in which order, and which point each becomes in a mirror.

Left and right are those of the picture. Legend: N faces, P points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_FEWEST = 20  # faces from which a mirror permutation may be derived
_ONE_SHAPE = 0.5  # spread of the mean of faces that each have spread 1; noise alone averages out
_SYMMETRIC = 0.1  # how far a mean face may be from its mirror image, in spreads of its points


@dataclass(frozen=True, kw_only=True)
class PointSet:
    """Points in a known order."""

    name: str
    source: str  # where the order is written down
    mirror: tuple[int, ...]  # P, which point each one becomes when the face is mirrored

    def __len__(self) -> int:
        return len(self.mirror)


def _swapped(count: int, *pairs: tuple[int, int]) -> tuple[int, ...]:
    """Permutation of so many points that swaps the pairs and keeps the others."""
    order = list(range(count))
    for one, other in pairs:
        order[one], order[other] = other, one
    return tuple(order)


FIVE = PointSet(
    name="5 points",
    source="eye, eye, tip of the nose, mouth corner, mouth corner; the left one of each pair first "
    "(RAF-DB's readme, Annotation/manual)",
    mirror=_swapped(5, (0, 1), (3, 4)),
)
"""Centres of the eyes, tip of the nose, corners of the mouth."""

SIXTY_EIGHT = PointSet(
    name="68 points",
    source="iBUG 300-W mark-up; Sagonas et al., 300 Faces in-the-Wild, ICCV workshops 2013",
    mirror=_swapped(
        68,
        *((n, 16 - n) for n in range(8)),  # 0-16 jaw
        *((n, 43 - n) for n in range(17, 22)),  # 17-21 and 22-26 brows
        (31, 35),  # 27-30 bridge, 31-35 nostrils
        (32, 34),
        *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # 36-41 and 42-47 eyes
        *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58)),  # 48-59 outer lip
        *((60, 64), (61, 63), (65, 67)),  # 60-67 inner lip
    ),
)
"""Jaw, brows, nose, eyes, outer and inner lips."""


def derived_mirror(landmarks: NDArray[np.float32]) -> tuple[int, ...] | None:
    """Mirror permutation of points (N, P, 2) in an unknown order, or None where none is clear.

    Faces look left as often as right, so their mean is nearly symmetric: each point of the mean
    goes to the point nearest to its mirror image, one to one (Hungarian assignment).
    """
    whole = landmarks[np.isfinite(landmarks).all((1, 2))].astype(np.float64)
    if len(whole) < _FEWEST:
        return None
    centred = whole - whole.mean(1, keepdims=True)
    spread = np.sqrt((centred**2).sum(2).mean(1))[:, None, None]
    if not (spread > 0).all():
        return None
    mean = (centred / spread).mean(0)  # (P, 2)
    distances = np.linalg.norm(mean[:, None] * (-1, 1) - mean[None], axis=2)  # (P, P)
    _, partner = linear_sum_assignment(distances)
    is_involution = (partner[partner] == np.arange(len(partner))).all()
    own_spread = float(np.sqrt((mean**2).sum(1).mean()))  # 1 where all faces have one shape
    far = distances[np.arange(len(partner)), partner].mean() > _SYMMETRIC * own_spread
    if not is_involution or far or own_spread < _ONE_SHAPE:
        return None
    return tuple(int(n) for n in partner)


def inside(landmarks: NDArray[np.float32], boxes: NDArray[np.int64]) -> float:
    """Share of the known points (N, P, 2) that lie in their boxes (N, 4); 1 where none is known.

    A low share means that the points belong to another picture, or that x and y are mixed up.
    """
    known = np.isfinite(landmarks[..., 0]) & np.isfinite(landmarks[..., 1])
    corners = boxes.astype(np.float32)[:, None]  # (N, 1, 4)
    beyond = (landmarks < corners[..., :2]) | (landmarks > corners[..., 2:])  # (N, P, 2)
    within = ~(beyond[..., 0] | beyond[..., 1])
    return float(within[known].mean()) if known.any() else 1.0
