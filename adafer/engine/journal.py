"""What a run writes down: one row an epoch in results.csv, and events as they come."""

import csv
import io
import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Figure = float | int | str | None

COLUMNS = (
    "epoch",
    "phase",
    "train_loss",
    "train_acc",
    "val_loss",
    "val_acc",
    "val_macro_f1",
    "lr_backbone",
    "lr_head",
    "mean_steps",
    "ponder_cost",
    "epoch_time",
    "status",
)
"""First columns of results.csv, fixed; further ones may follow."""


class Results:
    """results.csv: written anew from the rows that a checkpoint holds, then one row an epoch.

    Those rows are the truth, so after a stop at any moment the file equals that of an unbroken
    run, times aside. Numbers are written so that reading gives the same bits; what is not finite,
    and what is not there, is an empty cell.
    """

    def __init__(
        self,
        path: Path,
        rows: Iterable[Mapping[str, Figure]] = (),
        extra: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.columns = (*COLUMNS, *(name for name in extra if name not in COLUMNS))
        text = _line(self.columns) + "".join(self._row(row) for row in rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)

    def write(self, step: int, figures: Mapping[str, Figure]) -> None:
        """Append the row of an epoch; `step` is the epoch where the figures do not name it.

        Raises:
            KeyError: a figure that has no column.
        """
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._row({"epoch": step} | dict(figures)))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is held open."""

    def _row(self, figures: Mapping[str, Figure]) -> str:
        unknown = [name for name in figures if name not in self.columns]
        if unknown:
            raise KeyError(f"{self.path.name} has no column {', '.join(unknown)}")
        return _line(_cell(figures.get(name)) for name in self.columns)


class Events:
    """events.jsonl: one JSON object a line, with the time of day; appended, never rewritten."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **facts: Any) -> None:
        """Append an event, for example `resumed`, `stopped` or `warning`."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        line = json.dumps({"time": now, "event": event} | facts, default=str, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _cell(value: Figure) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
