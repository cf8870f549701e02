"""FER+ as two tables: the votes of fer2013new.csv joined row by row to the pixels of FER2013.

Legend: N faces, C classes, here eight.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import isqrt
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from adafer.data import fer2013
from adafer.data.csv_rows import Faults, Table
from adafer.data.fer_plus import labelled, rule_of, votes
from adafer.data.files import SplitMissing, split_of
from adafer.data.listing import Listing
from adafer.data.table import tables_in
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import FER2013_ORDER, FERPLUS_ORDER
from adafer.settings.data import DataSettings

_NAME, _USAGE = ("image_name",), ("usage",)
_COUNTED = tuple((name,) for name in (*FERPLUS_ORDER, "unknown", "nf"))
_LABEL = fer2013.LABEL
_CHECKED = 100  # clear faces from which agreement of the two label sets says something
_LEAST_AGREEMENT = 0.4  # about 0.75 where rows belong together, about 0.17 where they do not

_TWO_FILES = (
    "votes are those of fer2013new.csv; FER+'s label.csv differs on 1,602 of the 35,710 faces that "
    "both have, so name the file with every figure"
)


@dataclass
class _Joined:
    """Faces of one split as rows are joined."""

    names: list[str]
    faces: list[NDArray[np.uint8]]
    counted: list[list[int]]
    labels: list[str]  # FER2013's own label of each face
    left_out: Counter[str]

    def last_of_each_name(self) -> "_Joined":
        """Leave out earlier rows of a name: FER+'s tool writes the later picture over theirs."""
        last = {name: place for place, name in enumerate(self.names)}
        kept = sorted(last.values())
        left_out = self.left_out.copy()
        if len(kept) < len(self.names):
            left_out["image name stands again below"] = len(self.names) - len(kept)
        return _Joined(
            [self.names[place] for place in kept],
            [self.faces[place] for place in kept],
            [self.counted[place] for place in kept],
            [self.labels[place] for place in kept],
            left_out,
        )


def found(root: Path) -> bool:
    """Whether a table of FER+'s votes and one of FER2013's pixels are in one folder."""
    return root.is_dir() and all(_tables(root))


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """FER+ from fer2013new.csv (Usage, Image name, ten votes) beside FER2013's fer2013.csv.

    Or beside icml_face_data.csv, which has the same rows. Both files have 35,887 rows in one order:
    another number of rows, a row whose Usage differs, or labels that disagree as often as chance
    are refused. Rows without an image name (173) and the first row of a name that stands twice (4)
    are left out. Source: https://github.com/microsoft/FERPlus; pixels from FER2013. Licence: votes
    MIT; images for research. Class order of the votes and rules as `ferplus`; kept by majority:
    25,057 / 3,199 / 3,152, which are not the faces of label.csv. Paper: Barsoum et al. 2016,
    arXiv:1608.01041.
    """
    counts, pixels = _tables(root)
    if counts is None or pixels is None:
        raise DataError(f"no fer2013new.csv beside a fer2013.csv in {root}; put both there")
    joined = _join(counts, pixels, split)
    if not joined.names and not joined.left_out:
        raise SplitMissing(f"no {split} rows in {counts.path}; fetch it again")
    array = np.array(joined.counted, np.int64).reshape(len(joined.counted), len(_COUNTED))
    _check_order(array, joined.labels, counts.path, pixels.path)
    listing = labelled(
        joined.names, joined.faces, array, split, rule_of(split, settings), counts.path.name
    )
    return replace(
        listing,
        layout="ferplus-csv",
        left_out=(*listing.left_out, *sorted(joined.left_out.items())),
        notes=(*listing.notes, _TWO_FILES),
    )


