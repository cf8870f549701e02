"""Steps against people: ambiguity, reducible loss, and easy faces against hard ones."""

from collections.abc import Sequence

from adafer.analysis.agreement import Agreement, Correlation, Reducible
from adafer.analysis.difficulty import Contrast
from adafer.analysis.resampling import Estimate
from adafer.report.section import Block, Cell, Figure, Figures, Section, Table
from adafer.report.wording import count, listed, number, percent, signed


def agreement_section(found: Agreement | None, reducible: Reducible | None) -> Section | None:
    """Show both notions of difficulty, ceilings and rivals; None where nothing is known."""
    if found is None and reducible is None:
        return None
    blocks: list[Block] = []
    if found is not None:
        blocks += [_figures(found), _rivals(found)]
    if reducible is not None:
        blocks.append(_correlations((reducible.gain, reducible.label_gain, reducible.depth)))
    return Section(
        title="Do the steps follow people?",
        reading=_reading(found, reducible),
        blocks=tuple(blocks),
    )


def difficulty_section(found: Sequence[Contrast]) -> Section | None:
    """Show the steps of easy and of hard faces; None where there are too few of them."""
    if not found:
        return None
    rows = tuple(
        (
            Cell(text=item.name),
            Cell(text=f"{item.easy} ({count(item.easy_faces)})"),
            Cell(text=number(item.easy_steps)),
            Cell(text=f"{item.hard} ({count(item.hard_faces)})"),
            Cell(text=number(item.hard_steps)),
            Cell(text=with_interval(item.difference)),
            Cell(text=p_value(item.p)),
            Cell(text=percent(item.chance_harder_longer, 0)),
        )
        for item in found
    )
    parts = [
        f"by {item.name} {number(item.easy_steps)} against {number(item.hard_steps)} steps"
        for item in found
    ]
    columns = (
        "by", "easy", "steps", "hard", "steps", "difference", "p", "hard takes longer",
    )  # fmt: skip
    return Section(
        title="Easy faces, hard faces",
        reading=f"Easy against hard faces: {listed(parts, 9)}.",
        blocks=(Table(columns=columns, rows=rows, text_columns=(0, 1, 3)),),
    )


def with_interval(found: Estimate) -> str:
    """A figure and its interval, with true minus signs."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return signed(found.value)
    return f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)})"


def p_value(p: float) -> str:
    """A p-value as a person writes it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _figures(found: Agreement) -> Figures:
    steps = found.steps
    return Figures(
        figures=(
            Figure(
                name="Over all faces",
                value=signed(steps.overall.value),
                note=_share(found.of_ceiling, found.ceiling),
            ),
            Figure(
                name="Within class",
                value=signed(steps.within.value),
                note=_share(found.of_ceiling_within, found.ceiling_within),
            ),
            Figure(
                name="All else equal",
                value=signed(found.partial.value),
                note=f"given {listed(found.given)}",
            ),
        )
    )


def _share(share: float | None, ceiling: float | None) -> str:
    if share is None:
        return "ceiling not known"
    return f"{percent(share, 0)} of the ceiling, {number(ceiling)}"


def _rivals(found: Agreement) -> Table:
    rows = (found.steps, *found.companions, *found.rivals)
    return Table(
        columns=("what is held against the entropy of the votes", "over all", "within class",
                 "the steps' lead over all"),
        rows=tuple(
            (
                Cell(text=item.name),
                Cell(text=with_interval(item.overall)),
                Cell(text=with_interval(item.within)),
                Cell(text="" if item.lead is None else with_interval(item.lead)),
            )
            for item in rows
        ),
    )  # fmt: skip


def _correlations(found: Sequence[Correlation]) -> Table:
    return Table(
        columns=("what the steps are held against", "over all", "within class"),
        rows=tuple(
            (
                Cell(text=item.name),
                Cell(text=with_interval(item.overall)),
                Cell(text=with_interval(item.within)),
            )
            for item in found
        ),
    )


def _reading(found: Agreement | None, reducible: Reducible | None) -> str:
    reading = "All figures are Spearman's rank correlation."
    if found is None:
        return f"{reading} There are no votes here, so only what more steps gain can be compared."
    best = max(found.rivals, key=lambda item: item.overall.value or -1.0)
    steps = found.steps
    reading += (
        f" The steps follow the disagreement of the annotators with "
        f"{with_interval(steps.overall)} over all faces and {with_interval(steps.within)} within "
        f"class; {best.name} reaches {signed(best.overall.value)}."
    )
    if found.left_out:
        reading += f" Left out within class: {listed(found.left_out)}."
    return reading
