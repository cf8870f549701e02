"""How the training went, epoch by epoch."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from adafer.report.charts import COLOUR_NAMES, FIRST, SECOND, THIRD, axes, marks, svg
from adafer.report.section import Cell, Chart, Context, Section, Table
from adafer.report.wording import count, duration, number, percent

Rows = Sequence[Mapping[str, Any]]

RATE = "Learning rate"
DEEPEST = 1e-2
"""Share of the lowest peak at which the axis of the rates ends: a cosine falls to nearly 0."""
LINES = (
    ("Loss", (("train_loss", "training"), ("val_loss", "validation"))),
    (
        "Accuracy and F1",
        (
            ("train_acc", "training"),
            ("val_acc", "validation"),
            ("val_macro_f1", "validation macro F1"),
        ),
    ),
    ("Mean steps", (("mean_steps", "steps"), ("ponder_cost", "ponder cost"))),
    (RATE, (("lr_head", "head"), ("lr_backbone", "backbone"))),
)
CAPTIONS = {
    "Loss": "Training: every term, on varied faces. Validation: cross-entropy on faces as they are."
}
COLOURS = (FIRST, SECOND, THIRD)
Names = Sequence[tuple[str, str]]
"""Columns of results.csv, and their words."""


def curves(context: Context) -> Section | None:
    """Loss, accuracy, steps and learning rate over the epochs, the best one marked."""
    rows = context.history
    if not rows:
        return None
    best = best_epoch(context)
    charts = [chart for title, lines in LINES if (chart := _chart(title, lines, rows, best))]
    return Section(
        title="Training", reading=_reading(context, best), blocks=(*charts, _table(rows))
    )


def best_epoch(context: Context) -> int | None:
    """Place of the row with the best figure that the recipe watches, or None."""
    train = context.recipe.get("train")
    watched = train.get("monitor") if isinstance(train, Mapping) else None
    return best_row(context.history, watched or "val_macro_f1")


def best_row(rows: Rows, watched: str) -> int | None:
    """Place of the row with the best value in the column that was watched, or None."""
    values = column(rows, watched)
    known = [i for i, value in enumerate(values) if not math.isnan(value)]
    if not known:
        return None
    pick = min if watched == "val_loss" else max
    return pick(known, key=lambda i: values[i])


def column(rows: Rows, name: str) -> list[float]:
    """Return a column of results.csv as numbers; NaN where a cell holds none."""
    return [_as_number(row.get(name)) for row in rows]


def _as_number(cell: Any) -> float:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def epoch_numbers(rows: Rows) -> list[float]:
    """Return the number of each row's epoch; its place where a cell holds none."""
    numbers = column(rows, "epoch")
    return [i + 1 if math.isnan(value) else value for i, value in enumerate(numbers)]


def _chart(title: str, lines: Names, rows: Rows, best: int | None) -> Chart | None:
    shown = drawable(title, lines, rows)
    if not shown:
        return None
    drawn = axes()
    draw(drawn, title, shown, rows, COLOURS)
    epochs = epoch_numbers(rows)
    marks(drawn, None if best is None else epochs[best], borders(rows))
    ends = [f"{words} ends at {_last(rows, title, name):.4g}" for name, words in shown]
    return Chart(
        title=title,
        svg=svg(drawn, title, f"{title} over {len(rows)} epochs: {', '.join(ends)}."),
        legend=tuple(
            (words, COLOUR_NAMES[colour])
            for colour, (_, words) in zip(COLOURS, shown, strict=False)
        ),
        caption=CAPTIONS.get(title, ""),
    )


def drawable(title: str, lines: Names, rows: Rows) -> list[tuple[str, str]]:
    """Return the lines that have a value, those of equal rates as one."""
    values = {name: plotted(rows, title, name) for name, _ in lines}
    shown = [(name, words) for name, words in lines if not all(map(math.isnan, values[name]))]
    if len(shown) == 2 and title == RATE and values[shown[0][0]] == values[shown[1][0]]:
        return [(shown[0][0], "every stage")]
    return shown


