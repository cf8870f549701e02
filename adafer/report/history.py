"""The history of a training as a picture of three plots, for papers and slides."""

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from adafer.report.curves import LINES, RATE, Names, Rows, borders, draw, drawable, epoch_numbers

COLOURS = ("#4355c9", "#c2571a", "#0e7d76")
INK, MUTED, RULE = "#17181c", "#5b5f69", "#e4e2dc"
PLOTS = ("Loss", "Accuracy and F1", RATE)


def history_png(rows: Rows, best: int | None = None) -> bytes:
    """Draw loss, accuracy with macro F1, and learning rates side by side on white, as a PNG.

    `rows` are those of results.csv; `best` is the place of the epoch to mark. What was not logged
    is left out; a plot without any line says so.
    """
    figure = Figure(figsize=(12.6, 3.7), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    lines = dict(LINES)
    for drawn, title in zip(figure.subplots(1, len(PLOTS)), PLOTS, strict=True):
        _plot(drawn, title, drawable(title, lines[title], rows), rows, best)
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _plot(drawn: Axes, title: str, shown: Names, rows: Rows, best: int | None) -> None:
    drawn.set_title(title, loc="left", fontsize=12, color=INK, pad=24)
    drawn.set_axisbelow(True)
    drawn.grid(axis="y", color=RULE, linewidth=0.8)
    drawn.tick_params(length=0, labelsize=10, labelcolor=MUTED)
    for side in ("top", "left", "right"):
        drawn.spines[side].set_visible(False)
    drawn.spines["bottom"].set_color(MUTED)
    if not shown:
        drawn.set(xticks=[], yticks=[])
        drawn.text(0.5, 0.5, "not logged", ha="center", color=MUTED, transform=drawn.transAxes)
        return
    draw(drawn, title, shown, rows, COLOURS)
    drawn.xaxis.label.set(color=MUTED, fontsize=10)
    for place in borders(rows):
        drawn.axvline(place, color=RULE, linewidth=1.2, zorder=0)
    if best is not None:
        place = epoch_numbers(rows)[best]
        drawn.axvline(place, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    _legend(drawn, [words for _, words in shown])


def _legend(drawn: Axes, words: Sequence[str]) -> None:
    """Name the lines between title and plot, where no line can cross the words."""
    drawn.legend(
        drawn.get_lines()[: len(words)],
        words,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(words),
        frameon=False,
        fontsize=9.5,
        labelcolor=MUTED,
        handlelength=1.2,
        columnspacing=1.2,
        borderpad=0.1,
    )
