"""Line and bar charts as inline SVG that takes its colours and font from the page."""

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, LINE = "#010101", "#010102", "#010103"
FIRST, SECOND, THIRD = "#010104", "#010105", "#010106"
_PAGE_COLOURS = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    FIRST: "--first",
    SECOND: "--second",
    THIRD: "--third",
}
COLOUR_NAMES = {FIRST: "first", SECOND: "second", THIRD: "third", MUTED: "muted", LINE: "line"}
"""Words by which a legend names the colours."""

WIDTH, HEIGHT = 4.5, 2.7  # inches of 72 points; drawn as wide as the page allows


def axes(height: float = HEIGHT) -> Axes:
    """Return axes in the style of the page: light rules, no frame."""
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasSVG(figure)
    left, below = 0.125, 0.42 / height
    drawn: Axes = figure.add_axes((left, below, 0.985 - left, 1 - below - 0.12 / height))
    drawn.set_axisbelow(True)
    drawn.grid(axis="y", color=LINE, linewidth=0.8)
    drawn.tick_params(length=0, labelsize=10, labelcolor=MUTED, pad=5)
    for side in ("top", "left", "right"):
        drawn.spines[side].set_visible(False)
    drawn.spines["bottom"].set_color(MUTED)
    drawn.spines["bottom"].set_linewidth(0.8)
    drawn.xaxis.label.set(color=MUTED, fontsize=10)
    drawn.yaxis.label.set(color=MUTED, fontsize=10)
    return drawn


def svg(drawn: Axes, name: str, alt: str) -> str:
    """Return markup to stand in the page; `name` keeps its inner references apart from others'."""
    text = io.StringIO()
    figure = drawn.figure
    assert isinstance(figure, Figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            text,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    markup = text.getvalue()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>", "", markup, flags=re.DOTALL)
    markup = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", markup, flags=re.DOTALL)
    markup = re.sub(r'<g id="[^"]*"', "<g", markup)
    markup = re.sub(r"font(-family)?: [^;\"]*", _page_font, markup)
    markup = re.sub(r"\s*\n\s*", " ", markup)
    for colour, variable in _PAGE_COLOURS.items():
        markup = markup.replace(colour, f"var({variable})")
    size = re.search(r'viewBox="[^"]*"', markup)
    box = size[0] if size else ""
    head = f'<svg {box} role="img" aria-label="{escape(alt)}" class="chart">'
    return re.sub(r"<svg [^>]*>", lambda _: head, markup, count=1).replace("xlink:href", "href")


def marks(drawn: Axes, best: float | None, borders: Sequence[float] = ()) -> None:
    """Mark the best epoch and the borders between phases."""
    for place in borders:
        drawn.axvline(place, color=LINE, linewidth=1.2, zorder=0)
    if best is not None:
        drawn.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)


def _page_font(match: re.Match[str]) -> str:
    if match[1]:
        return "font-family: inherit"
    size = re.search(r"[\d.]+px", match[0])
    return f"font-size: {size[0] if size else '9.5px'}"
