"""Pictures that are there twice: identical, mirrored, re-encoded, or cut a little differently.

Two stages. A fingerprint, low frequencies of the picture with the higher ones given more weight,
compares all pairs by one matrix product and proposes some. Each of those is laid over the other at
several sizes and places, and counts as near where their details agree.

Legend: N faces, S side in pixels, K channels, P pairs.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from adafer.data.pixels import digest

KINDS = ("exact", "mirrored", "near", "mirrored near")
"""Ways in which two pictures are the same, the strictest first."""

NO_KIND = len(KINDS)
"""Stands for no copy, where the places of KINDS are used as numbers."""

NEAR = 0.92
"""Least agreement of the details. On FER+ unrelated faces stay below 0.9, copies lie above 0.92."""

_FREQUENCIES, _FINGER_SIDE = 12, 32
_PROPOSED = 0.70  # least likeness of two fingerprints whose pictures are compared
_PROPOSALS_A_FACE = 4  # over all faces, the most alike first: bounds the time on look-alikes
_PROPOSALS_OF_A_FACE = 32
_FLAT = 200.0  # norm of a fingerprint below which there is nothing to compare
_SIDE, _MARGIN = 48, 6  # pixels in which details are compared; how far a copy may be shifted
_ZOOMS = (1.0, 0.96, 1.04, 0.92, 1.08, 0.88, 1.13)
_BLOCK = 1 << 24  # cells of the matrix of likenesses that are held at a time


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """What was found among N faces.

    Links join faces that stand first among their identical ones; the others have the same links.
    """

    copy_of: NDArray[np.int64]  # (N,) the first face with the same pixels; itself where it is new
    first: NDArray[np.int64]  # (P,) faces that are no copies, first < second
    second: NDArray[np.int64]  # (P,)
    kinds: NDArray[np.int64]  # (P,) place in KINDS, never 0
    similarity: NDArray[np.float32]  # (P,) agreement of the details; 1 for mirrored

    def clusters(self) -> NDArray[np.int64]:
        """Number of the cluster of each face, (N,): whatever is linked, also by way of others."""
        count = len(self.copy_of)
        if not count:
            return self.copy_of
        rows = np.concatenate([np.arange(count), self.first])
        columns = np.concatenate([self.copy_of, self.second])
        graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
        _, labels = connected_components(graph, directed=False)
        _, starts, numbers = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(starts))[numbers].astype(np.int64)

    def closest(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Strictest kind that links each face of `one` with another face of `other`, by KINDS.

        Both are masks (N,). NO_KIND where a face has no copy there; faces outside of `one` too.
        """
        there = np.bincount(self.copy_of[other], minlength=len(self.copy_of))
        linked = np.full(len(self.copy_of), NO_KIND, np.int64)
        for here, away in ((self.first, self.second), (self.second, self.first)):
            known = there[away] > 0
            np.minimum.at(linked, here[known], self.kinds[known])
        found = linked[self.copy_of]
        found[there[self.copy_of] - other > 0] = 0
        found[~one] = NO_KIND
        return found


