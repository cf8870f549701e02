"""Faces of train that evaluation would see again.

Exact copies, as they look at the model's size, are always looked for; mirrored ones are counted.
Re-encoded, cut and shifted ones take a minute to find (see `duplicates`), so they are where they
are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from adafer.data.dataset import FaceDataset
from adafer.data.duplicates import NO_KIND, find_duplicates, grey
from adafer.data.pixels import digest
from adafer.errors import DataError
from adafer.image import printable

COMPARED = 48
"""Side in pixels at which near copies are looked for."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """How many faces of each evaluation split are in train, and which faces of train those are."""

    counts: Mapping[str, int]  # split to faces
    train_indices: tuple[int, ...]
    mirrored: Mapping[str, int] = field(default_factory=dict)  # split to faces; counted, no more
    near: Mapping[str, int] | None = None  # split to faces with another copy; None: not looked for
    first: tuple[str, str] = ("", "")  # ids of a face of train and of the one that it copies

    def sentence(self) -> str:
        """Say what was found pixel for pixel."""
        return f"train holds {_faces(self.counts)} too, pixel for pixel"

    def notes(self, policy: str) -> tuple[str, ...]:
        """Sentences for the record of a run; none where nothing was found."""
        found = []
        if self.train_indices:
            found.append(f"{self.sentence()} (--leaks {policy})")
        if self.near is not None:
            if any(self.near.values()):
                found.append(
                    f"train holds {_faces(self.near)} re-encoded, cut, shifted or mirrored "
                    f"(--leaks {policy})"
                )
            return tuple(found)
        if any(self.mirrored.values()):
            found.append(
                f"train holds {_faces(self.mirrored)} mirrored, which --leaks {policy} leaves there"
            )
        if found:
            found.append(
                "near copies (re-encoded, shifted) are not looked for here; --leaks drop-near "
                "leaves them out too"
            )
        return tuple(found)


def find_leaks(train: FaceDataset, others: Sequence[FaceDataset]) -> Leaks:
    """Compare train with the splits that it must not contain."""
    places: dict[bytes, list[int]] = {}
    for index, pixels in enumerate(train.pixels):
        places.setdefault(digest(pixels), []).append(index)
    counts: dict[str, int] = {}
    mirrored: dict[str, int] = {}
    shared: set[int] = set()
    first = ("", "")
    for other in others:
        split = other.listing.split
        own = [digest(face) for face in other.pixels]
        turned = [digest(face[:, ::-1]) for face in other.pixels]
        counts[split] = sum(key in places for key in own)
        mirrored[split] = sum(
            back in places and key not in places for key, back in zip(own, turned, strict=True)
        )
        shared.update(index for key in own for index in places.get(key, ()))
        if shared and first == ("", ""):
            place = next(number for number, key in enumerate(own) if key in places)
            first = (train.listing.ids[places[own[place]][0]], other.listing.ids[place])
    return Leaks(counts=counts, train_indices=tuple(sorted(shared)), mirrored=mirrored, first=first)


def settle_leaks(train: FaceDataset, leaks: Leaks, policy: str) -> FaceDataset:
    """Return the faces to train on: all under "allow", without the shared ones under the others.

    Raises:
        DataError: under "stop", if there are any.
    """
    if not leaks.train_indices or policy == "allow":
        return train
    if policy == "stop":
        raise DataError(
            f"{leaks.sentence()} ({_pair(leaks.first)}); leave them out of train with --leaks "
            "drop, or keep them with --leaks allow"
        )
    kept = np.setdiff1d(np.arange(len(train)), leaks.train_indices)
    return train.only(kept, "also in an evaluation split")


def without_near_copies(
    train: FaceDataset, leaks: Leaks, others: Sequence[FaceDataset]
) -> tuple[FaceDataset, Leaks]:
    """Return the faces of train of which no split has a copy of any kind, and what was found.

    Compared in grey at 48 pixels, as `adafer data check` compares; a copy that is cut by more than
    an eighth, or turned, is not found.
    """
    parts = (train, *others)
    found = find_duplicates(np.concatenate([_small(part) for part in parts]))
    which = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    near = {
        other.listing.split: int((found.closest(which == number, which == 0) < NO_KIND).sum())
        for number, other in enumerate(others, 1)
    }
    copies = found.closest(which == 0, which > 0)[: len(train)] < NO_KIND
    leaks = replace(leaks, near=near)
    if not copies.any():
        return train, leaks
    return train.only(np.flatnonzero(~copies), "a near copy is in an evaluation split"), leaks


def _small(faces: FaceDataset) -> NDArray[np.uint8]:
    """Faces (N, 48, 48) in grey, as they would be read at this size."""
    way = cv2.INTER_AREA if faces.pixels.shape[1] > COMPARED else cv2.INTER_LINEAR
    side = (COMPARED, COMPARED)
    return np.stack([cv2.resize(grey(face), side, interpolation=way) for face in faces.pixels])


def _pair(ids: tuple[str, str]) -> str:
    """Name a face of train and its copy, both of which may be called alike."""
    return f"first {printable(ids[0])} of train, which is {printable(ids[1])}"


def _faces(counts: Mapping[str, int]) -> str:
    found = [
        f"{count:,} {'face' if count == 1 else 'faces'} of {split}"
        for split, count in counts.items()
        if count
    ]
    return " and ".join(found)
