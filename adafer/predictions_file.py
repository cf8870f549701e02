"""Predictions as a CSV file that a spreadsheet opens and that reads back exactly.

Columns: `id,label,prediction,probability,steps,ponder_cost`, then `p_<class>` for each class,
`votes_<class>` where the data has votes, `correct_at_<step>` where every depth was measured.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.errors import AdaferError, DataError
from adafer.predictions import Predictions

COLUMNS = ("id", "label", "prediction", "probability", "steps", "ponder_cost")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""Starts of a cell that a spreadsheet runs, and the quote that marks one as text."""


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the whole table or nothing; text that looks like a formula is marked with a quote.

    The mean loss is no column; `metrics.json` holds it.

    Raises:
        AdaferError: if the file cannot be written.
    """
    write_bytes(path, csv_bytes([_header(predictions), *_rows(predictions)]))


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote; `loss` is None.

    Raises:
        DataError: if the file is missing, lacks a column, or a cell holds no such value.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            rows = [(lines.line_num, row) for row in lines if row]
    except OSError as error:
        raise DataError(
            f"no predictions in '{path}' ({error.strerror or error}); "
            "write them with `adafer evaluate`"
        ) from None
    except csv.Error as error:
        raise DataError(f"'{path}' is no CSV ({error}); evaluate the model again") from None
    return _parsed(path, header, rows)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, and make its folder.

    Raises:
        AdaferError: if the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        why = error.strerror or error
        raise AdaferError(
            f"cannot write '{path}' ({why}); free space or choose another folder"
        ) from None


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV, lines ended by a line feed; names that are no text keep their bytes."""
    lines = []
    for row in rows:
        line = io.StringIO(newline="")
        # The writer quotes a carriage return only where it ends its lines with one.
        csv.writer(line, lineterminator="\r\n").writerow(row)
        lines.append(line.getvalue()[:-2] + "\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def as_text(cell: str) -> str:
    """Return a cell that no spreadsheet runs: a quote before what looks like a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _header(predictions: Predictions) -> list[str]:
    names, depths = predictions.class_names, predictions.step_correct
    return [
        *COLUMNS,
        *(f"p_{name}" for name in names),
        *(f"votes_{name}" for name in names if predictions.votes is not None),
        *(f"correct_at_{step + 1}" for step in range(0 if depths is None else depths.shape[1])),
    ]


def _rows(predictions: Predictions) -> Iterator[list[Any]]:
    names = [as_text(name) for name in predictions.class_names]
    predicted = predictions.predicted
    steps, cost = predictions.steps, predictions.ponder_cost
    votes, depths = predictions.votes, predictions.step_correct
    for i, name in enumerate(predictions.ids):
        probabilities = predictions.probabilities[i].tolist()
        yield [
            as_text(name),
            names[predictions.labels[i]],
            names[predicted[i]],
            max(probabilities),
            "" if steps is None else int(steps[i]),
            "" if cost is None else float(cost[i]),
            *probabilities,  # as repr, which reads back to the bit
            *([] if votes is None else votes[i].tolist()),
            *([] if depths is None else depths[i].astype(int).tolist()),
        ]


def _parsed(path: Path, header: Sequence[str], rows: list[tuple[int, list[str]]]) -> Predictions:
    names, has_votes, depths = _layout(path, header)
    if not rows:
        raise DataError(f"'{path}' holds no face; evaluate a split that holds faces")
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"'{path}' line {line} has {len(row)} cells instead of {len(header)}; "
                "evaluate the model again"
            )
    first, classes = len(COLUMNS), len(names)
    places = {name: i for i, name in enumerate(names)}
    second, third = first + classes, first + classes * (2 if has_votes else 1)
    probabilities = _numbers(path, header, rows, range(first, second))
    steps, cost = (
        _numbers(path, header, rows, [column]) if any(row[column] for _, row in rows) else None
        for column in (4, 5)
    )
    correct = _numbers(path, header, rows, range(third, third + depths))
    return Predictions(
        class_names=names,
        ids=tuple(_from_text(row[0]) for _, row in rows),
        labels=np.array([_label(path, places, line, row[1]) for line, row in rows], np.int64),
        probabilities=probabilities,
        steps=None if steps is None else steps[:, 0].astype(np.int64),
        ponder_cost=None if cost is None else cost[:, 0],
        votes=_numbers(path, header, rows, range(second, third)) if has_votes else None,
        step_correct=correct > 0 if depths else None,
    )


def _layout(path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], bool, int]:
    """Return the class names, whether there are votes, and the number of measured depths."""
    rest = list(header[len(COLUMNS) :])
    names = [name.removeprefix("p_") for name in rest if name.startswith("p_")]
    depths = sum(name.startswith("correct_at_") for name in rest)
    votes = [f"votes_{name}" for name in names] if len(rest) > len(names) + depths else []
    wanted = [
        *COLUMNS,
        *(f"p_{name}" for name in names),
        *votes,
        *(f"correct_at_{step + 1}" for step in range(depths)),
    ]
    missing = [name for name in wanted if name not in header]
    if missing or not names or list(header) != wanted:
        what = f"lacks the column {missing[0]!r}" if missing else "has other columns"
        raise DataError(f"'{path}' {what}; take a predictions.csv that `adafer evaluate` wrote")
    return tuple(names), bool(votes), depths


def _numbers(
    path: Path, header: Sequence[str], rows: list[tuple[int, list[str]]], columns: Sequence[int]
) -> NDArray[np.float64]:
    values = np.empty((len(rows), len(columns)))
    for i, (line, row) in enumerate(rows):
        for j, column in enumerate(columns):
            try:
                values[i, j] = float(row[column])
            except ValueError:
                values[i, j] = np.nan
            if not np.isfinite(values[i, j]):
                raise DataError(
                    f"'{path}' line {line} holds {row[column][:40]!r} as {header[column]}, not a "
                    "number; evaluate the model again"
                )
    return values


def _label(path: Path, places: dict[str, int], line: int, cell: str) -> int:
    name = _from_text(cell)
    if name not in places:
        raise DataError(
            f"'{path}' line {line} has the label {name[:40]!r}, which has no column p_; "
            "evaluate the model again"
        )
    return places[name]


def _from_text(cell: str) -> str:
    return cell.removeprefix("'")
