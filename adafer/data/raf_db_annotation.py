"""RAF-DB's annotation of each picture: landmarks, face box, and what annotators saw of the person.

Legend: N faces, P points, 5 or 37.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults, lines
from adafer.data.files import Roots
from adafer.data.landmarks import FIVE, derived_mirror
from adafer.data.listing import Listing
from adafer.image import printable

ATTRIBUTES = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
"""Words for the codes below the landmarks in Annotation/manual, in their order."""

UNKNOWN = "unknown"
"""Attribute of a face without annotation."""

_BY_PROGRAM = 37


def annotated(listing: Listing, folder: Path, roots: Roots, points: int) -> Listing:
    """Add what `Annotation` knows: attributes to all faces, boxes and landmarks to original ones.

    Coordinates are pixels of the original pictures. RAF-DB does not publish how it aligned them,
    so aligned faces get none.
    """
    manual = _files(folder / "manual", "_manu_attri.txt", listing.ids, roots)
    if any(manual):
        listing = _with_attributes(listing, manual)
    original = [p.parent.name == "original" for p in listing.pictures if isinstance(p, Path)]
    if not all(original):
        return _explained(listing, folder, original)
    boxes = _files(folder / "boundingbox", "_boundingbox.txt", listing.ids, roots)
    if len(boxes) and all(boxes):
        listing = replace(listing, boxes=np.array([_box(path) for path in boxes if path], np.int64))
    elif any(boxes):
        missing = sum(path is None for path in boxes)
        note = f"{missing:,} faces have no Annotation/boundingbox, so pictures are used whole"
        listing = replace(listing, notes=(*listing.notes, note))
    automatic = points == _BY_PROGRAM
    files = _files(folder / "auto", "_auto_attri.txt", listing.ids, roots) if automatic else manual
    return _with_landmarks(listing, files, points) if any(files) else listing


def _explained(listing: Listing, folder: Path, original: Sequence[bool]) -> Listing:
    if not any((folder / name).is_dir() for name in ("manual", "auto")):
        return listing
    some = "some faces are" if any(original) else "the faces are"
    note = (
        f"landmarks of Annotation belong to the original pictures and {some} aligned, so they are "
        "not used; take the original pictures with --rafdb-pictures original"
    )
    return replace(listing, notes=(*listing.notes, note))


def _files(folder: Path, ending: str, ids: Sequence[str], roots: Roots) -> list[Path | None]:
    """Annotation file of each picture, or None where it is not there; links must stay inside."""
    if not folder.is_dir():
        return [None] * len(ids)
    stems = [Path(name).stem.removesuffix("_aligned") for name in ids]
    here = {path.name for path in folder.iterdir() if path.name.endswith(ending)}
    here = {name for name in here if roots.holds(os.path.realpath(folder / name))}
    return [folder / (stem + ending) if stem + ending in here else None for stem in stems]


def _with_attributes(listing: Listing, files: Sequence[Path | None]) -> Listing:
    codes = [_codes(path) if path else {} for path in files]
    attributes = {name: tuple(code.get(name, UNKNOWN) for code in codes) for name in ATTRIBUTES}
    note = "gender, race and age are what annotators saw in the picture, not what people say of "
    note += "themselves"
    bare = sum(path is None for path in files)
    if bare:
        note += f"; {bare:,} faces have none"
    return replace(
        listing,
        attributes={**listing.attributes, **attributes},
        notes=(*listing.notes, note),
    )


def _with_landmarks(listing: Listing, files: Sequence[Path | None], points: int) -> Listing:
    landmarks = np.full((len(listing), points, 2), np.nan, np.float32)
    for row, path in enumerate(files):
        if path is not None:
            landmarks[row] = _points(path, points)
    mirror = FIVE.mirror if points == len(FIVE) else derived_mirror(landmarks)
    if mirror is None:
        note = (
            f"{points} landmarks are not used: which of them are pairs is not published, and their "
            "mean does not show it; use --rafdb-landmarks 5"
        )
        return replace(listing, notes=(*listing.notes, note))
    return replace(listing, landmarks=landmarks, mirror_points=mirror)


def _points(path: Path, points: int) -> NDArray[np.float32]:
    """The first lines of a file, x and y each; raises DataError."""
    faults = Faults(path)
    rows = _rows(path)[:points]
    found = [_numbers(row, 2) for row in rows]
    for line, (row, numbers) in enumerate(zip(rows, found, strict=True), 1):
        if numbers is None:
            faults.add(line, f"{printable(' '.join(row)[:40])!r} is not x and y")
    if len(rows) < points:
        faults.add(len(rows) + 1, f"{len(rows)} points instead of {points}")
    faults.check()
    return np.array(found, np.float32)


def _codes(path: Path) -> dict[str, str]:
    """Words of the three codes below the landmarks; raises DataError."""
    faults, words = Faults(path), {}
    rows = _rows(path)[len(FIVE) :]
    for place, (name, meanings) in enumerate(ATTRIBUTES.items()):
        code = rows[place][0] if place < len(rows) and len(rows[place]) == 1 else ""
        if code.isascii() and code.isdigit() and int(code[:9]) < len(meanings):
            words[name] = meanings[int(code)]
        else:
            shown = f"{name} {printable(code[:20])!r}"
            limit = len(meanings) - 1
            faults.add(len(FIVE) + 1 + place, f"{shown} is not a number from 0 to {limit}")
    faults.check()
    return words


def _box(path: Path) -> list[int]:
    """Left, top, right, bottom, which the file gives in this order; raises DataError."""
    rows = _rows(path)
    numbers = _numbers([word for row in rows for word in row], 4)
    if numbers is None or numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        faults = Faults(path)
        faults.add(1, "is not left, top, right and bottom of a face")
        faults.check()
    return [] if numbers is None else [round(number) for number in numbers]


def _rows(path: Path) -> list[list[str]]:
    return [words for text in lines(path) if (words := text.replace(",", " ").split())]


def _numbers(words: Sequence[str], count: int) -> list[float] | None:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    good = len(numbers) == count and all(abs(number) < 1e6 for number in numbers)
    return numbers if good else None