def _tables(root: Path) -> tuple[Table | None, Table | None]:
    """The table of votes and the table of pixels, which fer2013.csv is before any other."""
    tables = [table for table in tables_in(root) if table.find(_USAGE) is not None]
    named = [t for t in tables if t.find(_NAME) is not None]
    counts = [t for t in named if all(t.find(column) is not None for column in _COUNTED)]
    pixels = [t for t in tables if t.find(fer2013.PIXELS) is not None]
    pixels.sort(key=lambda table: table.path.name.lower() != "fer2013.csv")
    return (counts[0] if counts else None), (pixels[0] if pixels else None)


def _rows(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Every row; one with a wrong number of fields stops, as the rows after it would not fit."""
    faults = Faults(table.path)
    for row in table.rows(faults):
        faults.check()
        yield row
    faults.check()


def _join(counts: Table, pixels: Table, split: str) -> _Joined:
    usage, other = counts.column(_USAGE, "split"), pixels.column(_USAGE, "split")
    faults, other_faults = Faults(counts.path), Faults(pixels.path)
    joined = _Joined([], [], [], [], Counter())
    rows, others = 0, 0
    for one, two in zip_longest(_rows(counts), _rows(pixels)):
        rows, others = rows + (one is not None), others + (two is not None)
        if one is None or two is None:
            continue
        named = split_of(one[1][usage])
        if named is None:
            faults.add(one[0], f"unknown split {printable(one[1][usage][:20])!r}")
        elif named != split_of(two[1][other]):
            _refuse(
                counts.path,
                pixels.path,
                f"line {one[0]} is {printable(one[1][usage][:20])}, line {two[0]} of the other is "
                f"{printable(two[1][other][:20])}",
            )
        elif named == split:
            _add(joined, counts, one, faults, pixels, two, other_faults)
    if rows != others:
        _refuse(counts.path, pixels.path, f"they have {rows:,} and {others:,} rows")
    faults.check()
    other_faults.check()
    return joined.last_of_each_name()


def _add(
    joined: _Joined,
    counts: Table,
    one: tuple[int, list[str]],
    faults: Faults,
    pixels: Table,
    two: tuple[int, list[str]],
    other_faults: Faults,
) -> None:
    (line, fields), (other_line, cells) = one, two
    name = fields[counts.column(_NAME, "image name")].strip()
    numbers = votes(line, [fields[counts.column(c, c[0])] for c in _COUNTED], faults)
    if not name:
        joined.left_out["no image name"] += 1
        return
    face = fer2013.grey(cells[pixels.column(fer2013.PIXELS, "pixels")])
    if isinstance(face, str):
        other_faults.add(other_line, face)
        return
    side = joined.faces[0].shape[0] if joined.faces else isqrt(face.size)
    if face.size != side**2:
        other_faults.add(other_line, f"{face.size:,} pixel values are no square of {side}")
        return
    if numbers is None:
        return
    label = pixels.find(_LABEL)
    joined.names.append(name)
    joined.faces.append(face.reshape(side, side))
    joined.counted.append(numbers)
    joined.labels.append("" if label is None else cells[label].strip())


def _check_order(counted: NDArray[np.int64], labels: list[str], counts: Path, pixels: Path) -> None:
    """Refuse rows in another order: FER2013's labels and the votes would then agree by chance."""
    emotion = {str(number): name for number, name in enumerate(FER2013_ORDER)}
    winner = counted[:, : len(FERPLUS_ORDER)].argmax(1)
    clear = counted.max(1) > counted.sum(1) / 2
    agree = [
        emotion[label] == FERPLUS_ORDER[place]
        for label, place, is_clear in zip(labels, winner, clear, strict=True)
        if is_clear and label in emotion
    ]
    if len(agree) >= _CHECKED and sum(agree) / len(agree) < _LEAST_AGREEMENT:
        _refuse(
            counts,
            pixels,
            f"only {sum(agree) / len(agree):.0%} of the clear faces have the same emotion in both",
        )


def _refuse(counts: Path, pixels: Path, reason: str) -> NoReturn:
    raise DataError(
        f"{printable(str(counts))} and {printable(pixels.name)} do not belong together: {reason}; "
        "fetch both again, each complete and in its own order"
    )
