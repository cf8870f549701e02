"""FER2013 and FER+ as CSV files that hold the pixels.

Legend: N faces, S side of a face in pixels.
"""

from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults
from adafer.data.files import SplitMissing
from adafer.data.listing import Listing
from adafer.data.table import Splits, splits_in, tables_in
from adafer.image import printable
from adafer.labels import FER2013_ORDER, FERPLUS_ORDER, in_project_order
from adafer.settings.data import DataSettings

PIXELS, LABEL = ("pixels",), ("emotion", "label")
_SIDE = 48
_ORDERS = {"fer2013": FER2013_ORDER, "ferplus": FERPLUS_ORDER}

# Faces of the labels 0-6 in the published training splits, as shares.
_SHARES = {
    "fer2013": np.array([3995, 436, 4097, 7215, 4965, 3171, 4830]) / 28709,
    "ferplus": np.array([8733, 7284, 3136, 3022, 2098, 116, 536]) / 24925,
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
    order, note = _order(splits, settings)
    faults = Faults(splits.tables[split].path)
    ids, numbers, faces = _faces(splits, split, len(order), faults)
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
    )


def _order(splits: Splits, settings: DataSettings) -> tuple[tuple[str, ...], str]:
    """Emotions in the order of the numbers, and what a user should know about that choice."""
    if settings.label_order != "auto":
        return _ORDERS[settings.label_order], ""
    if splits.column is not None:
        return FER2013_ORDER, ""
    counts = np.zeros(len(FER2013_ORDER), np.int64)
    for split, table in splits.tables.items():
        label = table.find(LABEL)
        if label is None:  # the challenge's test.csv has no labels
            continue
        for _, fields in splits.rows(split, Faults(table.path)):
            number = _number(fields[label])
            if number == FERPLUS_ORDER.index("contempt"):
                return FERPLUS_ORDER, ""
            if number is not None and number < len(counts):
                counts[number] += 1
    fits = {name: float(counts @ np.log(shares)) for name, shares in _SHARES.items()}
    best = max(fits, key=fits.__getitem__)
    other = next(name for name in _ORDERS if name != best)
    order = _ORDERS[best]
    read_as = ", ".join(f"{n} {emotion}" for n, emotion in enumerate(order[: len(counts)]))
    return order, (
        f"labels 0-6 without Usage are read in {best}'s order ({read_as}), whose class shares they "
        f"fit better; if that is wrong, give --label-order {other}"
    )


def _faces(
    splits: Splits, split: str, classes: int, faults: Faults
) -> tuple[tuple[str, ...], list[int], list[NDArray[np.uint8]]]:
    """Names, label numbers and pixels (S, S) of the rows of a split; faults are added."""
    table = splits.tables[split]
    label, pixels = table.column(LABEL, "label"), table.column(PIXELS, "pixels")
    ids: list[str] = []
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
        face = _grey(fields[pixels])
        if isinstance(face, str):
            faults.add(line, face)
            continue
        if not side:  # the first row says how large the faces are, unless it is no square
            side = isqrt(face.size) if isqrt(face.size) ** 2 == face.size else _SIDE
        if face.size != side**2:
            faults.add(line, f"{face.size:,} pixel values instead of {side**2:,}")
            continue
        ids.append(f"{table.path.name}:{line}")
        numbers.append(number)
        faces.append(face.reshape(side, side))
    return tuple(ids), numbers, faces


def _grey(cell: str) -> NDArray[np.uint8] | str:
    """Levels of one row, or what is wrong with them."""
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
