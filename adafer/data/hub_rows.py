"""Rows of a table of `datasets` as faces: label, picture and name of each.

Legend: N faces.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from adafer.data.class_names import Classes
from adafer.data.files import Roots, some
from adafer.data.hub_classes import read_pairs, renamed
from adafer.data.hub_columns import pictures_of, words_of
from adafer.data.listing import Encoded, Picture
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

_SNAPSHOT = re.compile(r".*/snapshots/[0-9a-f]{40}/")


@dataclass(frozen=True)
class Rows:
    """Rows with a label, in their order."""

    labels: Mapping[int, int]  # row to class
    left_out: tuple[tuple[str, int], ...]

    @property
    def kept(self) -> list[int]:
        """Numbers of the rows, from 0."""
        return list(self.labels)


@dataclass(frozen=True)
class Faces:
    """Names and pictures of the rows that have one, and the paths that lead nowhere."""

    ids: tuple[str, ...]
    pictures: tuple[Picture, ...]
    rows: tuple[int, ...]
    missing: tuple[str, ...]


def labels_of(
    table: Any, column: str, classes: Classes, settings: DataSettings, place: str
) -> Rows:
    """Class of each row; rows that `map` drops, and up to `max_bad` without a label, are left out.

    Raises:
        DataError: more rows without a label, or a class that train lacks.
    """
    pairs = read_pairs(settings.map)
    labels: dict[int, int] = {}
    bare: list[int] = []
    unknown: Counter[str] = Counter()
    words = words_of(table, column, place)
    for row, word in enumerate(words):
        if word is None:
            bare.append(row)
            continue
        name = renamed(word, pairs)
        position = None if name is None else classes.position(name)
        if position is not None:
            labels[row] = position
        elif name is not None:
            unknown[word] += 1
    if unknown:
        known = some(classes.names, len(classes.names), 12)
        raise DataError(
            f"{place}: {some(unknown, len(unknown))} is no class of train ({known}); say what it "
            "means with --map NAME=CLASS, or leave its faces out with NAME=drop"
        )
    dropped = len(words) - len(labels) - len(bare)
    left_out = _without_label(bare, len(words), column, settings.max_bad, place)
    return Rows(labels, (*left_out, *([("class dropped by --map", dropped)] if dropped else ())))


def faces_of(
    table: Any,
    column: str,
    rows: Sequence[int],
    roots: Roots,
    place: str,
    split: str,
    root: Path | None = None,
) -> Faces:
    """Picture of each of these rows: its bytes, else its file, whose path is named from `root`.

    Raises:
        OutsideRoot: a path that leads out of the data set.
    """
    held = list(pictures_of(table, column))
    names = _names([path for _, path in held], root, split)
    pictures: dict[int, Picture] = {}
    missing: list[str] = []
    for row in rows:
        data, path = held[row]
        if data is None and path:
            file = roots.find(path)
            if file is None:
                missing.append(path)
            else:
                pictures[row] = file
        else:  # a row with neither is an empty picture, which is counted as unreadable
            pictures[row] = Encoded(f"{place}, {names[row]}", data or b"")
    return Faces(
        tuple(names[row] for row in pictures),
        tuple(pictures.values()),
        tuple(pictures),
        tuple(missing),
    )


def _without_label(
    bare: Sequence[int], total: int, column: str, max_bad: float, place: str
) -> tuple[tuple[str, int], ...]:
    if not bare:
        return ()
    share = len(bare) / total
    if share <= max_bad and len(bare) < total:
        return (("row without a label", len(bare)),)
    if len(bare) == total:
        raise DataError(
            f"{place} has no labels in the column {printable(column)!r}; choose another with "
            "--label-col, or another split"
        )
    raise DataError(
        f"{place}: {len(bare):,} of {total:,} rows have no label (row {bare[0]} first); give them "
        f"one, or leave them out with --max-bad {ceil(share * 1000) / 1000:g}"
    )


def _names(paths: Iterable[str | None], root: Path | None, split: str) -> list[str]:
    """Names of the rows, below the split: their paths where each has its own, else numbers."""
    names = [printable(_relative(path, root)) if path else "" for path in paths]
    if not all(names) or len(set(names)) < len(names):
        names = [f"{row:07d}" for row in range(len(names))]
    return [name if name.startswith(f"{split}/") else f"{split}/{name}" for name in names]


def _relative(path: str, root: Path | None) -> str:
    """Path inside the data set; only the last part of one that cannot be placed."""
    plain = _SNAPSHOT.sub("", path.replace("\\", "/"))
    if root is not None and os.path.isabs(plain):
        plain = os.path.relpath(plain, root.absolute()).replace("\\", "/")
    outside = os.path.isabs(plain) or "://" in plain or ".." in plain.split("/")
    return plain.rpartition("/")[2] if outside else plain
