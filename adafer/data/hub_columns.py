"""Which columns of a table of `datasets` hold the faces and their labels, and what they say.

Legend: N faces, C classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.data.class_names import Classes
from adafer.data.files import some
from adafer.data.table import GROUP, LABEL, PATH
from adafer.data.vote_columns import PREFIX
from adafer.errors import DataError, WordsError
from adafer.image import printable

_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_WORDS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")
_LABELS = (*_WHOLE, *_WORDS, "bool", "float16", "float32", "float64", "dictionary")


@dataclass(frozen=True)
class Columns:
    """Names of the columns that matter."""

    image: str
    label: str
    group: str | None


def find_columns(
    features: Any, place: str, image_col: str = "", label_col: str = "", group_column: str = ""
) -> Columns:
    """Find the columns by their types, else by their usual names, or take those that are named.

    Raises:
        WordsError: a column that is not there, or several that could be meant.
        DataError: no pictures or no labels in any column.
    """
    for flag, column in (("image", image_col), ("label", label_col), ("group", group_column)):
        if column and column not in features:
            raise WordsError(
                f"{place} has no column {printable(column)!r}; it has {_listed(features)}: "
                f"correct --{flag}-col"
            )
    lowered: dict[str, str] = {}
    for name in features:
        lowered.setdefault(name.strip().lower(), name)
    group = group_column or next((lowered[n] for n in GROUP if n in lowered), None)
    image = image_col or _image(features, lowered, place)
    if not (_holds_pictures(features[image]) or _type(features[image]) in _WORDS):
        raise WordsError(f"{place}: column {printable(image)!r} holds no pictures; name another")
    return Columns(image, label_col or _label(features, lowered, place), group)


def words_of(table: Any, column: str, place: str) -> list[str | None]:
    """Label of each row as a word, (N,); None where a row has none.

    Class numbers are given by their names; -1 stands for no label there.

    Raises:
        DataError: labels that are neither words nor whole numbers.
    """
    feature = table.features[column]
    values = _arrow(table, column).to_pylist()
    if type(feature).__name__ == "ClassLabel":
        names = list(feature.names)
        known = range(len(names))
        return [names[v] if v in known else None for v in values]
    if _type(feature) not in _LABELS:
        raise DataError(
            f"{place}: column {printable(column)!r} holds neither words nor numbers; name another "
            "with --label-col"
        )
    return [_word(value, column, place) for value in values]


def class_order(table: Any, column: str, words: Sequence[str | None]) -> list[str]:
    """Labels that occur, each once: in the data set's own order, else sorted."""
    there = {word for word in words if word is not None}
    feature = table.features[column]
    if type(feature).__name__ == "ClassLabel":
        return [name for name in feature.names if name in there]
    if all(word.isascii() and word.isdigit() for word in there):
        return sorted(there, key=int)
    return sorted(there)


def pictures_of(table: Any, column: str) -> Iterator[tuple[memoryview | None, str | None]]:
    """Yield the encoded picture and the path of each row; either may be None.

    The bytes are views of the table's file, read when they are used.
    """
    for chunk in _arrow(table, column).chunks:
        data, paths = None, None
        if _type(table.features[column]) in _WORDS:
            paths = chunk
        elif _type(table.features[column]) in _BYTES:
            data = chunk
        else:
            fields = dict(zip((f.name for f in chunk.type), chunk.flatten(), strict=True))
            data, paths = fields.get("bytes"), fields.get("path")
        for row in range(len(chunk)):
            buffer = data[row].as_buffer() if data is not None else None
            path = paths[row].as_py() if paths is not None else None
            yield (None if buffer is None else memoryview(buffer)), path


def groups_of(
    table: Any, column: str | None, rows: Sequence[int], place: str
) -> tuple[str, ...] | None:
    """Name of the group of each of these rows, (N,); None without a column of groups.

    Raises:
        DataError: rows without a group.
    """
    if column is None:
        return None
    values = _arrow(table, column).to_pylist()
    names = ["" if values[row] is None else str(values[row]).strip() for row in rows]
    if not all(names):
        raise DataError(
            f"{place}: {names.count(''):,} rows have no {printable(column)!r}; fill the column or "
            "remove it"
        )
    return tuple(map(printable, names))


