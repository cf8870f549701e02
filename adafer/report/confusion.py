"""What is taken for what: the confusion matrix as a page block and as a picture."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from adafer.metrics import Scores
from adafer.report.section import Context, HeatCell, Heatmap, Section
from adafer.report.wording import count, percent

RAMP = LinearSegmentedColormap.from_list("indigo", ["#f6f6fc", "#a9b2ea", "#2b3696"])


def confusion(context: Context) -> Section:
    """Rows of the matrix as shares of the labelled faces, with their counts."""
    scores = context.scores
    support = scores.confusion.sum(1)
    cells = tuple(
        tuple(_cell(scores, int(support[i]), i, j) for j in range(len(scores.class_names)))
        for i in range(len(scores.class_names))
    )
    return Section(
        title="What is taken for what",
        reading=_reading(scores),
        blocks=(
            Heatmap(
                title="Confusion matrix",
                rows="labelled",
                columns="predicted",
                names=scores.class_names,
                cells=cells,
                caption=(
                    "Each row adds up to 100 %; below each share, the number of faces. The colour "
                    "follows the root of the share, so that rare mistakes show."
                ),
            ),
        ),
    )


def confusion_png(scores: Scores) -> bytes:
    """Draw the matrix on white, for papers and slides; names without a glyph become numbers."""
    names = [_drawable(name, i) for i, name in enumerate(scores.class_names)]
    classes = len(names)
    side = max(4.5, 0.62 * classes + 1.6)
    figure = Figure(figsize=(side, side * 0.96), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    drawn = figure.add_subplot()
    shares = scores.confusion / np.maximum(scores.confusion.sum(1, keepdims=True), 1)
    drawn.imshow(shares**0.5, cmap=RAMP, vmin=0, vmax=1)
    drawn.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
    drawn.set_yticks(range(classes), names)
    for text in (*drawn.get_xticklabels(), *drawn.get_yticklabels()):
        text.set_parse_math(False)
    drawn.set_xticks(np.arange(0.5, classes - 1), minor=True)
    drawn.set_yticks(np.arange(0.5, classes - 1), minor=True)
    drawn.grid(which="minor", color="white", linewidth=1.5)
    drawn.tick_params(which="both", length=0, labelsize=9)
    drawn.set(xlabel="predicted", ylabel="labelled")
    drawn.spines[:].set_visible(False)
    for i, j in np.ndindex(classes, classes):
        colour = "white" if shares[i, j] ** 0.5 > 0.7 else "#17181c"
        words = f"{100 * shares[i, j]:.0f} %\n{scores.confusion[i, j]:,}"
        size = 8 if classes <= 12 else 6
        drawn.text(j, i, words, ha="center", va="center", fontsize=size, color=colour)
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _cell(scores: Scores, support: int, i: int, j: int) -> HeatCell:
    if not support:
        return HeatCell(text="–", means=f"no face is labelled {scores.class_names[i]}")
    faces = int(scores.confusion[i, j])
    share = faces / support
    return HeatCell(
        text=percent(share, 0),
        below=count(faces),
        level=round(10 * share**0.5),  # the root, so that rare mistakes show
        means=(
            f"labelled {scores.class_names[i]}, predicted {scores.class_names[j]}: "
            f"{count(faces)} of {count(support, 'face')}"
        ),
    )


def _reading(scores: Scores) -> str:
    errors = scores.confusion.copy()
    np.fill_diagonal(errors, 0)
    if not errors.any():
        return f"Every one of the {count(scores.n, 'face')} is named as it is labelled."
    support = np.maximum(scores.confusion.sum(1, keepdims=True), 1)
    i, j = np.unravel_index(int(errors.argmax()), errors.shape)
    reading = (
        f"The most frequent mistake takes {scores.class_names[i]} for {scores.class_names[j]}: "
        f"{count(int(errors[i, j]), 'face')}, {percent(errors[i, j] / support[i, 0])} of those "
        f"labelled {scores.class_names[i]}."
    )
    share = errors / support
    k, m = np.unravel_index(int(share.argmax()), share.shape)
    if (k, m) != (i, j):
        reading += (
            f" By share it is {scores.class_names[k]} taken for {scores.class_names[m]}: "
            f"{percent(share[k, m])} of {count(int(support[k, 0]), 'face')}."
        )
    return reading


def _drawable(name: str, index: int) -> str:
    """Return a short name that the picture's font can write, or the number of the class."""
    short = " ".join(name.split())
    short = short if len(short) <= 18 else short[:17] + "…"
    font = get_font(findfont("DejaVu Sans"))
    known = short and all(font.get_char_index(ord(letter)) for letter in short)
    return short if known else f"class {index}"
