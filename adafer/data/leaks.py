"""Faces of train that evaluation would see again, pixel for pixel.

Only exact copies are settled, as they look at the model's size. Exactly mirrored ones are counted.
Re-encoded and shifted ones take half a minute to find: `duplicates` does, for `adafer data check`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adafer.data.dataset import FaceDataset
from adafer.data.pixels import digest
from adafer.errors import DataError
from adafer.image import printable


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """How many faces of each evaluation split are in train, and which faces of train those are."""

    counts: Mapping[str, int]  # split to faces
    train_indices: tuple[int, ...]
    mirrored: Mapping[str, int] = field(default_factory=dict)  # split to faces; counted, no more
    first: tuple[str, str] = ("", "")  # ids of a face of train and of the one that it copies

    def sentence(self) -> str:
        """Say what was found pixel for pixel."""
        return f"train holds {_faces(self.counts)} too, pixel for pixel"

    def notes(self, policy: str) -> tuple[str, ...]:
        """Sentences for the record of a run; none where nothing was found."""
        found = []
        if self.train_indices:
            found.append(f"{self.sentence()} (--leaks {policy})")
        if any(self.mirrored.values()):
            found.append(
                f"train holds {_faces(self.mirrored)} mirrored, which --leaks leaves there"
            )
        if found:
            found.append(
                "near copies (re-encoded, shifted) are not looked for here; `adafer data check` "
                "finds them"
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
    """Return the faces to train on: without the shared ones under "drop", all under "allow".

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