def votes_of(
    table: Any, classes: Classes, rows: Sequence[int], place: str
) -> NDArray[np.float32] | None:
    """Share of the votes for each class, (N, C), from columns `votes_CLASS`; None without them.

    Raises:
        DataError: a class without such a column, a column of no class, or rows without votes.
    """
    named = [name for name in table.features if name.lower().startswith(PREFIX)]
    if not named:
        return None
    found = {classes.position(name[len(PREFIX) :].replace("_", " ")): name for name in named}
    if set(found) != set(range(len(classes.names))) or len(found) < len(named):
        raise DataError(
            f"{place} has the votes {some(named, len(named), 12)} for the classes "
            f"{some(classes.names, len(classes.names), 12)}; give one column {PREFIX}CLASS for each"
        )
    columns = [_arrow(table, found[number]).to_pylist() for number in range(len(classes.names))]
    try:
        counts = np.array(columns, np.float64).T[list(rows)]
    except (TypeError, ValueError):  # words, lists
        counts = np.full((len(rows), 1), np.nan)
    bad = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)).all(1) | ~(counts.sum(1) > 0))
    if len(bad):
        raise DataError(
            f"{place}: {len(bad):,} rows without votes for any class (row {rows[bad[0]]} first); "
            f"fill the columns {PREFIX}CLASS or remove them"
        )
    shares: NDArray[np.float32] = (counts / counts.sum(1, keepdims=True)).astype(np.float32)
    return shares


def _image(features: Any, lowered: dict[str, str], place: str) -> str:
    typed = [name for name in features if type(features[name]).__name__ == "Image"]
    held = typed or [name for name in features if _holds_pictures(features[name])]
    if not held:
        held = [
            lowered[name]
            for name in PATH[:-1]  # `name` is more often a person's
            if name in lowered and _type(features[lowered[name]]) in _WORDS
        ][:1]
    if not held:
        raise DataError(
            f"{place} has no column with pictures; it has {_listed(features)}: choose another data "
            "set, or name the column with --image-col"
        )
    if len(held) > 1:
        raise WordsError(
            f"{place} has pictures in the columns {some(held, len(held), 12)}; choose one, as in "
            f"--image-col {printable(held[0])}"
        )
    return held[0]


def _label(features: Any, lowered: dict[str, str], place: str) -> str:
    held: list[str] = [n for n in features if type(features[n]).__name__ == "ClassLabel"]
    if not held:
        held = [
            lowered[name]
            for name in LABEL
            if name in lowered and _type(features[lowered[name]]) in _LABELS
        ]
    if not held:
        raise DataError(
            f"{place} has no column with labels; it has {_listed(features)}: name it with "
            "--label-col"
        )
    if len(held) > 1:
        raise WordsError(
            f"{place} has labels in the columns {some(held, len(held), 12)}; choose one, as in "
            f"--label-col {printable(held[0])}"
        )
    return held[0]


def _holds_pictures(feature: Any) -> bool:
    """Whether a column is of pictures, or of bytes that may be some."""
    if isinstance(feature, dict):  # written by a program that knows nothing of `datasets`
        return "bytes" in feature and _type(feature["bytes"]) in _BYTES
    return type(feature).__name__ == "Image" or _type(feature) in _BYTES


def _type(feature: Any) -> str:
    kind = str(feature.dtype) if type(feature).__name__ == "Value" else ""
    return kind.partition("<")[0]


def _word(value: object, column: str, place: str) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):  # how a table with whole numbers and gaps is often written
            return None
        if not value.is_integer():
            raise DataError(
                f"{place}: column {printable(column)!r} holds fractions such as {value:g}, no "
                "classes; name another with --label-col"
            )
        value = int(value)
    word = "" if value is None else str(value).strip()
    return None if word in ("", "-1") else word


def _arrow(table: Any, column: str) -> Any:
    """Column as Arrow keeps it: nothing is decoded, and bytes stay in the mapped file."""
    return table.with_format("arrow")[:][column]


def _listed(features: Any) -> str:
    return some(features, len(features), 12) or "none"
