"""Rows of a CSV file of any usual encoding, in bounded memory, with the line of every fault."""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from adafer.errors import DataError
from adafer.image import printable

MAX_LINE = 1_000_000
"""Longest line that is read, in characters."""

MAX_COLUMNS = 1000
"""Most columns of a header."""

_SHOWN = 5


class Faults:
    """Collects the faults of a file's rows, to report the first few and their number at once.

    Or those of a folder's files, which have no lines: then `kind` is "file".
    """

    def __init__(self, path: Path, kind: str = "row") -> None:
        self._path, self._kind = path, kind
        self._first: list[str] = []
        self._count = 0

    def add(self, line: int | None, reason: str) -> None:
        """Note a fault of one row, or of one file whose name the reason begins with."""
        self._count += 1
        if len(self._first) < _SHOWN:
            self._first.append(reason if line is None else f"line {line}: {reason}")

    def check(self) -> None:
        """Raise DataError if there was any fault."""
        if self._count:
            rows = f"{self._count:,} bad {self._kind}{'' if self._count == 1 else 's'}"
            more = "; ..." if self._count > len(self._first) else ""
            raise DataError(
                f"{printable(str(self._path))}: {rows} ({'; '.join(self._first)}{more}); "
                "correct or remove what is named"
            )


def lines(path: Path) -> Iterator[str]:
    """Yield lines with their ends, from UTF-8 or, with a byte-order mark, UTF-16."""
    with path.open(newline="", encoding=_encoding(path)) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE)
            except UnicodeError:
                raise _bad(path, number, "is not UTF-8 text; save the file as UTF-8") from None
            if not line:
                return
            if len(line) >= MAX_LINE:
                raise _bad(
                    path, number, "field larger than limit; keep each under 131,072 characters"
                )
            if "\0" in line:
                raise _bad(path, number, "holds a NUL byte; save the file as UTF-8 text")
            yield line


def rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every row that is not blank."""
    reader = csv.reader(lines(path), delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            reason = f"{error}; correct the quotes or the separator of this row"
            raise _bad(path, reader.line_num, reason) from None
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield reader.line_num, fields


class Table:
    """A CSV file with a header: names are compared without spaces at the ends and case."""

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next((line for line in lines(path) if line.strip()), "")
        self._delimiter = max(",;\t", key=first.count)
        _, header = next(rows(path, self._delimiter), (1, []))
        if not header:
            raise DataError(f"{printable(str(path))}: empty file; fetch it again or remove it")
        if len(header) > MAX_COLUMNS:
            raise DataError(
                f"{printable(str(path))}: {len(header):,} columns, limit {MAX_COLUMNS}; "
                "keep those with the path and the label"
            )
        self.columns = tuple(re.sub(r"\s+", "_", name.strip().lower()) for name in header)

    def column(self, names: Sequence[str], meaning: str) -> int:
        """Position of the first of these names that the header has; raises DataError."""
        position = self.find(names)
        if position is None:
            raise DataError(
                f"{printable(str(self.path))}: no column with the {meaning}: found "
                f"{', '.join(map(repr, map(printable, self.columns[:20])))}; name one of them "
                f"{' or '.join(map(repr, names[:4]))}"
            )
        return position

    def find(self, names: Sequence[str]) -> int | None:
        """Position of the first of these names, or None; a name that stands twice is an error."""
        for name in names:
            if self.columns.count(name) > 1:
                raise DataError(
                    f"{printable(str(self.path))}: column {name!r} stands twice in the header; "
                    "rename one"
                )
            if name in self.columns:
                return self.columns.index(name)
        return None

    def rows(self, faults: Faults) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and fields of every row below the header that has all columns."""
        below = rows(self.path, self._delimiter)
        next(below, None)
        for line, fields in below:
            if len(fields) == len(self.columns):
                yield line, fields
            else:
                faults.add(line, f"{len(fields)} fields for {len(self.columns)} columns")


def _encoding(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(3)
    except FileNotFoundError:
        raise DataError(f"{printable(str(path))}: no such file; correct the path") from None
    except (IsADirectoryError, PermissionError) as error:
        reason = f"cannot be read ({error.strerror}); correct the path or its permissions"
        raise DataError(f"{printable(str(path))}: {reason}") from None
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    return "utf-8-sig"


def _bad(path: Path, line: int, reason: str) -> DataError:
    return DataError(f"{printable(str(path))}: line {line}: {reason}")