def draw(drawn: Axes, title: str, shown: Names, rows: Rows, colours: Sequence[str]) -> None:
    """Draw the lines over the epochs; rates on a logarithmic axis, a part at rest not at all."""
    epochs = epoch_numbers(rows)
    marker = "o" if len(rows) < 3 else None
    values = [plotted(rows, title, name) for name, _ in shown]
    for place, (colour, line) in enumerate(zip(colours, values, strict=False)):
        drawn.plot(epochs, line, color=colour, linewidth=1.8, marker=marker, markersize=4)
        if title == RATE and place:  # where both parts learn alike, both lines show
            drawn.get_lines()[-1].set_linestyle((0, (4, 3)))
    drawn.set(xlabel="epoch", xlim=(epochs[0] - 0.4, epochs[-1] + 0.4))
    drawn.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    if title == RATE:
        known = [[value for value in line if not math.isnan(value)] for line in values]
        lowest = max(min(map(min, known)), DEEPEST * min(map(max, known)))
        highest = max(map(max, known))
        drawn.set(yscale="log", ylim=(_decade(lowest, math.floor), _decade(highest, math.ceil)))
        drawn.yaxis.set_minor_locator(NullLocator())
    else:
        drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    drawn.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if title.startswith("Accuracy"):
        drawn.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def plotted(rows: Rows, title: str, name: str) -> list[float]:
    """Return a column as it is drawn: a rate of 0 is a part at rest, which has no logarithm."""
    values = column(rows, name)
    return [math.nan if value <= 0 else value for value in values] if title == RATE else values


def borders(rows: Rows) -> list[float]:
    """Places between two epochs of different phases."""
    epochs, phases = epoch_numbers(rows), [row.get("phase") for row in rows]
    return [
        (epochs[i] + epochs[i + 1]) / 2 for i in range(len(rows) - 1) if phases[i] != phases[i + 1]
    ]


def _last(rows: Rows, title: str, name: str) -> float:
    return [value for value in plotted(rows, title, name) if not math.isnan(value)][-1]


def _decade(value: float, rounded: Callable[[float], int]) -> float:
    """Power of ten below or above a value, a little outside, so that a line on it shows."""
    power = rounded(math.log10(value))
    return 10.0**power * (0.9 if rounded is math.floor else 1.1)


def _reading(context: Context, best: int | None) -> str:
    rows = context.history
    seconds = [value for value in column(rows, "epoch_time") if not math.isnan(value)]
    start = f"{count(len(rows), 'epoch')}"
    if seconds:
        start += f" in {duration(sum(seconds))}, {duration(sum(seconds) / len(seconds))} each"
    if best is None:
        return f"{start}."
    f1, accuracy = (column(rows, name)[best] for name in ("val_macro_f1", "val_acc"))
    figures = [
        f"{words} {percent(value)}"
        for words, value in (("macro F1", f1), ("accuracy", accuracy))
        if not math.isnan(value)
    ]
    on = f": {' and '.join(figures)} on validation" if figures else ""
    epoch = f"{epoch_numbers(rows)[best]:.0f}"
    return f"{start}. The best was epoch {epoch} (dotted){on}."


def _table(rows: Rows) -> Table:
    columns = (
        ("Epoch", "epoch", "g"),
        ("Train loss", "train_loss", ".4f"),
        ("Train accuracy", "train_acc", ".1%"),
        ("Val loss", "val_loss", ".4f"),
        ("Val accuracy", "val_acc", ".1%"),
        ("Val macro F1", "val_macro_f1", ".1%"),
        ("Mean steps", "mean_steps", ".2f"),
        ("Seconds", "epoch_time", ".1f"),
    )
    values = {name: column(rows, name) for _, name, _ in columns}
    kept = [item for item in columns if not all(map(math.isnan, values[item[1]]))]
    return Table(
        folded="Every epoch as a table",
        columns=tuple(title for title, _, _ in kept),
        rows=tuple(
            tuple(
                Cell(text=number(None) if math.isnan(v) else format(v, form).replace("%", " %"))
                for v, form in ((values[name][i], form) for _, name, form in kept)
            )
            for i in range(len(rows))
        ),
        text_columns=(),
    )
