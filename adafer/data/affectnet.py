"""AffectNet as first published: lists of pictures with face boxes and 68 landmarks.

Legend: N faces, P points, here 68.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults, Table
from adafer.data.files import OutsideRoot, Roots, SplitMissing, refuse_missing
from adafer.data.landmarks import SIXTY_EIGHT, inside
from adafer.data.listing import Listing
from adafer.image import printable
from adafer.labels import AFFECTNET_ORDER, in_project_order
from adafer.settings.data import DataSettings

NO_EMOTION = {8: "none of the emotions", 9: "annotator was uncertain", 10: "no face"}
"""AffectNet's expression codes that stand for no emotion, and why such a row is left out."""

_LISTS = {"train": "training.csv", "val": "validation.csv"}
_LIST_FOLDERS = ("Manually_Annotated_file_lists", "Manually_Annotated/file_lists", "")
_PICTURES = (
    *("Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated_Images"),
    *("Manually_Annotated_compressed/Manually_Annotated_Images", "Manually_Annotated", ""),
)
_PATH, _CODE, _POINTS = "subdirectory_filepath", "expression", "facial_landmarks"
_BOX = ("face_x", "face_y", "face_width", "face_height")
_LEAST_INSIDE = 0.5
_FARTHEST = 1e6  # pixels; what lies beyond is no place in a picture


@dataclass
class Faces:
    """Faces of a split as they are collected."""

    ids: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    boxes: list[list[int]] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)  # N of (P, 2)
    missing: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def class_names(classes: int) -> tuple[str, ...]:
    """AffectNet's first 7 or all 8 emotions, in the project's order."""
    return in_project_order(frozenset(AFFECTNET_ORDER[:classes]))


def emotion_or_reason(text: str, classes: int) -> tuple[str | None, str | None] | None:
    """Emotion of an expression code, or why such a row is left out; None for no code at all."""
    word = text.strip()
    code = int(word) if word.isascii() and word.isdigit() and len(word) < 3 else -1
    if 0 <= code < classes:
        return AFFECTNET_ORDER[code], None
    if code in NO_EMOTION:
        return None, NO_EMOTION[code]
    return (None, f"{AFFECTNET_ORDER[code]}, of which 7 classes have none") if code == 7 else None


def no_test(root: Path, split: str) -> SplitMissing:
    """Say that a split is not there; AffectNet has never published its test faces."""
    if split == "test":
        return SplitMissing(
            f"no test faces in {root}: AffectNet's are not published; use its validation (val)"
        )
    return SplitMissing(f"no {split} faces in {root}; fetch that part of AffectNet")


def found(root: Path) -> bool:
    """Whether a list with AffectNet's columns is here."""
    path = _list_of(root, "train") or _list_of(root, "val")
    return path is not None and {_PATH, _CODE, *_BOX} <= set(Table(path).columns)


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """AffectNet's manual annotations: Manually_Annotated_file_lists/training.csv, validation.csv.

    Pictures lie in Manually_Annotated/Manually_Annotated_Images; each face is cut to its box, and
    its 68 landmarks (x1;y1;x2;y2;..., pixels of the whole picture) go with it. Source:
    http://mohammadmahoor.com/affectnet/. Licence: by request, research only.
    Class order: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger,
    7 contempt; 8 none, 9 uncertain and 10 no face are left out and counted, as are rows without a
    box. `affectnet_classes` 7 leaves contempt out. Counts: 287,651 train, 4,000 validation; no
    test. Train by class 0-7: 74,874, 134,415, 25,459, 14,090, 6,378, 3,803, 24,882, 3,750.
    Paper: Mollahosseini, Hasani and Mahoor 2017, arXiv:1708.03985.
    """
    path = _list_of(root, split)
    if path is None:
        raise no_test(root, split)
    top = root if root.is_dir() else root.parent
    extra = [Path(folder) for folder in settings.roots]
    folders = [*(top / folder for folder in _PICTURES), *extra]
    rows = _Rows(Table(path), Roots(folders, [top, *extra]), settings.affectnet_classes)
    faces = rows.read()
    missing = refuse_missing(
        path,
        faces.missing,
        len(faces.missing) + len(faces.ids),
        settings.max_bad,
        f"put them in {_PICTURES[0]} or name their folder with --roots",
    )
    boxes = np.array(faces.boxes, np.int64).reshape(-1, 4)
    landmarks, notes = fitting(faces.points, boxes)
    return Listing(
        layout="affectnet",
        split=split,
        class_names=class_names(settings.affectnet_classes),
        ids=tuple(faces.ids),
        labels=np.array(faces.labels, np.int64),
        pictures=tuple(faces.pictures),
        boxes=boxes,
        landmarks=landmarks,
        mirror_points=() if landmarks is None else SIXTY_EIGHT.mirror,
        left_out=(*sorted(faces.left_out.items()), *missing),
        notes=notes,
    )


