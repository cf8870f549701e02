"""The model's own halting against everything simpler, in one table and two charts."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from adafer.analysis.controls import Control, Controls
from adafer.analysis.exits import Curve
from adafer.report.charts import FIRST, MUTED, SECOND, THIRD, axes, svg
from adafer.report.section import Block, Cell, Chart, Figure, Figures, Section, Table
from adafer.report.wording import number, percent, signed

Milliseconds = Sequence[tuple[str, float, float, bool]]
"""Name, milliseconds a face, accuracy, and whether it is the model's own halting."""


def controls_section(
    found: Controls, curves: Sequence[Curve], clock: Milliseconds = (), clock_words: str = ""
) -> Section:
    """Show every control, accuracy against mean steps, and against measured milliseconds."""
    blocks: list[Block] = [_spread(found), _against_steps(found, curves)]
    if clock:
        blocks.append(_against_time(clock, clock_words))
    blocks += [_table(found), _areas(curves)]
    return Section(
        title="Would something simpler do?", reading=_reading(found), blocks=tuple(blocks)
    )


def points(control: Control) -> str:
    """Gain over a control in percentage points, with its interval."""
    gain = control.gain
    if gain.value is None or gain.low is None or gain.high is None:
        return "–"
    text = f"{100 * gain.value:+.2f} ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"
    return text.replace("-", "−")


def _spread(found: Controls) -> Figures:
    gate = found.gate
    return Figures(
        figures=(
            Figure(
                name="Spread of steps",
                value=number(found.sd_steps),
                note=f"standard deviation; entropy {number(found.step_entropy)} nats",
            ),
            Figure(
                name="Told by step 1",
                value=signed(gate.spearman),
                note="Spearman of the steps with a regression on the features of step 1",
            ),
            Figure(
                name="Told by the class alone",
                value=signed(gate.class_spearman),
                note="the same from the predicted class",
            ),
        )
    )


def _against_steps(found: Controls, curves: Sequence[Curve]) -> Chart:
    drawn = axes(3.2)
    named = {curve.name: curve for curve in curves}
    styles = {
        "confidence": (FIRST, "-", "o"),
        "patience": (SECOND, "-", "s"),
        "fixed depth": (MUTED, (0, (4, 2)), "D"),
    }
    for name, (colour, line, mark) in styles.items():
        curve = named[name]
        drawn.plot(
            [point.mean_steps for point in curve.points],
            [point.accuracy for point in curve.points],
            color=colour, linestyle=line, marker=mark, markersize=3, linewidth=1.6,
        )  # fmt: skip
    drawn.plot(found.mean_steps, found.accuracy, color=THIRD, marker="*", markersize=14)
    _percents(drawn)
    drawn.set(xlabel="mean steps a face")
    return Chart(
        title="Accuracy against mean steps",
        svg=svg(drawn, "exits", "Accuracy against mean steps under several exit rules."),
        legend=(
            ("exit by confidence", "first"),
            ("exit by patience", "second"),
            ("fixed depth", "muted"),
            ("★ its own halting", "third"),
        ),
        caption="Thresholds are chosen on other faces; the table has the other rules.",
    )


def _against_time(clock: Milliseconds, words: str) -> Chart:
    drawn = axes()
    fixed = [(time, accuracy) for _, time, accuracy, own in clock if not own]
    drawn.plot(
        [time for time, _ in fixed], [accuracy for _, accuracy in fixed],
        color=MUTED, linestyle=(0, (4, 2)), marker="D", markersize=3, linewidth=1.6,
    )  # fmt: skip
    for _, time, accuracy, own in clock:
        if own:
            drawn.plot(time, accuracy, color=THIRD, marker="*", markersize=14)
    _percents(drawn)
    drawn.set(xlabel="milliseconds a face", xlim=(0, None))
    told = "; ".join(f"{name}: {time:.2f} ms, {percent(a)}" for name, time, a, _ in clock)
    return Chart(
        title="Accuracy against measured time",
        svg=svg(drawn, "clock", f"Accuracy against milliseconds. {told}."),
        legend=(("fixed depth", "muted"), ("★ its own halting", "third")),
        caption=words,
    )


def _percents(drawn: Axes) -> None:
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    drawn.yaxis.set_major_formatter(PercentFormatter(1, decimals=1, symbol=" %"))
    drawn.grid(axis="x", visible=False)


def _table(found: Controls) -> Table:
    own = (
        Cell(text="its own halting"), Cell(text=number(found.mean_steps)),
        Cell(text=percent(found.accuracy)), Cell(text=""), Cell(text=""), Cell(text=""),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(text=row.name),
            Cell(text=number(row.mean_steps)),
            Cell(text=percent(row.accuracy)),
            Cell(text=points(row)),
            Cell(text="" if row.p is None else f"{row.p:.3f}"),
            Cell(text=row.note),
        )
        for row in found.rows
    )
    return Table(
        columns=("alternative", "mean steps", "accuracy", "its own, in points above", "p", ""),
        rows=(own, *rows),
        text_columns=(0, 5),
    )


def _areas(curves: Sequence[Curve]) -> Table:
    return Table(
        columns=("rule", "mean accuracy from 1 to T steps"),
        rows=tuple((Cell(text=c.name), Cell(text=percent(c.area, 2))) for c in curves),
        folded="Area under each curve of accuracy against mean steps",
    )


def _reading(found: Controls) -> str:
    best, shuffled = found.best_fixed, found.row("steps shuffled")
    reading = (
        f"With {number(found.mean_steps)} steps on average its own halting is right on "
        f"{percent(found.accuracy)}; {best.name} on {percent(best.accuracy)} "
        f"({points(best)} points)."
    )
    if shuffled is not None:
        reading += (
            f" Dealt to other faces, the same steps reach {percent(shuffled.accuracy)} "
            f"(p = {shuffled.p:.3f})."
        )
    return reading
