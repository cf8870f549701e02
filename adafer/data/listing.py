"""What every reader returns: names, labels, votes, and where the picture of each face is.

Legend: N faces, C classes, P landmarks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer import image


@dataclass(frozen=True)
class Encoded:
    """A picture as the bytes of an image file inside a larger file; `name` says which."""

    name: str
    data: bytes | memoryview

    def __reduce__(self) -> tuple[type["Encoded"], tuple[str, bytes]]:
        """Copy the bytes for another process: a view of a mapped file cannot go there."""
        return Encoded, (self.name, bytes(self.data))


Picture = Path | Encoded | NDArray[np.uint8]
"""A file or bytes to decode, or pixels (H, W) or (H, W, 3) that the reader already holds."""


def pixels_of(picture: Picture) -> NDArray[np.uint8]:
    """Pixels of a picture, decoded here if they are not yet; raises ImageError."""
    if isinstance(picture, Path):
        return image.read(picture)
    if isinstance(picture, Encoded):
        if len(picture.data) > image.MAX_BYTES:
            limit = f"larger than {image.MAX_BYTES // 1_000_000} MB; save it smaller"
            raise image.ImageError(f"{image.printable(picture.name)}: {limit}")
        return image.decode(bytes(picture.data), picture.name)
    return picture


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The faces of one split, in a stable order."""

    layout: str
    split: str
    class_names: tuple[str, ...]
    ids: tuple[str, ...]  # N unique names
    labels: NDArray[np.int64]  # (N,) index into class_names
    votes: NDArray[np.float32] | None = None  # (N, C) annotator share, rows sum to 1
    pictures: tuple[Picture, ...]  # N
    boxes: NDArray[np.int64] | None = None  # (N, 4) left, top, right, bottom of each face; pixels
    left_out: tuple[tuple[str, int], ...] = ()  # reason and count of the rows that are not here
    notes: tuple[str, ...] = ()  # sentences that a user should see
    carved: bool = False  # True where the split was carved out of train by us
    landmarks: NDArray[np.float32] | None = None  # (N, P, 2) x, y in the whole picture; NaN unknown
    mirror_points: tuple[int, ...] = ()  # P, which point each one becomes when a face is mirrored
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name to N values
    groups: tuple[str, ...] | None = None  # N names of persons, or of what else may not be split

    def __post_init__(self) -> None:
        rows = len(self.ids)
        assert self.boxes is None or self.boxes.shape == (rows, 4)
        assert self.landmarks is None or self.landmarks.shape[0] == rows
        assert self.landmarks is None or sorted(self.mirror_points) == list(
            range(self.landmarks.shape[1])
        )
        assert all(len(values) == rows for values in self.attributes.values())
        assert self.groups is None or len(self.groups) == rows

    def __len__(self) -> int:
        return len(self.ids)

    def box(self, index: int) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of a face in its picture, or None for the whole picture."""
        if self.boxes is None:
            return None
        left, top, right, bottom = self.boxes[index].tolist()
        return left, top, right, bottom

    def counts(self) -> dict[str, int]:
        """Faces of each class, in the order of the classes."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    def take(
        self, indices: Sequence[int] | NDArray[np.intp], split: str | None = None
    ) -> "Listing":
        """Return the faces at these positions, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return replace(
            self,
            split=split or self.split,
            ids=tuple(self.ids[i] for i in chosen),
            labels=self.labels[chosen],
            votes=None if self.votes is None else self.votes[chosen],
            pictures=tuple(self.pictures[i] for i in chosen),
            boxes=None if self.boxes is None else self.boxes[chosen],
            landmarks=None if self.landmarks is None else self.landmarks[chosen],
            attributes={
                name: tuple(values[i] for i in chosen) for name, values in self.attributes.items()
            },
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
        )
