"""The closing words of a training on the console."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich import box
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adafer.metrics import Scores
from adafer.report.wording import SPLITS, count, duration


def closing_table(scores: Scores, *, split: str = "val", max_steps: int | None = None) -> Table:
    """Return a table of accuracy and mean steps per emotion, with a line for all of them."""
    what = "Accuracy" if scores.mean_steps is None else "Accuracy and steps"
    title = f"{what} on the {SPLITS.get(split, split)} faces"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
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
            f"{item.recall:.1%}" if item.support else "-",
            f"{item.f1:.1%}",
            *((_mean(item.mean_steps), _bar(item.mean_steps, longest)) if has_steps else ()),
        )
    table.add_section()
    table.add_row(
        "all",
        count(scores.n),
        f"{scores.accuracy:.1%}",
        f"{scores.macro_f1:.1%}",
        *((_mean(scores.mean_steps), _bar(scores.mean_steps, longest)) if has_steps else ()),
        style="bold",
    )
    return table


class StageLine(Protocol):
    """A stage of a model, its parameters, and its peak learning rate in each phase."""

    @property
    def name(self) -> str:
        """Name of the stage."""
        ...

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        ...

    @property
    def rates(self) -> Sequence[float | None]:
        """Peak learning rate in each phase; None where it does not learn."""
        ...


def stages_table(lines: Sequence[StageLine]) -> Table:
    """Return a table of what is trained, stem to head, and how fast in each phase."""
    title = "What learns, and the peak of its learning rate"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("stage")
    table.add_column("parameters", justify="right")
    phases = range(len(lines[0].rates))
    for phase in phases:
        table.add_column(f"phase {phase + 1}", justify="right")
    for line in lines:
        rates = ("frozen" if rate is None else f"{rate:.2e}" for rate in line.rates)
        table.add_row(Text(line.name), count(line.parameters), *rates)
    table.add_section()
    learning = (
        count(sum(line.parameters for line in lines if line.rates[phase] is not None))
        for phase in phases
    )
    whole = count(sum(line.parameters for line in lines))
    table.add_row("all | those that learn", whole, *learning, style="bold")
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
        f"Epoch of best model: {'-' if best_epoch is None else best_epoch}",
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


def _bar(steps: float | None, longest: int) -> ProgressBar:
    return ProgressBar(
        total=longest, completed=steps or 0, width=12, complete_style="cyan", finished_style="cyan"
    )


def _mean(steps: float | None) -> str:
    return "-" if steps is None else f"{steps:.2f}"


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _size(faces: int | None) -> str:
    return "-" if faces is None else str(faces)
