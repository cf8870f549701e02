"""Faces of train that evaluation would see again, pixel for pixel.

Only exact copies are found, as they look at the model's size; re-encoded or mirrored ones are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adafer.data.dataset import FaceDataset
from adafer.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """How many faces of each evaluation split are in train, and which faces of train those are."""

    counts: Mapping[str, int]  # split to faces
    train_indices: tuple[int, ...]

    def sentence(self) -> str:
        """Say what was found."""
        found = [
            f"{count:,} {'face' if count == 1 else 'faces'} of {split}"
            for split, count in self.counts.items()
            if count
        ]
        return f"train holds {' and '.join(found)} too, pixel for pixel"


def find_leaks(train: FaceDataset, others: Sequence[FaceDataset]) -> Leaks:
    """Compare train with the splits that it must not contain."""
    places: dict[bytes, list[int]] = {}
    for index, pixels in enumerate(train.pixels):
        places.setdefault(pixels.tobytes(), []).append(index)
    counts: dict[str, int] = {}
    shared: set[int] = set()
    for other in others:
        twins = [places[key] for p in other.pixels if (key := p.tobytes()) in places]
        counts[other.listing.split] = len(twins)
        shared.update(index for indices in twins for index in indices)
    return Leaks(counts=counts, train_indices=tuple(sorted(shared)))


def settle_leaks(train: FaceDataset, leaks: Leaks, policy: str) -> FaceDataset:
    """Return the faces to train on: without the shared ones under "drop", all under "allow".

    Raises:
        DataError: under "stop", if there are any.
    """
    if not leaks.train_indices or policy == "allow":
        return train
    if policy == "stop":
        raise DataError(
            f"{leaks.sentence()}; leave them out of train with --leaks drop, or keep them with "
            "--leaks allow"
        )
    kept = np.setdiff1d(np.arange(len(train)), leaks.train_indices)
    return train.only(kept, "also in an evaluation split")
