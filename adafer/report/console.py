"""The closing words of a training on the console."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from adafer.metrics import Scores
from adafer.report.wording import NOTHING, SPLITS, count, duration, number, percent


def closing_table(scores: Scores, *, split: str = "val", max_steps: int | None = None) -> Table:
    """Return a table of accuracy and mean steps per emotion, with a line for all of them."""
    title = f"{SPLITS.get(split, split)} faces"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("apparent expression")
    for name in ("faces", "accuracy", "F1"):
        table.add_column(name, justify="right")
    has_steps = scores.mean_steps is not None
    if has_steps:
        table.add_column("mean steps", justify="right")
        table.add_column("")
    longest = max(max_steps or 0, len(scores.step_counts or ()), 1)
    for item in scores.per_class:
        table.add_row(
            Text(item.name),
            count(item.support),
            percent(item.recall) if item.support else NOTHING,
            percent(item.f1),
            *((number(item.mean_steps), _bar(item.mean_steps, longest)) if has_steps else ()),
        )
    table.add_section()
    table.add_row(
        "all",
        count(scores.n),
        percent(scores.accuracy),
        percent(scores.macro_f1),
        *((number(scores.mean_steps), _bar(scores.mean_steps, longest)) if has_steps else ()),
        style="bold",
    )
    return table


def closing_block(
    *,
    best_macro_f1: float | None,
    best_accuracy: float | None,
    best_epoch: int | None,
    sizes: Mapping[str, int | None],
    epoch_seconds: Sequence[float],
    total_seconds: float,
    validation: Scores | None = None,
    test: Scores | None = None,
) -> list[str]:
    """Return the lines that close a training; a figure that nobody asked for is left out.

    `sizes` holds the faces of `train`, `val` and `test`; None or a missing one is unread.
    """
    lines = [
        f"Best validation macro F1: {_fraction(best_macro_f1)}",
        f"Best validation accuracy: {_fraction(best_accuracy)}",
        f"Epoch of best model: {NOTHING if best_epoch is None else best_epoch}",
    ]
    if validation is not None:
        lines.append(f"Validation (Best) {_losses(validation)}")
    if test is not None:
        lines.append(f"Test {_losses(test)}")
    shown = [_size(sizes.get(split)) for split in ("train", "val", "test")]
    lines.append(f"Train/Val/Test sizes: {'/'.join(shown)}")
    if epoch_seconds:
        mean = sum(epoch_seconds) / len(epoch_seconds)
        lines.append(f"Average Time per Epoch: {duration(mean)}")
    lines.append(f"Total Training Time: {duration(total_seconds)}")
    return lines


def _losses(scores: Scores) -> str:
    loss: Any = scores.nll if scores.loss is None else scores.loss
    return f"Loss {loss:.4f} Acc {scores.accuracy:.4f} MacroF1 {scores.macro_f1:.4f}"


def _bar(steps: float | None, longest: int) -> Text:
    filled = 0 if steps is None else round(10 * steps / longest)
    return Text.assemble(("━" * filled, "cyan"), ("━" * (10 - filled), "bright_black"))


def _fraction(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _size(faces: int | None) -> str:
    return NOTHING if faces is None else str(faces)
