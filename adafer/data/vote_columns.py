"""Votes in a CSV: a column `votes_CLASS` for each class, with counts or shares.

Legend: C classes.
"""

import math
from collections.abc import Sequence

from adafer.data.class_names import Classes
from adafer.data.csv_rows import Faults, Table
from adafer.data.files import some
from adafer.errors import DataError
from adafer.image import printable

PREFIX = "votes_"
_NEAR_ONE = 1e-3  # shares that were rounded when they were written stay as they are


def vote_columns(table: Table, classes: Classes) -> tuple[int, ...] | None:
    """Column of each class's votes, (C,), or None where the table has no votes.

    Raises:
        DataError: where a class has no column, two have the same, or a column is of no class.
    """
    named = [name for name in table.columns if name.startswith(PREFIX)]
    if not named:
        return None
    columns: dict[int, int] = {}
    for name in named:
        word = name.removeprefix(PREFIX)
        position = classes.position(word)
        if position is None:
            position = classes.position(word.replace("_", " "))
        if position is None or position in columns:
            reason = "is no class" if position is None else "is a class that has a column already"
            raise DataError(
                f"{printable(str(table.path))}: column {printable(name)!r} {reason}; name or "
                "remove it"
            )
        columns[position] = table.columns.index(name)
    lacking = [name for place, name in enumerate(classes.names) if place not in columns]
    if lacking:
        raise DataError(
            f"{printable(str(table.path))}: no votes of {some(lacking, len(lacking))}; add a "
            f"column {PREFIX}CLASS for each class or remove them all"
        )
    return tuple(columns[place] for place in range(len(classes.names)))


def shares(
    line: int, fields: Sequence[str], columns: Sequence[int], faults: Faults
) -> list[float] | None:
    """Share of the votes for each class, (C,); None and a fault where a cell holds no number."""
    numbers = []
    for column in columns:
        number = _number(fields[column])
        if number is None:
            faults.add(line, f"{printable(fields[column][:20])!r} is no number of votes")
            return None
        numbers.append(number)
    total = math.fsum(numbers)
    if not 0 < total < math.inf:
        faults.add(line, "no votes for any class")
        return None
    return numbers if abs(total - 1) < _NEAR_ONE else [number / total for number in numbers]


def _number(cell: str) -> float | None:
    try:
        number = float(cell) if cell.isascii() and "_" not in cell else -1.0
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
