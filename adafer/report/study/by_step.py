"""Accuracy, confidence and calibration at every depth, beyond the depth of training too."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from adafer.analysis.by_step import BySteps, StepScore
from adafer.report.charts import FIRST, MUTED, SECOND, axes, svg
from adafer.report.section import Cell, Chart, Section, Table
from adafer.report.wording import count, number, percent


def by_step_section(found: BySteps) -> Section:
    """Show what each step would answer if every face stopped there."""
    return Section(
        title="What each step is worth",
        reading=_reading(found),
        blocks=(
            Chart(
                title="Accuracy and confidence, every face stopped there",
                svg=_curves(found),
                legend=(("accuracy, 95 %", "first"), ("confidence", "second")),
                caption=f"Dotted: T = {found.trained_steps}, the last step of training.",
            ),
            _table(found.every, "Every face, at each depth"),
            _table(found.stopped, "Only the faces that stop there by themselves"),
        ),
    )


def _curves(found: BySteps) -> str:
    drawn = axes()
    places = [item.step for item in found.every]
    values = [item.accuracy.value or 0.0 for item in found.every]
    low = [item.accuracy.low or 0.0 for item in found.every]
    high = [item.accuracy.high or 0.0 for item in found.every]
    drawn.fill_between(places, low, high, color=FIRST, alpha=0.18, linewidth=0)
    drawn.plot(places, values, color=FIRST, linewidth=2, marker="o", markersize=4)
    sure = [item.confidence or 0.0 for item in found.every]
    drawn.plot(places, sure, color=SECOND, linewidth=2)
    drawn.axvline(found.trained_steps, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)))
    _percents(drawn)
    drawn.set(xlim=(0.6, len(places) + 0.4), xlabel="steps, the same for every face")
    parts = "; ".join(f"{s}: {percent(v)}" for s, v in zip(places, values, strict=True))
    return svg(drawn, "by-step", f"Accuracy by depth. {parts}.")


def _percents(drawn: Axes) -> None:
    drawn.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True))
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    drawn.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _table(scores: tuple[StepScore, ...], words: str) -> Table:
    return Table(
        columns=("step", "faces", "accuracy", "95 %", "confidence", "ECE", "log loss", "AUROC"),
        rows=tuple(
            (
                Cell(text=str(item.step)),
                Cell(text=count(item.faces)),
                Cell(text=percent(item.accuracy.value)),
                Cell(text=f"{percent(item.accuracy.low)} to {percent(item.accuracy.high)}"),
                Cell(text=percent(item.confidence)),
                Cell(text=percent(item.ece)),
                Cell(text=number(item.nll, 3)),
                Cell(text=number(item.auroc, 3)),
            )
            for item in scores
        ),
        folded=f"{words}: accuracy, calibration, and how well confidence tells right from wrong",
    )


def _reading(found: BySteps) -> str:
    trained = found.every[: found.trained_steps]
    best = max(trained, key=lambda item: item.accuracy.value or 0.0)
    last = found.every[-1]
    reading = (
        f"Accuracy goes from {percent(trained[0].accuracy.value)} after one step to "
        f"{percent(best.accuracy.value)} after {best.step}, its best depth. "
        f"{percent(found.right_then_wrong)} of the faces are right at some step and wrong at the "
        "last."
    )
    if last.step > found.trained_steps:
        reading += (
            f" Thinking on for {last.step} steps, longer than in training, gives "
            f"{percent(last.accuracy.value)}."
        )
    return reading
