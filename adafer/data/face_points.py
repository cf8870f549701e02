"""Landmarks for a listing: its own, those of a file, those that a detector finds, or none.

Legend: N faces, P landmarks.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults, Table
from adafer.data.landmarks import FIVE, SIXTY_EIGHT, derived_mirror
from adafer.data.listing import Listing, Picture, pixels_of
from adafer.errors import DataError, WordsError
from adafer.faces import WHERE, FaceDetector
from adafer.image import printable, sides
from adafer.predictions_file import write_bytes
from adafer.settings.data import DataSettings

SOURCES = ("auto", "data", "canonical", "detector")
"""What --landmarks takes, besides the path of a CSV."""

_BEYOND = 0.5  # of a picture's side: how far outside of it a landmark may lie


def source_of(settings: DataSettings, listing: Listing) -> str:
    """Where the landmarks of a listing are from: data, file, detector or canonical (none)."""
    if listing.landmarks is None:
        return "canonical"
    if settings.landmarks in ("auto", "data"):
        return "data"
    return "detector" if settings.landmarks == "detector" else "file"


def with_landmarks(listing: Listing, split: str, settings: DataSettings) -> Listing:
    """Return the listing with the landmarks that the settings ask for.

    Raises:
        DataError: no landmarks where there should be some, or a file with faulty rows.
        WordsError: a detector without its file.
    """
    match settings.landmarks:
        case "auto":
            return listing
        case "data":
            if listing.landmarks is None:
                raise DataError(
                    f"{listing.split} ({listing.layout}) has no landmarks; give a file that "
                    "`adafer data landmarks` wrote, or --landmarks canonical"
                )
            return listing
        case "canonical":
            return replace(listing, landmarks=None, mirror_points=())
        case "detector":
            return detected(listing, open_detector(settings.face_detector))
        case path:
            return from_file(listing, split, Path(path).expanduser())


def open_detector(path: str) -> FaceDetector:
    """Load the detector; raises WordsError where none was named."""
    if not path:
        raise WordsError(f"--landmarks detector needs --face-detector FILE: {WHERE}")
    return FaceDetector(path)


def detected(
    listing: Listing,
    detector: FaceDetector,
    each: Callable[[int], None] = lambda number: None,
) -> Listing:
    """Return the listing with the points of the surest face of each picture, NaN where none is.

    A face with a box is looked for in its box. `each` is told how many faces are done. Pictures
    that cannot be read are counted in the note; whether they may be left out is decided where the
    faces are decoded.
    """
    found = np.full((len(listing), detector.points, 2), np.nan, np.float32)
    unreadable = 0
    for index in range(len(listing)):
        try:
            points = _points_of_face(listing, index, detector)
        except (DataError, OSError):
            points, unreadable = None, unreadable + 1
        if points is not None:
            found[index] = points
        each(index + 1)
    known = int(np.isfinite(found).all((1, 2)).sum())
    note = (
        f"landmarks of {listing.split}: the detector found {known:,} of {len(listing):,} faces "
        f"({known / max(1, len(listing)):.1%}); the others stand where the learned layout says"
    )
    if unreadable:
        note += f"; {unreadable:,} cannot be read"
    return replace(
        listing, landmarks=found, mirror_points=FIVE.mirror, notes=(*listing.notes, note)
    )


def _points_of_face(
    listing: Listing, index: int, detector: FaceDetector
) -> NDArray[np.float32] | None:
    """Points (P, 2) of the surest face in pixels of the picture; None where there is no face."""
    pixels, left, top = pixels_of(listing.pictures[index]), 0, 0
    box = listing.box(index)
    if box is not None:
        left, top = max(0, box[0]), max(0, box[1])
        pixels = np.ascontiguousarray(pixels[top : box[3], left : box[2]])
    faces = detector.find(pixels) if pixels.size else []
    return faces[0].points + np.array([left, top], np.float32) if faces else None


def landmarks_csv(listings: Mapping[str, Listing]) -> bytes:
    """Write landmarks as CSV: `split,id,x0,y0,x1,...` in pixels of the picture; unknown: empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    first = next(iter(listings.values())).landmarks
    assert first is not None
    names = [f"{axis}{n}" for n in range(first.shape[1]) for axis in "xy"]
    writer.writerow(["split", "id", *names])
    for split, listing in listings.items():
        assert listing.landmarks is not None
        for name, points in zip(listing.ids, listing.landmarks, strict=True):
            values = ["" if np.isnan(v) else f"{v:.2f}" for v in points.ravel()]
            writer.writerow([split, name, *values])
    return text.getvalue().encode()


