"""Accuracy and steps by group, where the data has attributes."""

from collections.abc import Sequence

from adafer.analysis.groups import Attribute
from adafer.report.section import Cell, Section, Table
from adafer.report.study.people import p_value
from adafer.report.wording import count, listed, number, percent


def groups_section(found: Sequence[Attribute]) -> Section | None:
    """Show the groups of each attribute; None where the data has none."""
    if not found:
        return None
    return Section(
        title="Groups of people",
        reading=_reading(found),
        blocks=tuple(_table(attribute) for attribute in found),
    )


def _table(attribute: Attribute) -> Table:
    rows = tuple(
        (
            Cell(text=group.name if group.tested else f"{group.name} (too few to test)"),
            Cell(text=count(group.faces)),
            Cell(text=percent(group.accuracy.value), share=group.accuracy.value),
            Cell(text=f"{percent(group.accuracy.low)} to {percent(group.accuracy.high)}"),
            Cell(text=number(group.mean_steps.value)),
        )
        for group in attribute.groups
    )
    return Table(columns=(attribute.name, "faces", "accuracy", "95 %", "mean steps"), rows=rows)


def _reading(found: Sequence[Attribute]) -> str:
    parts = []
    for attribute in found:
        gap = attribute.accuracy_gap
        if gap.value is not None and attribute.p is not None:
            parts.append(
                f"{attribute.name} {percent(gap.value)} ({percent(gap.low)} to "
                f"{percent(gap.high)}, p {p_value(attribute.p)})"
            )
    if not parts:
        return "No attribute has two groups that are large enough to compare."
    return (
        f"Between the best and the worst group: {listed(parts, 9)}. Emotions are not evenly "
        "spread over groups, so a gap may be theirs; attributes are what the data set's "
        "annotators saw."
    )
