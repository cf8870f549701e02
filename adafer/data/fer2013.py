"""FER2013 and FER+ as CSV files that hold the pixels.

Legend: N faces, S side of a face in pixels.
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adafer.data import published
from adafer.data.class_names import ORDERS
from adafer.data.csv_rows import Faults
from adafer.data.files import SplitMissing
from adafer.data.listing import Listing
from adafer.data.table import Splits, group_column, splits_in, tables_in
from adafer.image import printable
from adafer.labels import FER2013_ORDER, FERPLUS_ORDER, in_project_order
from adafer.settings.data import DataSettings

PIXELS, LABEL = ("pixels",), ("emotion", "label")
_SIDE = 48


def _shares(counts: Mapping[str, int], order: tuple[str, ...]) -> NDArray[np.float64]:
    """Published share of each of the labels 0-6 among the training faces that have them."""
    faces = np.array([counts[emotion] for emotion in order[: len(FER2013_ORDER)]], np.float64)
    shares: NDArray[np.float64] = faces / faces.sum()
    return shares


_SHARES = {
    "fer2013": _shares(published.FER2013.splits["train"], FER2013_ORDER),
    "ferplus": _shares(published.FERPLUS.splits["train"], FERPLUS_ORDER),
}


def found(root: Path) -> bool:
    """Whether CSV files with a column of pixels are here."""
    return any(table.find(PIXELS) is not None for table in tables_in(root))


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """CSV with `pixels` (2,304 grey levels) and `emotion`: train.csv, val.csv, test.csv, or one.

    Source: the ICML 2013 challenge; https://www.kaggle.com/c/challenges-in-representation-learning-
    facial-expression-recognition-challenge. Licence: research use. One fer2013.csv has the splits
    in `Usage`: Training 28,709, PublicTest 3,589 (here val), PrivateTest 3,589 (here test).
    Class order: 0-6 in FER2013 is anger, disgust, fear, happiness, sadness, surprise, neutral;
    0-7 in FER+ is neutral, happiness, surprise, sadness, anger, disgust, fear, contempt.
    `label_order` chooses; by itself a file with Usage has FER2013's order, files with a label 7
    have FER+'s, and 0-6 alone are read in the order whose published class shares fit better, which
    a note says.
    Papers: Goodfellow et al. 2013, arXiv:1307.0414; Barsoum et al. 2016, arXiv:1608.01041.
    """
    splits = splits_in(root, PIXELS, LABEL)
    if split not in splits.tables:
        raise SplitMissing(f"no {split} faces in {root}; add {split}.csv or a Usage column")
    return listed(splits, split, *_order(splits, settings), settings.group_column)


def listed(
    splits: Splits, split: str, order: tuple[str, ...], note: str, grouped_by: str
) -> Listing:
    """List the faces of a split whose label numbers stand for the emotions of `order`."""
    faults = Faults(splits.tables[split].path)
    ids, numbers, faces, groups = _faces(splits, split, len(order), faults, grouped_by)
    faults.check()
    names = in_project_order(frozenset(order))
    positions = np.array([names.index(emotion) for emotion in order], np.int64)
    return Listing(
        layout="fer-csv",
        split=split,
        class_names=names,
        ids=ids,
        labels=positions[np.array(numbers, np.intp)],
        pictures=tuple(faces),
        notes=(note,) if note else (),
        groups=groups,
    )


def _order(splits: Splits, settings: DataSettings) -> tuple[tuple[str, ...], str]:
    """Emotions in the order of the numbers, and what a user should know about that choice."""
    if settings.label_order != "auto":
        return ORDERS[settings.label_order], ""
    if splits.column is not None:
        return FER2013_ORDER, ""
    best, certain = likely_order(splits)
    if certain:
        return ORDERS[best], ""
    other = next(name for name in _SHARES if name != best)
    return ORDERS[best], (
        f"labels 0-6 without Usage are read in {best}'s order ({in_words(ORDERS[best][:7])}), "
        f"whose class shares they fit better; if that is wrong, give --label-order {other}"
    )


def likely_order(splits: Splits) -> tuple[Literal["ferplus", "fer2013"], bool]:
    """Whose order the label numbers seem to have, and whether a label 7 makes that certain."""
    counts = np.zeros(len(FER2013_ORDER), np.int64)
    for split, table in splits.tables.items():
        label = table.find(LABEL)
        if label is None:  # the challenge's test.csv has no labels
            continue
        for _, fields in splits.rows(split, Faults(table.path)):
            number = _number(fields[label])
            if number == FERPLUS_ORDER.index("contempt"):
                return "ferplus", True
            if number is not None and number < len(counts):
                counts[number] += 1
    fits = {name: float(counts @ np.log(shares)) for name, shares in _SHARES.items()}
    return ("fer2013" if fits["fer2013"] >= fits["ferplus"] else "ferplus"), False


def in_words(order: Sequence[str]) -> str:
    """What each number stands for: `0 neutral, 1 happiness, ...`."""
    return ", ".join(f"{number} {emotion}" for number, emotion in enumerate(order))


def _faces(
    splits: Splits, split: str, classes: int, faults: Faults, grouped_by: str
) -> tuple[tuple[str, ...], list[int], list[NDArray[np.uint8]], tuple[str, ...] | None]:
    """Names, label numbers, pixels (S, S) and persons of the rows of a split; faults are added."""
    table = splits.tables[split]
    label, pixels = table.column(LABEL, "label"), table.column(PIXELS, "pixels")
    group = group_column(table, grouped_by)
    ids: list[str] = []
    groups: list[str] = []
    numbers: list[int] = []
    faces: list[NDArray[np.uint8]] = []
    side = 0
    for line, fields in splits.rows(split, faults):
        number = _number(fields[label])
        if number is None or number >= classes:
            shown = printable(fields[label][:20])
            valid = f"a number from 0 to {classes - 1}"
            faults.add(line, f"label {shown!r} is not {valid} (see --label-order)")
            continue
        if group is not None and not fields[group].strip():
            faults.add(line, f"no {table.columns[group]}; fill it or remove the column")
            continue
        face = grey(fields[pixels])
        if isinstance(face, str):
            faults.add(line, face)
            continue
        if not side:  # the first row says how large the faces are, unless it is no square
            side = isqrt(face.size) if isqrt(face.size) ** 2 == face.size else _SIDE
        if face.size != side**2:
            faults.add(line, f"{face.size:,} pixel values instead of {side**2:,}")
            continue
        ids.append(f"{table.path.name}:{line}")
        groups.append("" if group is None else printable(fields[group].strip()))
        numbers.append(number)
        faces.append(face.reshape(side, side))
    return tuple(ids), numbers, faces, None if group is None else tuple(groups)


def grey(cell: str) -> NDArray[np.uint8] | str:
    """Grey levels of a cell, or what is wrong with them."""
    text = cell.strip()
    if not text:
        return "no pixel values"
    if not text.isascii() or text.encode().translate(None, b"0123456789 \t\r\n"):
        if "," in text or ";" in text:
            return "pixel values are separated by commas; separate them by spaces"
        wrong = next(word for word in text.split() if not (word.isascii() and word.isdigit()))
        return f"pixel value {printable(wrong[:20])!r} is not a whole number from 0 to 255"
    levels = np.fromstring(text, np.int64, sep=" ")  # digits and spaces only, so nothing is lost
    if levels.max() > 255:
        return f"pixel value {levels.max()} is not a whole number from 0 to 255"
    return levels.astype(np.uint8)


def _number(cell: str) -> int | None:
    text = cell.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