def write_landmarks(path: Path, listings: Mapping[str, Listing]) -> None:
    """Write the whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, landmarks_csv(listings))


def from_file(listing: Listing, split: str, path: Path) -> Listing:
    """Return the listing with the landmarks that a CSV has for its faces.

    Faces without a row, and empty cells, are unknown landmarks. A split that was carved out of
    train is found under train.

    Raises:
        DataError: no such file, rows with other counts or with points outside their picture, or no
            row for any face.
    """
    if not path.is_file():
        raise DataError(
            f"no landmarks '{path}': no such file; write one with `adafer data landmarks`, or give "
            f"--landmarks {', '.join(SOURCES)}"
        )
    rows, points = _rows(path)
    found = np.full((len(listing), points, 2), np.nan, np.float32)
    faults, named = Faults(path), 0
    for index, name in enumerate(listing.ids):
        line, values = rows.get((split, name), (0, None))
        if values is None:
            continue
        named += 1
        found[index] = values
        reason = _outside(values, listing, index)
        if reason:
            faults.add(line, f"{printable(name)}: {reason}")
    faults.check()
    if not named:
        raise DataError(
            f"{printable(str(path))} has no row of split {split} for any of its {len(listing):,} "
            "faces; write it from this very data set with `adafer data landmarks`"
        )
    known = int(np.isfinite(found).all((1, 2)).sum())
    note = f"landmarks of {split}: {known:,} of {len(listing):,} faces ({known / len(listing):.1%})"
    return replace(
        listing,
        landmarks=found,
        mirror_points=_mirror(found, path),
        notes=(*listing.notes, f"{note} have all of theirs"),
    )


Rows = dict[tuple[str, str], tuple[int, NDArray[np.float32]]]
"""Split and id of a face: the line and the landmarks (P, 2) of its row."""


def _rows(path: Path) -> tuple[Rows, int]:
    table, faults = Table(path), Faults(path)
    split, name = table.column(["split"], "split"), table.column(["id"], "name of the face")
    places = [n for n in range(len(table.columns)) if n not in (split, name)]
    if not places or len(places) % 2:
        raise DataError(
            f"{printable(str(path))}: {len(places)} columns of coordinates; give x and y of each "
            "landmark, x0,y0,x1,y1,..."
        )
    found: Rows = {}
    for line, fields in table.rows(faults):
        try:
            values = [float(fields[n]) if fields[n].strip() else np.nan for n in places]
        except ValueError:
            faults.add(line, "a coordinate is no number")
            continue
        if np.isinf(values).any():
            faults.add(line, "a coordinate is infinite")
        elif (fields[split], fields[name]) in found:
            faults.add(line, f"{printable(fields[name])} stands twice")
        else:
            points = np.array(values, np.float32).reshape(-1, 2)
            points[np.isnan(points).any(1)] = np.nan
            found[fields[split], fields[name]] = (line, points)
    faults.check()
    return found, len(places) // 2


def _outside(points: NDArray[np.float32], listing: Listing, index: int) -> str:
    """Say that a landmark lies far outside of its picture; "" if none does."""
    known = points[np.isfinite(points).all(1)]
    width, height = _sides(listing.pictures[index])
    size = np.array([width, height])
    away = (known < -_BEYOND * size) | (known > (1 + _BEYOND) * size)
    if not away.any():
        return ""
    x, y = known[away.any(1)][0]
    return f"landmark at {x:g}, {y:g} outside of {width}x{height} pixels"


def _sides(picture: Picture) -> tuple[int, int]:
    """Width and height, of a file from its header: the faces are decoded once, later."""
    if isinstance(picture, Path):
        return sides(picture)
    height, width = pixels_of(picture).shape[:2]
    return width, height


def _mirror(found: NDArray[np.float32], path: Path) -> tuple[int, ...]:
    points = found.shape[1]
    for known in (FIVE, SIXTY_EIGHT):
        if points == len(known):
            return known.mirror
    mirror = derived_mirror(found)
    if mirror is None:
        raise DataError(
            f"{printable(str(path))}: {points} landmarks in an unknown order, whose left and right "
            "cannot be told; give 5 or 68 (iBUG), or at least 20 whole faces"
        )
    return mirror
