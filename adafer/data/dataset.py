"""A listing of faces with their pixels: decoded once, prepared once, kept.

Legend: N faces, S side in pixels, K channels (1 for grey, 3 for colour).
"""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer import image
from adafer.data.listing import Encoded, Listing, pixels_of
from adafer.data.pixels import Cache, Pixels, reserved
from adafer.errors import DataError

Tell = Callable[[str, int, int], None]
"""Told of a split how many faces are read, and of how many."""

_BLOCK = 512  # faces that are read between two such words
_NAMED = 3  # unreadable files that a message names


class FaceDataset:
    """The faces of a listing as uint8 pixels at the size and in the colours that the model sees.

    `landmarks` are those of the listing in pixels of the resized faces, cut and resized as they
    were; None where the listing has none.

    Every picture is read when this is built, and `tell` hears how far that is. A file that changes
    on disk later changes nothing. Unreadable files stop here with a DataError that counts them, or
    are left out of `listing` if their share is at most `max_bad`; `bad` then holds their names and
    reasons.
    """

    def __init__(
        self,
        listing: Listing,
        preprocessing: image.Preprocessing,
        max_bad: float = 0.0,
        cache: Cache = "auto",
        tell: Tell = lambda split, done, total: None,
    ) -> None:
        if not len(listing):
            raise DataError(
                f"the {listing.split} split is empty: check the path and the layout of the data"
            )
        self.preprocessing = preprocessing
        pixels, landmarks, bad = _read(listing, preprocessing, cache, tell)
        self.bad = tuple((listing.ids[i], reason) for i, reason in sorted(bad.items()))
        if bad:
            _refuse_too_many(self.bad, len(listing), max_bad)
            kept = [i for i in range(len(listing)) if i not in bad]
            pixels, listing = pixels.take(kept), _without(listing, kept, self.bad)
            landmarks = None if landmarks is None else landmarks[kept]
        self.listing = listing
        self.pixels = pixels  # (N, S, S, K), not cut to the middle yet
        self.landmarks = landmarks  # (N, P, 2) x, y in pixels of `pixels`

    def __len__(self) -> int:
        return len(self.listing)

    def relabelled(self, listing: Listing) -> "FaceDataset":
        """Return the same pixels with the labels and votes of another listing of these faces."""
        other = copy.copy(self)
        other.listing = listing
        return other

    def only(self, kept: NDArray[np.intp], reason: str) -> "FaceDataset":
        """Return the faces at these places; the others are counted under the reason.

        Raises:
            DataError: if none is left.
        """
        if not len(kept):
            raise DataError(f"no face of {self.listing.split} is left: each is {reason}")
        fewer = copy.copy(self)
        fewer.pixels = self.pixels.take(kept)
        fewer.landmarks = None if self.landmarks is None else self.landmarks[kept]
        left_out = (*self.listing.left_out, (reason, len(self) - len(kept)))
        fewer.listing = replace(self.listing.take(kept), left_out=left_out)
        return fewer

    def faces(self, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels of these faces as a model sees them; grey ones have three equal channels.

        (n, size, size, 3): the middle, where the preprocessing cuts it out.
        """
        chosen = self.preprocessing.middle(self.pixels[np.asarray(indices, dtype=np.intp)])
        return chosen if chosen.shape[-1] == 3 else np.repeat(chosen, 3, axis=-1)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """One face as a model sees it, (size, size, 3)."""
        face: NDArray[np.uint8] = self.faces([index])[0]
        return face

    def points(self, indices: Sequence[int] | NDArray[np.intp], count: int) -> NDArray[np.float32]:
        """So many landmarks (n, count, 2) of these faces in pixels of `faces`; NaN without any."""
        if self.landmarks is None:
            return np.full((len(indices), count, 2), np.nan, np.float32)
        chosen = self.landmarks[np.asarray(indices, dtype=np.intp)]
        return chosen - np.float32(self.preprocessing.margin)


def _read(
    listing: Listing, preprocessing: image.Preprocessing, cache: Cache, tell: Tell
) -> tuple[Pixels, NDArray[np.float32] | None, dict[int, str]]:
    """Pixels and landmarks of every face, and the reason for each that cannot be read."""
    channels = 1 if preprocessing.grey else 3
    pixels = reserved(len(listing), preprocessing.whole, channels, cache)
    landmarks = None if listing.landmarks is None else listing.landmarks.astype(np.float32)
    bad: dict[int, str] = {}

    def put(index: int) -> None:
        try:
            picture, left, top = _face(listing, index)
            if landmarks is not None:
                own = landmarks[index] - (left, top)
                height, width = picture.shape[:2]
                landmarks[index] = preprocessing.points_uncut(own, width, height)
            pixels[index] = preprocessing.uncut(picture)[..., :channels]
        except (DataError, OSError) as error:
            name = listing.ids[index]
            bad[index] = str(error) if isinstance(error, DataError) else f"{name}: {error}"

    encoded = any(isinstance(picture, Path | Encoded) for picture in listing.pictures)
    threads = (os.cpu_count() or 1) if encoded else 1  # decoding lets other threads run
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(listing), _BLOCK):
            end = min(start + _BLOCK, len(listing))
            list(pool.map(put, range(start, end)))
            tell(listing.split, end, len(listing))
    return Pixels(pixels), landmarks, bad


def _face(listing: Listing, index: int) -> tuple[NDArray[np.uint8], int, int]:
    """Picture of a face, cut to its box where it has one, and the corner where it was cut."""
    pixels, box = pixels_of(listing.pictures[index]), listing.box(index)
    if box is None:
        return pixels, 0, 0
    try:
        left, top, right, bottom = image.clipped(box, pixels.shape[1], pixels.shape[0])
    except image.ImageError as error:
        raise DataError(f"{listing.ids[index]}: {error}") from None
    return pixels[top:bottom, left:right], left, top


def _refuse_too_many(bad: tuple[tuple[str, str], ...], total: int, max_bad: float) -> None:
    share = len(bad) / total
    if share <= max_bad and len(bad) < total:
        return
    # A reason names its file and ends with its own way out, after a semicolon.
    named = ", ".join(reason.partition(";")[0] for _, reason in bad[:_NAMED])
    more = f", and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    way_out = "repair or remove them"
    if len(bad) < total:
        way_out += f", or leave them out with --max-bad {ceil(share * 1000) / 1000:g}"
    files = "image file" if total == 1 else "image files"
    raise DataError(f"{len(bad)} of {total} {files} cannot be read ({named}{more}): {way_out}")


def _without(listing: Listing, kept: list[int], bad: tuple[tuple[str, str], ...]) -> Listing:
    left = listing.take(kept)
    note = f"{len(bad)} of {len(listing)} image files of {listing.split} cannot be read and are "
    note += f"left out, {bad[0][0]} first"
    return replace(
        left,
        left_out=(*left.left_out, ("unreadable image file", len(bad))),
        notes=(*left.notes, note),
    )
