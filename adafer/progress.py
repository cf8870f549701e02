"""What a person sees while a model trains: a bar and a table on a terminal, lines elsewhere."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

COLUMNS = (
    ("Epoch", 7),
    ("Phase", 5),
    ("Train Loss", 10),
    ("Acc", 6),
    ("Val Loss", 8),
    ("Acc", 6),
    ("F1", 6),
    ("Steps", 5),
    ("LR backbone", 11),
    ("LR head", 8),
    ("Time", 7),
    ("Status", 8),
)


MANY = 2_000
"""Faces from which on it is shown how many are read."""


class Console:
    """Prints a training: one line an epoch, and a bar within the epoch on a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.terminal = Terminal(file=sys.stdout, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self._bar: Progress | None = None
        self._headed = False

    def said(self, sentence: str) -> None:
        """Print one sentence."""
        if not self.quiet:
            self.terminal.print(sentence, markup=False)

    def stepped(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Move the bar of this epoch; nothing where output is no terminal."""
        if self.quiet or not self.terminal.is_terminal:
            return
        if self._bar is None:
            told = "{task.completed}/{task.total} batches, loss {task.fields[loss]:.3f}"
            self._bar = self._started("epoch {task.fields[epoch]}", told)
            self._bar.add_task("", total=total, epoch=epoch, loss=loss)
        self._bar.update(self._bar.task_ids[0], completed=done, loss=loss)

    def reading(self, split: str, done: int, total: int) -> None:
        """Move the bar of the faces that are read; nothing where output is no terminal."""
        if self.quiet or not self.terminal.is_terminal or total < MANY:
            return
        if self._bar is None:
            told = "{task.completed:,}/{task.total:,} read"
            self._bar = self._started("faces of {task.description}", told)
            self._bar.add_task(split, total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)

    def _started(self, before: str, after: str) -> Progress:
        """Start a bar between two texts, with the time that is left."""
        bar = Progress(
            TextColumn(before),
            BarColumn(bar_width=30),
            TextColumn(after),
            TimeRemainingColumn(),
            console=self.terminal,
            transient=True,
        )
        bar.start()
        return bar

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """Print the line of one epoch (a row of results.csv)."""
        self.rest()
        if self.quiet:
            return
        if not self._headed:
            self.said("  ".join(f"{title:>{width}}" for title, width in COLUMNS))
            self._headed = True
        cells = (
            f"{row['epoch']}/{epochs}",
            str(row["phase"]),
            _shown(row["train_loss"], ".4f"),
            _shown(row["train_acc"], ".1%"),
            _shown(row["val_loss"], ".4f"),
            _shown(row["val_acc"], ".1%"),
            _shown(row["val_macro_f1"], ".1%"),
            _shown(row["mean_steps"], ".2f"),
            _shown(row["lr_backbone"], ".2e"),
            _shown(row["lr_head"], ".2e"),
            _shown(row["epoch_time"], ".1f") + "s",
            str(row["status"]),
        )
        self.said(
            "  ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))
        )

    def rest(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, renderable: Any) -> None:
        """Print a table, also when quiet."""
        self.rest()
        self.terminal.print(renderable)


class Silence:
    """Prints nothing; what tests and programs use."""

    def said(self, sentence: str) -> None:
        """Keep quiet."""

    def stepped(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Keep quiet."""

    def reading(self, split: str, done: int, total: int) -> None:
        """Keep quiet."""

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """Keep quiet."""

    def rest(self) -> None:
        """Keep quiet."""

    def show(self, renderable: Any) -> None:
        """Keep quiet."""


Watcher = Console | Silence


def usual_watcher() -> Watcher:
    """Return what a call from Python shows: all of it to a person at a prompt or in a notebook."""
    return Console() if hasattr(sys, "ps1") else Silence()


def _shown(value: Any, form: str) -> str:
    return "-" if value is None or value == "" else format(float(value), form)
