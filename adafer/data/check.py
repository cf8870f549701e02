"""What a data set holds: broken files, counts, sizes, votes, copies, and what follows from them.

Legend: N faces, C classes, S side in pixels.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adafer import image
from adafer.data.duplicates import KINDS, NO_KIND, Duplicates
from adafer.data.listing import Listing, pixels_of
from adafer.errors import DataError

PLAIN = 5.0
"""Standard deviation, in grey levels, below which a picture shows nothing."""

MISSING = "missing image file"
"""Reason under which readers count the pictures that a list names and the disk lacks."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A split whose pictures were all decoded; broken ones are out of the listing."""

    listing: Listing
    pixels: NDArray[np.uint8]  # (N, S, S, 1) grey, as a model sees them
    originals: tuple[bytes, ...]  # N digests of the decoded pictures at their own size
    sides: NDArray[np.int64]  # (N, 2) width and height of each picture or of its face box
    colour: NDArray[np.bool_]  # (N,)
    broken: tuple[tuple[str, str], ...]  # name and reason


def look(listing: Listing, size: int) -> Seen:
    """Decode every picture of a split, cut to its box, and resize it as for a model.

    Raises:
        DataError: if none can be read.
    """
    count, preprocessing = len(listing), image.Preprocessing(size=size, grey=True)
    pixels = np.zeros((count, size, size, 1), np.uint8)
    sides, colour = np.zeros((count, 2), np.int64), np.zeros(count, np.bool_)
    originals, broken = [b""] * count, dict[int, str]()

    def put(index: int) -> None:
        try:
            face = _face(listing, index)
        except (DataError, OSError) as error:
            broken[index] = str(error).partition(";")[0]
            return
        sides[index] = face.shape[1], face.shape[0]
        colour[index] = face.ndim == 3 and bool((face != face[..., :1]).any())
        levels = face if colour[index] or face.ndim == 2 else face[..., 0]
        shape = "x".join(map(str, levels.shape)).encode()
        originals[index] = hashlib.blake2b(shape + levels.tobytes(), digest_size=16).digest()
        pixels[index] = preprocessing.resized(face)[..., :1]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoding lets other threads run
        list(pool.map(put, range(count)))
    kept = [index for index in range(count) if index not in broken]
    if not kept:
        raise DataError(
            f"no picture of {listing.split} can be read ({broken[0]}, first); fetch the data again"
        )
    return Seen(
        listing=listing.take(kept),
        pixels=pixels[kept],
        originals=tuple(originals[i] for i in kept),
        sides=sides[kept],
        colour=colour[kept],
        broken=tuple((listing.ids[i], broken[i]) for i in sorted(broken)),
    )


def _face(listing: Listing, index: int) -> NDArray[np.uint8]:
    pixels, box = pixels_of(listing.pictures[index]), listing.box(index)
    if box is None:
        return pixels
    left, top, right, bottom = image.clipped(box, pixels.shape[1], pixels.shape[0])
    return pixels[top:bottom, left:right]


@dataclass(frozen=True, kw_only=True)
class Votes:
    """How much the annotators of a split agree."""

    entropy: float  # mean over the faces, in bits
    unanimous: int  # faces whose annotators all chose the same
    unclear: int  # faces whose most chosen class has at most half of the votes


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """What is known about one split."""

    split: str
    faces: int  # that can be read
    counts: Mapping[str, int]  # class to faces
    published: Mapping[str, int] | None  # class to faces of a complete copy
    source: str | None  # who published them
    carved: bool
    left_out: Mapping[str, int]  # reason to rows
    missing: int  # pictures that a list names and the disk lacks
    broken: tuple[tuple[str, str], ...]  # name and reason
    sides: Mapping[str, int]  # "48x48" to pictures, the most frequent first
    small: int  # pictures with a side shorter than the model's
    colour: int
    plain: tuple[str, ...]  # names of pictures that show nothing
    votes: Votes | None
    notes: tuple[str, ...]

    @property
    def unusable(self) -> float:
        """Share of the listed pictures that are missing or broken, as a training counts them.

        A training compares each of both with its limit; this is the larger one.
        """
        listed = self.faces + len(self.broken)
        return max(len(self.broken) / listed, self.missing / (listed + self.missing))


