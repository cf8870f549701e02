"""A data set with its splits: checked, with a validation split, and with hashes to repeat a run."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.data.files import SplitMissing, some
from adafer.data.folds import Fold, check_fold, one_fold
from adafer.data.listing import Encoded, Listing
from adafer.data.sources import Part, composition, join_parts, name_sources
from adafer.data.split import carve
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

FER_PLUS = ("ferplus", "ferplus-csv")
"""Layouts whose training faces and evaluation faces follow two rules."""

Reader = Callable[[Path, str, DataSettings], Listing]
"""Lists the faces of the split "train", "val" or "test" below a folder."""


Further = Callable[[], Sequence[Part]]
"""Lists the training faces of further sources."""


class DataSource:
    """Train and validation faces of one data set, and its test faces when they are asked for."""

    def __init__(
        self,
        layout: str,
        read: Reader,
        root: Path,
        settings: DataSettings,
        further: Further | None = None,
    ) -> None:
        """List train and validation; carve validation where the data set has none.

        With `folds`, both are one pool, and validation is the fold that `fold` names.
        `further` lists the faces that join train; it is called when train is first asked for.
        """
        self.layout, self.root = layout, root
        self._read, self._settings, self._further = read, settings, further
        self._test: Listing | None = None
        self.fold: Fold | None = None
        check_fold(settings)
        own = self._checked(read(root, "train", settings), "train")
        parts = [own]
        try:
            parts.append(self._checked(read(root, "val", settings), "val"))
            _compare(*parts)
        except SplitMissing:
            pass
        if settings.folds:
            self.fold = one_fold(parts, settings, self._scored(parts))
            own, validation = self.fold.train, self.fold.held_out
        elif len(parts) == 2:
            own, validation = parts
        else:
            own, validation = carve(own, settings.validation_fraction, settings.split_seed)
            self._checked(validation, "val")
        _compare(own, validation)
        self._own = own
        self.validation = validation

    @cached_property
    def train(self) -> Listing:
        """Training faces, those of further sources among them."""
        if self._further is None:
            return self._own
        own = Part(
            name=self._names()[0], source=self._settings.source, synthetic=False, listing=self._own
        )
        joined = self._checked(join_parts([own, *self._further()], self._settings), "train")
        for other in (self.validation, self._test):
            if other is not None:
                _compare(joined, other)
        return joined

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self._own.class_names

    def test(self) -> Listing:
        """List the test faces; raises DataError where there are none."""
        if self._test is None:
            listing = self._checked(self._read(self.root, "test", self._settings), "test")
            for other in (self._own, self.validation, self.__dict__.get("train", self._own)):
                _compare(other, listing)
            self._test = listing
        return self._test

    def composition(self, train: Listing) -> dict[str, Any]:
        """Say which sources the faces that are trained on come from, and what is synthetic.

        `train` is what is left of the training faces after leaks and unreadable files.
        """
        settings = self._settings
        given = (settings.source, *settings.also, *settings.synthetic)
        made = (False,) * (1 + len(settings.also)) + (True,) * len(settings.synthetic)
        return composition(
            train, list(zip(self._names(), given, made, strict=True)), settings.synthetic_fraction
        )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each split that has been listed: names, labels, votes, pixels or file sizes.

        Equal hashes mean the same faces in the same order; the folder's own path does not count.
        """
        listings = {"train": self.train, "val": self.validation}
        if self._test is not None:
            listings["test"] = self._test
        return {split: _hash(listing) for split, listing in listings.items()}

    def _scored(self, parts: Sequence[Listing]) -> NDArray[np.bool_] | None:
        """Which faces of train and validation a figure may be of, (N,); None for all of them.

        FER+ trains on every face with votes and is measured on those with a clear majority.
        """
        settings = self._settings
        if self.layout not in FER_PLUS or settings.train_labels == settings.evaluation_faces:
            return None
        rule = replace(settings, train_labels=settings.evaluation_faces)
        clear = set(self._read(self.root, "train", rule).ids)
        listed = [np.array([name in clear for name in parts[0].ids], bool)]
        return np.concatenate([*listed, *(np.ones(len(part), bool) for part in parts[1:])])

    def _names(self) -> list[str]:
        settings = self._settings
        first = settings.train_csv or settings.data
        return name_sources([first, *settings.also, *settings.synthetic])

    def _checked(self, listing: Listing, split: str) -> Listing:
        """Return a listing that can be worked with, its groups named by the column asked for."""
        return _checked(in_groups(listing, self._settings.group_column), split)


def in_groups(listing: Listing, column: str) -> Listing:
    """Group faces by an attribute, where a name is given and the reader knew no such column.

    Raises:
        DataError: with the attributes that there are.
    """
    if not column or listing.groups is not None:
        return listing
    if column not in listing.attributes:
        known = some(listing.attributes, len(listing.attributes), 12) or "none"
        raise DataError(
            f"{listing.split} ({listing.layout}) has no column or attribute {printable(column)!r}; "
            f"it has {known}, so correct or leave out --group-column"
        )
    return replace(listing, groups=listing.attributes[column])


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
    for array in (listing.boxes, listing.landmarks):
        if array is not None:
            digest.update(array.astype("<f4").tobytes())
    for picture in listing.pictures:
        if isinstance(picture, Path):
            digest.update(b"%d " % _size(picture))
        elif isinstance(picture, Encoded):
            digest.update(picture.data)
        else:
            digest.update(picture.tobytes())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        reason = f"{printable(str(path))} was listed and cannot be read now ({error.strerror})"
        raise DataError(f"{reason}; put it back or list the data set again") from None
