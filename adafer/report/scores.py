"""Which emotions the model names well, and which it does not."""

from adafer.report.section import Cell, Context, Section, Table
from adafer.report.wording import count, listed, number, opening, percent


def per_class(context: Context) -> Section:
    """Precision, recall and F1 of each class, with their averages."""
    scores = context.scores
    has_steps = scores.mean_steps is not None
    columns = ["Apparent expression", "Faces", "Precision", "Recall", "F1"]
    rows = []
    for item in scores.per_class:
        row = [
            Cell(text=item.name),
            Cell(text=count(item.support)),
            Cell(text=percent(item.precision)),
            Cell(text=percent(item.recall)),
            Cell(text=percent(item.f1), share=item.f1),
        ]
        rows.append((*row, *([Cell(text=number(item.mean_steps))] if has_steps else [])))
    return Section(
        title="Emotion by emotion",
        reading=_reading(context),
        blocks=(
            Table(
                columns=(*columns, *(["Mean steps"] if has_steps else [])),
                rows=tuple(rows),
                totals=_totals(context),
            ),
        ),
    )


def _totals(context: Context) -> tuple[tuple[Cell, ...], ...]:
    scores = context.scores
    classes = len(scores.per_class)
    precision = sum(item.precision for item in scores.per_class) / classes
    recall = sum(item.recall for item in scores.per_class) / classes
    weights = [item.support / scores.n for item in scores.per_class]
    weighted = sum(w * item.precision for w, item in zip(weights, scores.per_class, strict=True))
    steps = (number(scores.mean_steps),) if scores.mean_steps is not None else ()
    blank = ("",) if steps else ()
    macro = ("Mean over emotions", "", *map(percent, (precision, recall, scores.macro_f1)), *blank)
    faces = (
        "Mean over faces",
        count(scores.n),
        *map(percent, (weighted, scores.accuracy, scores.weighted_f1)),
        *steps,
    )
    return tuple(tuple(Cell(text=text) for text in row) for row in (macro, faces))


def _reading(context: Context) -> str:
    present = [item for item in context.scores.per_class if item.support]
    ranked = sorted(present, key=lambda item: item.f1, reverse=True)
    absent = [item.name for item in context.scores.per_class if not item.support]
    best, worst = ranked[0], ranked[-1]
    reading = f"{opening(best.name)} is named best, with an F1 of {percent(best.f1)}"
    if len(ranked) > 1:
        reading += (
            f"; {worst.name} is hardest, with {percent(worst.f1)} on {count(worst.support, 'face')}"
        )
    reading += "."
    if absent:
        verbs = ("has", "counts") if len(absent) == 1 else ("have", "count")
        reading += (
            f" {opening(listed(absent))} {verbs[0]} no face in this split and {verbs[1]} as 0 in "
            "the mean over emotions."
        )
    missed = [item.name for item in present if not item.predicted]
    if missed:
        reading += f" The model never answers {listed(missed)}."
    return reading