def split_facts(
    seen: Seen, published: Mapping[str, int] | None = None, source: str | None = None
) -> SplitFacts:
    """Count what a split holds; `published` is what a complete copy would hold."""
    listing, size = seen.listing, seen.pixels.shape[1]
    left_out = dict(listing.left_out)
    missing = left_out.get(MISSING, 0)
    sides = Counter(f"{width}x{height}" for width, height in seen.sides.tolist())
    spread = np.array([face.std() for face in seen.pixels])
    return SplitFacts(
        split=listing.split,
        faces=len(listing),
        counts=listing.counts(),
        published=published,
        source=source if published else None,
        carved=listing.carved,
        left_out={reason: rows for reason, rows in left_out.items() if reason != MISSING},
        missing=missing,
        broken=seen.broken,
        sides=dict(sides.most_common()),
        small=int((seen.sides.min(1) < size).sum()),
        colour=int(seen.colour.sum()),
        plain=tuple(listing.ids[i] for i in np.flatnonzero(spread < PLAIN)),
        votes=None if listing.votes is None else _votes(listing.votes),
        notes=listing.notes,
    )


def _votes(shares: NDArray[np.float32]) -> Votes:
    known = shares.astype(np.float64)
    logs = np.log2(np.where(known > 0, known, 1))
    return Votes(
        entropy=float(-(known * logs).sum(1).mean()),
        unanimous=int((known.max(1) > 1 - 1e-6).sum()),
        unclear=int((known.max(1) <= 0.5 + 1e-6).sum()),
    )


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Faces of one split that have a copy in another, or another one in the same split."""

    split: str
    other: str
    faces: Mapping[str, int]  # by the strictest kind of copy, in the order of KINDS

    @property
    def total(self) -> int:
        """Faces with a copy of any kind."""
        return sum(self.faces.values())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike the copies of one picture are labelled."""

    groups: int  # of two pictures or more
    faces: int
    disagreeing: int  # groups with more than one label
    same_label: float | None  # chance that two pictures of one group share a label, over the groups


@dataclass(frozen=True, kw_only=True)
class Copies:
    """All copies of a data set, within its splits and across them."""

    overlaps: tuple[Overlap, ...]
    links: Mapping[str, int]  # kind to pairs; exact counts each further copy once
    same_original: int  # further copies whose pictures are also identical before they are resized
    largest: int  # pictures in the largest cluster
    identical: Agreement
    clustered: Agreement


def count_copies(
    found: Duplicates,
    splits: Sequence[str],
    labels: NDArray[np.int64],
    originals: Sequence[bytes],
) -> Copies:
    """Count copies; `splits`, `labels` and `originals` are those of the N faces compared."""
    names = list(dict.fromkeys(splits))
    member = {name: np.array([split == name for split in splits], np.bool_) for name in names}
    overlaps = []
    for one in names:
        for other in names:
            kinds = np.bincount(found.closest(member[one], member[other]), minlength=NO_KIND + 1)
            faces = dict(zip(KINDS, kinds.tolist(), strict=False))
            overlaps.append(Overlap(split=one, other=other, faces=faces))
    firsts = found.copy_of.tolist()
    further = [i for i, first in enumerate(firsts) if i != first]
    kinds = np.bincount(found.kinds, minlength=NO_KIND)
    kinds[0] = len(further)
    clusters = found.clusters()
    return Copies(
        overlaps=tuple(overlaps),
        links=dict(zip(KINDS, kinds.tolist(), strict=True)),
        same_original=sum(originals[i] == originals[firsts[i]] for i in further),
        largest=int(np.bincount(clusters).max()),
        identical=agreement(found.copy_of, labels),
        clustered=agreement(clusters, labels),
    )


def agreement(groups: NDArray[np.int64], labels: NDArray[np.int64]) -> Agreement:
    """Compare the labels (N,) within each group of two faces or more."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    table = np.zeros((len(sizes), int(labels.max()) + 1), np.int64)
    np.add.at(table, (numbers, labels), 1)
    table = table[sizes > 1]
    many = table.sum(1)
    # Of all ordered pairs of two different members, those with the same label.
    same = (table * (table - 1)).sum(1) / (many * (many - 1))
    return Agreement(
        groups=len(table),
        faces=int(many.sum()),
        disagreeing=int((table.max(1) < many).sum()) if len(table) else 0,
        same_label=float(same.mean()) if len(table) else None,
    )
