"""How the training went, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from adafer.report.charts import COLOUR_NAMES, FIRST, SECOND, THIRD, axes, marks, svg
from adafer.report.section import Cell, Chart, Context, Section, Table
from adafer.report.wording import count, duration, number, percent

Rows = Sequence[Mapping[str, Any]]

RATE = "Learning rate × 1000"
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
    values = column(context.history, watched or "val_macro_f1")
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


def _epochs(rows: Rows) -> list[float]:
    numbers = column(rows, "epoch")
    return [i + 1 if math.isnan(value) else value for i, value in enumerate(numbers)]


def _chart(
    title: str, lines: Sequence[tuple[str, str]], rows: Rows, best: int | None
) -> Chart | None:
    epochs = _epochs(rows)
    values = {name: column(rows, name) for name, _ in lines}
    shown = [(name, words) for name, words in lines if not all(map(math.isnan, values[name]))]
    if len(shown) == 2 and title == RATE and values[shown[0][0]] == values[shown[1][0]]:
        shown = [(shown[0][0], "every stage")]
    if not shown:
        return None
    drawn = axes()
    marker = "o" if len(rows) < 3 else None
    for colour, (name, _) in zip(COLOURS, shown, strict=False):
        drawn.plot(epochs, values[name], color=colour, linewidth=1.8, marker=marker, markersize=4)
    drawn.set(xlabel="epoch", xlim=(epochs[0] - 0.4, epochs[-1] + 0.4))
    drawn.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    scale = 1000 if title == RATE else 1
    drawn.yaxis.set_major_formatter(lambda value, _: f"{scale * value:g}")
    if title.startswith("Accuracy"):
        drawn.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    phases = [row.get("phase") for row in rows]
    borders = [
        (epochs[i] + epochs[i + 1]) / 2 for i in range(len(rows) - 1) if phases[i] != phases[i + 1]
    ]
    marks(drawn, None if best is None else epochs[best], borders)
    last = {name: [v for v in values[name] if not math.isnan(v)][-1] for name, _ in shown}
    ends = [f"{words} ends at {last[name]:.4g}" for name, words in shown]
    return Chart(
        title=title,
        svg=svg(drawn, title, f"{title} over {len(rows)} epochs: {', '.join(ends)}."),
        legend=tuple(
            (words, COLOUR_NAMES[colour])
            for colour, (_, words) in zip(COLOURS, shown, strict=False)
        ),
        caption=CAPTIONS.get(title, ""),
    )


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
    epoch = f"{_epochs(rows)[best]:.0f}"
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
