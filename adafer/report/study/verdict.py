"""The verdict in words, and the conditions that it rests on."""

from adafer.analysis.verdict import Verdict
from adafer.report.section import Cell, Section, Table

MARKS = {True: "passed", False: "missed", None: "not measured"}


def verdict_section(verdict: Verdict) -> Section:
    """Say whether the model is adaptive, by which figures, and what its steps follow."""
    rows = tuple(
        (Cell(text=item.name), Cell(text=item.figure), Cell(text=MARKS[item.passed]))
        for item in verdict.criteria
    )
    return Section(
        title="Verdict",
        reading=" ".join(verdict.sentences),
        blocks=(Table(columns=("condition", "figure", ""), rows=rows, text_columns=(0, 1, 2)),),
    )
