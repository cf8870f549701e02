"""A data set with its splits: checked, with a validation split, and with hashes to repeat a run."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from adafer.data.files import SplitMissing, some
from adafer.data.listing import Listing
from adafer.data.split import carve
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

Reader = Callable[[Path, str, DataSettings], Listing]
"""Lists the faces of the split "train", "val" or "test" below a folder."""


class DataSource:
    """Train and validation faces of one data set, and its test faces when they are asked for."""

    def __init__(self, layout: str, read: Reader, root: Path, settings: DataSettings) -> None:
        """List train and validation; carve validation where the data set has none."""
        self.layout = layout
        self._read, self._root, self._settings = read, root, settings
        self._test: Listing | None = None
        train = _checked(read(root, "train", settings), "train")
        try:
            validation = read(root, "val", settings)
        except SplitMissing:
            train, validation = carve(train, settings.validation_fraction, settings.split_seed)
        _compare(train, _checked(validation, "val"))
        self.train = train
        self.validation = validation

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.train.class_names

    def test(self) -> Listing:
        """List the test faces; raises DataError where there are none."""
        if self._test is None:
            listing = _checked(self._read(self._root, "test", self._settings), "test")
            _compare(self.train, listing)
            _compare(self.validation, listing)
            self._test = listing
        return self._test

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each split that has been listed: names, labels, votes, pixels or file sizes.

        Equal hashes mean the same faces in the same order; the folder's own path does not count.
        """
        listings = {"train": self.train, "val": self.validation}
        if self._test is not None:
            listings["test"] = self._test
        return {split: _hash(listing) for split, listing in listings.items()}


def _compare(one: Listing, other: Listing) -> None:
    """Refuse splits that disagree on the classes or share a file."""
    if one.class_names != other.class_names:
        raise DataError(
            f"classes of {one.split} are {some(one.class_names, len(one.class_names), 12)}, "
            f"of {other.split} {some(other.class_names, len(other.class_names), 12)}; give "
            "both the same classes"
        )
    files = {picture for picture in one.pictures if isinstance(picture, Path)}
    shared = [str(p) for p in other.pictures if isinstance(p, Path) and p in files]
    if shared:
        raise DataError(
            f"{len(shared):,} files of {other.split} are in {one.split} too "
            f"({some(shared, len(shared))}); list each file once"
        )


def _checked(listing: Listing, split: str) -> Listing:
    """Return a listing that can be worked with."""
    if not len(listing):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in listing.left_out)
        raise DataError(
            f"{split} has no faces{f' (left out: {reasons})' if reasons else ''}; check that the "
            "data set is complete"
        )
    present = [name for name, count in listing.counts().items() if count]
    if split == "train" and len(present) < 2:
        raise DataError(
            f"train has one class only ({present[0]}); give at least two classes to tell apart"
        )
    if len(set(listing.ids)) < len(listing):
        raise DataError(f"{split} lists a face twice; give each its own name")
    return listing


def _hash(listing: Listing) -> str:
    digest = hashlib.sha256("\0".join([listing.layout, *listing.class_names]).encode())
    digest.update("\0".join(listing.ids).encode())
    digest.update(listing.labels.astype("<i8").tobytes())
    if listing.votes is not None:
        digest.update(listing.votes.astype("<f4").tobytes())
    for picture in listing.pictures:
        if isinstance(picture, Path):
            digest.update(b"%d " % _size(picture))
        else:
            digest.update(picture.tobytes())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        reason = f"{printable(str(path))} was listed and cannot be read now ({error.strerror})"
        raise DataError(f"{reason}; put it back or list the data set again") from None
