"""Whether the model knows how sure it may be."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from adafer.metrics import Bin
from adafer.report.charts import FIRST, MUTED, SECOND, axes, svg
from adafer.report.section import Cell, Chart, Context, Figure, Figures, Section, Table
from adafer.report.wording import count, number, percent


def calibration(context: Context) -> Section:
    """Reliability diagram, faces per bin, calibration errors and proper scores."""
    scores = context.scores
    bins = scores.reliability
    filled = [item for item in bins if item.count]
    return Section(
        title="How sure, and how often right",
        reading=_reading(filled, scores.n),
        blocks=(
            Figures(
                figures=(
                    Figure(
                        name="Calibration error",
                        value=percent(scores.ece),
                        note="15 bins of equal width",
                    ),
                    Figure(
                        name="Adaptive calibration error",
                        value=percent(scores.adaptive_ece),
                        note="15 bins of equal count",
                    ),
                    Figure(
                        name="Brier score", value=number(scores.brier, 3), note="0 is best, 2 worst"
                    ),
                    Figure(
                        name="Log loss", value=number(scores.nll, 3), note="nats a face, 0 is best"
                    ),
                )
            ),
            Chart(
                title="Accuracy at each confidence",
                svg=_diagram(bins),
                legend=(("accuracy of the faces in the bin", "first"), ("perfect", "muted")),
                caption="A bar below the line: surer than it may be. Above: too modest.",
            ),
            Chart(
                title="Faces at each confidence",
                svg=_counts(bins),
                legend=(("faces in the bin", "second"),),
                caption="Where few faces stand, the bar on the other chart says little.",
            ),
            _table(filled),
        ),
    )


def _diagram(bins: tuple[Bin, ...]) -> str:
    drawn = axes()
    filled = [item for item in bins if item.accuracy is not None]
    middles = [(item.low + item.high) / 2 for item in filled]
    heights = [item.accuracy or 0.0 for item in filled]
    drawn.bar(middles, heights, width=0.052, color=FIRST, alpha=0.85)
    drawn.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (3, 3)))
    drawn.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence in the answer")
    drawn.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    drawn.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    _keep_last_tick_inside(drawn)
    parts = [f"{item.low:.0%} to {item.high:.0%}: {item.accuracy:.0%}" for item in filled]
    return svg(drawn, "reliability", f"Accuracy by confidence. {'; '.join(parts)}.")


def _counts(bins: tuple[Bin, ...]) -> str:
    drawn = axes()
    middles = [(item.low + item.high) / 2 for item in bins]
    drawn.bar(middles, [item.count for item in bins], width=0.052, color=SECOND, alpha=0.85)
    drawn.set(xlim=(0, 1), xlabel="confidence in the answer")
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    drawn.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    drawn.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    _keep_last_tick_inside(drawn)
    parts = [f"{item.low:.0%} to {item.high:.0%}: {item.count}" for item in bins if item.count]
    return svg(drawn, "confidence", f"Faces by confidence. {'; '.join(parts)}.")


def _keep_last_tick_inside(drawn: Axes) -> None:
    labels = drawn.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")


def _table(filled: list[Bin]) -> Table:
    return Table(
        folded="The same as a table",
        columns=("Confidence", "Faces", "Mean confidence", "Accuracy"),
        rows=tuple(
            (
                Cell(text=f"{100 * item.low:.0f}–{100 * item.high:.0f} %"),
                Cell(text=count(item.count)),
                Cell(text=percent(item.confidence)),
                Cell(text=percent(item.accuracy)),
            )
            for item in filled
        ),
    )


def _reading(filled: list[Bin], faces: int) -> str:
    sure = sum(item.count * (item.confidence or 0.0) for item in filled) / faces
    right = sum(item.count * (item.accuracy or 0.0) for item in filled) / faces
    gap = sure - right
    opening = (
        f"On average the model gives its answer {percent(sure)} and is right {percent(right)} "
        "of the time"
    )
    if abs(gap) < 0.02:
        return f"{opening}: its probabilities can be taken nearly at their word."
    if gap > 0:
        return f"{opening}: it is surer than it may be, by {100 * gap:.1f} points."
    return f"{opening}: it is more modest than it need be, by {-100 * gap:.1f} points."