def fitting(
    points: list[NDArray[np.float32]], boxes: NDArray[np.int64]
) -> tuple[NDArray[np.float32] | None, tuple[str, ...]]:
    """Landmarks (N, 68, 2), or None and a note where most of them lie outside of their faces."""
    landmarks = np.array(points, np.float32).reshape(-1, len(SIXTY_EIGHT), 2)
    if not np.isfinite(landmarks).any():
        return None, ()
    share = inside(landmarks, boxes)
    if share >= _LEAST_INSIDE:
        return landmarks, ()
    note = f"landmarks are not used: {1 - share:.0%} of them lie outside of their faces"
    return None, (note,)


def _list_of(root: Path, split: str) -> Path | None:
    if split not in _LISTS:
        return None
    top = root if root.is_dir() else root.parent
    paths = (top / folder / _LISTS[split] for folder in _LIST_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


_UNKNOWN = np.full((len(SIXTY_EIGHT), 2), np.nan, np.float32)


class _Rows:
    """The rows of one list, read into faces, reasons to leave them out, and faults."""

    def __init__(self, table: Table, roots: Roots, classes: int) -> None:
        self.faces, self.faults = Faces(), Faults(table.path)
        self._table, self._roots, self._classes = table, roots, classes
        self._names = class_names(classes)
        self._path = table.column((_PATH,), "path")
        self._code = table.column((_CODE,), "expression")
        self._box = [table.column((name,), "face box") for name in _BOX]
        self._points = table.find((_POINTS,))
        self._seen: dict[str, tuple[int, str]] = {}

    def read(self) -> Faces:
        """Collect the rows that show an emotion; raises DataError for all faults together."""
        for line, fields in self._table.rows(self.faults):
            meant = emotion_or_reason(fields[self._code], self._classes)
            if meant is None:
                shown = printable(fields[self._code][:20])
                self.faults.add(line, f"expression {shown!r} is not a number from 0 to 10")
            elif meant[0] is None:
                self.faces.left_out[str(meant[1])] += 1
            else:
                self._face(line, fields, meant[0])
        self.faults.check()
        return self.faces

    def _face(self, line: int, fields: list[str], emotion: str) -> None:
        box = _box([fields[place] for place in self._box])
        marks = _UNKNOWN if self._points is None else _points(fields[self._points])
        name = fields[self._path].strip()
        shown = repr(printable(name[:80]))
        first, other = self._seen.setdefault(name, (line, emotion))
        if box is None or marks is None:
            what = "face box" if box is None else "facial_landmarks"
            self.faults.add(line, f"the {what} of {shown} cannot be read as numbers")
        elif not box:
            self.faces.left_out["no face box"] += 1
        elif other != emotion:
            self.faults.add(line, f"{shown} is {emotion}, in line {first} {other}")
        elif first != line:
            self.faces.left_out["listed twice"] += 1
        else:
            self._add(line, name, emotion, box, marks)

    def _add(
        self, line: int, name: str, emotion: str, box: list[int], marks: NDArray[np.float32]
    ) -> None:
        try:
            picture = self._roots.find(name)
        except OutsideRoot:
            self.faults.add(
                line, f"{printable(name[:80])!r} is outside the data root (see --roots)"
            )
            return
        if picture is None:
            self.faces.missing.append(name)
            return
        self.faces.ids.append(printable(name))
        self.faces.labels.append(self._names.index(emotion))
        self.faces.pictures.append(picture)
        self.faces.boxes.append(box)
        self.faces.points.append(marks)


def _box(cells: list[str]) -> list[int] | None:
    """Left, top, right, bottom; empty where the row has no box, None where it is no numbers."""
    numbers = _numbers(cells)
    if numbers is None:
        return None
    left, top, width, height = (round(float(number)) for number in numbers)
    return [left, top, left + width, top + height] if width > 0 and height > 0 else []


def _points(cell: str) -> NDArray[np.float32] | None:
    """Points (P, 2), NaN where the cell is empty, None where it is not 68 pairs of numbers."""
    if not cell.strip():
        return _UNKNOWN
    numbers = _numbers(cell.strip().rstrip(";").split(";"))
    return numbers.reshape(-1, 2) if numbers is not None and numbers.size == 136 else None


def _numbers(words: list[str]) -> NDArray[np.float32] | None:
    try:
        numbers = np.array(words, np.float32)
    except ValueError:
        return None
    return numbers if (np.abs(numbers) < _FARTHEST).all() else None  # False for NaN too