def clusters(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of the cluster of copies that each face is in, (N,); pixels are (N, S, S[, K])."""
    return find_duplicates(pixels).clusters()


def find_duplicates(pixels: NDArray[np.uint8], *, near: bool = True) -> Duplicates:
    """Compare all faces (N, S, S) or (N, S, S, K) with each other.

    Without `near`, identical and exactly mirrored ones only, in a second. With it, also copies
    that were saved anew, resized, made brighter or darker, marked with words, shifted or zoomed by
    up to an eighth, and such copies of the mirrored picture: a minute for 36,000 faces. Pictures
    of one colour are only ever identical.
    """
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    copy_of, links = _identical(pixels)
    if near and len(pixels) > 1:
        own = np.flatnonzero(copy_of == np.arange(len(pixels)))
        known = {(a, b) for a, b, _, _ in links}
        found = _near(_grey(pixels[own]))
        placed = ((int(own[a]), int(own[b]), kind, score) for a, b, kind, score in found)
        links += [link for link in placed if link[:2] not in known]
    links.sort(key=lambda link: link[:3])
    first, second, kinds, scores = zip(*links, strict=True) if links else ((), (), (), ())
    return Duplicates(
        copy_of=copy_of,
        first=np.array(first, np.int64),
        second=np.array(second, np.int64),
        kinds=np.array(kinds, np.int64),
        similarity=np.array(scores, np.float32),
    )


Link = tuple[int, int, int, float]
"""First face, second face, place of the kind, similarity."""


def _identical(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.int64], list[Link]]:
    places: dict[bytes, int] = {}
    copy_of = np.array([places.setdefault(digest(p), i) for i, p in enumerate(pixels)], np.int64)
    links: list[Link] = []
    for index in places.values():
        twin = places.get(digest(pixels[index][:, ::-1]), index)
        if index < twin:
            links.append((index, twin, KINDS.index("mirrored"), 1.0))
    return copy_of, links


def grey(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One face (S, S, K) without its colour, (S, S)."""
    if face.shape[-1] == 1:
        return face[..., 0]
    return np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[..., 0] if pixels.shape[-1] == 1 else np.stack([grey(p) for p in pixels])


def _near(faces: NDArray[np.uint8]) -> list[Link]:
    """Links among grey faces (N, S, S), none of which are identical."""
    prints, mirrored = _fingerprints(faces)
    flat: NDArray[np.bool_] = np.logical_not(prints.any(axis=1))
    straight = _alike(prints, prints, flat)
    turned = _alike(prints, mirrored, flat)
    first = np.concatenate([straight[0], turned[0]])
    second = np.concatenate([straight[1], turned[1]])
    likeness = np.concatenate([straight[2], turned[2]])
    flipped = np.repeat([False, True], [len(straight[0]), len(turned[0])])
    most = _PROPOSALS_A_FACE * len(faces)
    if len(first) > most:
        kept = np.sort(np.argpartition(-likeness, most)[:most])
        first, second, flipped = first[kept], second[kept], flipped[kept]
    return _verified(faces, first, second, flipped)


def _fingerprints(
    faces: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of the faces and of the mirrored faces, (N, 143); zero where one is plain.

    Cosine transform without its mean, each coefficient times its frequency: photographs hold the
    less of a frequency the higher it is, and then all of them count alike.
    """
    side = (_FINGER_SIDE, _FINGER_SIDE)
    small = np.stack([cv2.resize(f, side, interpolation=cv2.INTER_AREA) for f in faces])
    waves = np.arange(_FREQUENCIES)
    angles = np.pi * (np.arange(_FINGER_SIDE) + 0.5) * waves[:, None] / _FINGER_SIDE
    basis = (np.cos(angles) * np.sqrt(2 / _FINGER_SIDE)).astype(np.float32)
    weighted = basis @ small.astype(np.float32) @ basis.T
    weighted *= np.hypot(waves[:, None], waves).astype(np.float32)
    prints = weighted.reshape(len(faces), -1)[:, 1:]
    norms = np.linalg.norm(prints, axis=1, keepdims=True)
    prints = np.where(norms < _FLAT, 0, prints / np.maximum(norms, _FLAT)).astype(np.float32)
    # A mirrored picture has the same waves; those with odd numbers across change their sign.
    signs = np.where(waves % 2, -1, 1).astype(np.float32)
    return prints, prints * np.tile(signs, _FREQUENCIES)[1:]


def _alike(
    prints: NDArray[np.float32], others: NDArray[np.float32], flat: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Pairs i < j whose fingerprints are alike, and how much; at most some for each i."""
    count = len(prints)
    rows = max(1, _BLOCK // max(count, 1))
    places, values = list[NDArray[np.int64]](), list[NDArray[np.float32]]()
    for start in range(0, count, rows):
        likeness = prints[start : start + rows] @ others[start:].T
        i, j = np.nonzero(likeness > _PROPOSED)
        later = j > i
        i, j = i[later], j[later]
        places.append(np.stack([i, j]) + start)
        values.append(likeness[i, j])
    (first, second), alike = np.concatenate(places, axis=1), np.concatenate(values)
    order = np.lexsort((-alike, first))
    first, second, alike = first[order], second[order], alike[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    kept = (rank < _PROPOSALS_OF_A_FACE) & ~flat[first] & ~flat[second]
    return first[kept], second[kept], alike[kept]


def _verified(
    faces: NDArray[np.uint8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    flipped: NDArray[np.bool_],
) -> list[Link]:
    """Links whose details agree.

    A symmetric face also agrees with its mirrored self: then the better of both counts.
    """
    side = (_SIDE, _SIDE)

    def detail(index: int) -> NDArray[np.float32]:
        face = faces[index]
        way = cv2.INTER_AREA if face.shape[0] > _SIDE else cv2.INTER_LINEAR
        return _details(cv2.resize(face, side, interpolation=way).astype(np.float32))

    used = np.unique(np.concatenate([first, second])).tolist()
    near, mirrored_near = KINDS.index("near"), KINDS.index("mirrored near")
    best: dict[tuple[int, int], Link] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # OpenCV lets other threads run
        details = dict(zip(used, pool.map(detail, used), strict=True))

        def compare(place: int) -> Link:
            one, other = int(first[place]), int(second[place])
            straight, turned = details[other], np.ascontiguousarray(details[other][:, ::-1])
            if not flipped[place]:
                return one, other, near, _agreement(details[one], straight)
            score = _agreement(details[one], turned)
            if score < NEAR:
                return one, other, mirrored_near, score
            plain = _agreement(details[one], straight)
            kind = near if plain >= score else mirrored_near
            return one, other, kind, max(plain, score)

        for link in pool.map(compare, range(len(first)), chunksize=256):
            if link[3] >= NEAR and link[3] > best.get(link[:2], (0, 0, 0, 0.0))[3]:
                best[link[:2]] = link
    return list(best.values())


def _details(face: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges of a face, as strong in its dark parts as in its bright ones."""
    edges = cv2.GaussianBlur(face, (0, 0), 1.0) - cv2.GaussianBlur(face, (0, 0), 4.0)
    strength = np.sqrt(cv2.GaussianBlur(edges * edges, (0, 0), 4.0))
    evened: NDArray[np.float32] = edges / (strength + 2)
    return evened


def _agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Highest correlation of the middle of one face with any place of the other, at any zoom."""
    middle = np.ascontiguousarray(other[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])
    return max(float(cv2.matchTemplate(one, t, cv2.TM_CCOEFF_NORMED).max()) for t in _zooms(middle))


def _zooms(middle: NDArray[np.float32]) -> Iterable[NDArray[np.float32]]:
    for zoom in _ZOOMS:
        side = round(middle.shape[0] * zoom)
        yield cv2.resize(middle, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
