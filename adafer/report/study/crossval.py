"""K folds: each with its intervals, their mean, and all held-out faces in one table."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich import box
from rich.table import Table as ConsoleTable

from adafer.analysis.crossval import FIGURES, SHARES, Crossvalidated, FoldScore, Spread
from adafer.analysis.resampling import Estimate
from adafer.metrics import score
from adafer.predictions import Predictions
from adafer.report import about
from adafer.report.calibration import calibration
from adafer.report.charts import FIRST, MUTED, SECOND, axes, svg
from adafer.report.confusion import confusion
from adafer.report.page import render_sections
from adafer.report.scores import per_class
from adafer.report.section import Cell, Chart, Context, Figure, Points, Section, Table
from adafer.report.steps import steps
from adafer.report.wording import count, duration, number, percent

WORDS: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "Calibration error",
    "loss": "Loss",
}


def fold_line(fold: FoldScore, folds: int) -> str:
    """What a person reads while the next fold trains."""
    return (
        f"fold {fold.fold} of {folds}: accuracy {_with_ends(fold.accuracy)}, macro F1 "
        f"{_with_ends(fold.macro_f1)} on {count(fold.n, 'held-out face')}; best epoch "
        f"{fold.best_epoch}, {duration(fold.seconds)}"
    )


def mean_line(found: Crossvalidated) -> str:
    """Accuracy over the folds and over all faces, with the names of their intervals."""
    spread, pooled = found.spreads["accuracy"], found.pooled["accuracy"]
    return (
        f"accuracy {_mean_and_sd(spread)} over {len(found.folds)} folds, 95 % interval "
        f"{_ends(spread.corrected)} (corrected t, Nadeau and Bengio 2003); over all "
        f"{count(found.faces, 'face')} {_with_ends(pooled)} (bootstrap"
        f"{'' if found.groups is None else ' by group'})"
    )


def crossval_table(found: Crossvalidated) -> ConsoleTable:
    """Return one row a fold, and mean ± sd, as a table for the terminal."""
    title = "Held-out faces of each fold, with 95 % intervals"
    table = ConsoleTable(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    table.add_column("fold", no_wrap=True)
    for name in ("faces", "accuracy", "macro F1", "balanced"):
        table.add_column(name, justify="right", no_wrap=True)
    for fold in found.folds:
        table.add_row(
            str(fold.fold),
            count(fold.n),
            _with_ends(fold.accuracy),
            _with_ends(fold.macro_f1),
            percent(fold.balanced_accuracy.value),
        )
    table.add_section()
    spreads = [_mean_and_sd(found.spreads[name]) for name in SHARES]
    table.add_row("mean ± sd", count(found.faces), *spreads, style="bold")
    return table


def crossval_page(
    found: Crossvalidated, pooled: Predictions, recipe: Mapping[str, Any], name: str
) -> str:
    """Return the page of a cross-validation."""
    context = Context(predictions=pooled, scores=score(pooled), recipe=recipe, name=name)
    return render_sections(
        title=name,
        kicker=" · ".join(
            (
                str(recipe.get("name", "")),
                str((recipe.get("data") or {}).get("data", "")),
                count(len(found.folds), "fold"),
                count(found.faces, "face"),
            )
        ),
        lead=_lead(found),
        headline=[_headline(found, name) for name in SHARES],
        sections=crossval_sections(found, context),
    )


def crossval_sections(found: Crossvalidated, context: Context) -> list[Section]:
    """Return the sections of the page: folds, their mean, then all held-out faces together."""
    recipe = about.recipe(context)
    sections = [
        _folds(found),
        _mean(found),
        per_class(context),
        steps(context),
        confusion(context),
        calibration(context),
        recipe
        and replace(
            recipe,
            reading="The settings that all folds share; each fold's recipe.yaml repeats its run.",
        ),
        about.limits(context),
    ]
    return [section for section in sections if section is not None]


def _lead(found: Crossvalidated) -> str:
    pooled, spread = found.pooled["accuracy"], found.spreads["accuracy"]
    return (
        f"Each of {count(found.faces, 'face')} was answered once, by a model that was not trained "
        f"on it: {percent(pooled.value)} are named as they are labelled. Over the "
        f"{len(found.folds)} folds accuracy is {_mean_and_sd(spread)}."
    )


def _headline(found: Crossvalidated, name: str) -> dict[str, Any]:
    """One large figure of all faces with its interval, also as places on a scale of 0 to 100."""
    pooled = found.pooled[name]
    value = pooled.value or 0.0
    low, high = (value if end is None else end for end in (pooled.low, pooled.high))
    way = "over faces" if found.groups is None else "by group"
    return {
        "figure": Figure(
            name=WORDS[name],
            value=percent(value),
            note=f"95 % interval {percent(low)} to {percent(high)}, {way}",
        ),
        "low": round(100 * low, 2),
        "width": round(100 * (high - low), 2),
        "place": round(100 * value, 2),
    }


def _folds(found: Crossvalidated) -> Section:
    best, worst = (
        choice(found.folds, key=lambda fold: fold.value("accuracy")) for choice in (max, min)
    )
    return Section(
        title="Fold by fold",
        reading=(
            f"Accuracy lies between {percent(worst.accuracy.value)} (fold {worst.fold}) and "
            f"{percent(best.accuracy.value)} (fold {best.fold}). In brackets: 95 % intervals, "
            f"{_fold_intervals(found)}."
        ),
        blocks=(
            _chart(found, "accuracy", FIRST),
            _chart(found, "macro_f1", SECOND),
            _shares(found),
            _others(found),
        ),
    )


def _shares(found: Crossvalidated) -> Table:
    rows = (
        (str(fold.fold), count(fold.n), *(_with_ends(getattr(fold, name)) for name in SHARES))
        for fold in found.folds
    )
    means = (_mean_and_sd(found.spreads[name]) for name in SHARES)
    return Table(
        columns=("Fold", "Faces", *(WORDS[name] for name in SHARES)),
        rows=tuple(_cells(row) for row in rows),
        totals=(_cells(("Mean ± sd", count(found.faces), *means)),),
    )


def _others(found: Crossvalidated) -> Table:
    rows = (
        (
            str(fold.fold), count(fold.trained_on), percent(fold.ece), number(fold.loss, 3),
            str(fold.best_epoch), duration(fold.seconds),
        )
        for fold in found.folds
    )  # fmt: skip
    means = (_mean_and_sd(found.spreads[name], name) for name in ("ece", "loss"))
    return Table(
        columns=("Fold", "Trained on", WORDS["ece"], WORDS["loss"], "Best epoch", "Training"),
        rows=tuple(_cells(row) for row in rows),
        totals=(_cells(("Mean ± sd", "", *means, "", "")),),
        folded="Calibration, loss, best epoch and time of each fold",
    )


def _cells(texts: Iterable[str]) -> tuple[Cell, ...]:
    return tuple(Cell(text=text) for text in texts)


def _fold_intervals(found: Crossvalidated) -> str:
    if found.groups is None:
        return "Wilson's for accuracy, bootstrap over faces for the others"
    return f"bootstrap by group ({found.groups:,} groups)"


def _chart(found: Crossvalidated, figure: str, colour: str) -> Chart:
    drawn = axes()
    spread = found.spreads[figure]
    low, high = spread.corrected
    drawn.axhspan(low, high, color=colour, alpha=0.13, linewidth=0)
    drawn.axhline(spread.mean, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)))
    for fold in found.folds:
        item: Estimate = getattr(fold, figure)
        if item.low is not None and item.high is not None:
            drawn.plot([fold.fold] * 2, [item.low, item.high], color=colour, linewidth=2)
        drawn.plot(fold.fold, fold.value(figure), color=colour, marker="o", markersize=6)
    _scales(drawn, len(found.folds))
    parts = "; ".join(f"fold {f.fold}: {percent(f.value(figure))}" for f in found.folds)
    return Chart(
        title=f"{WORDS[figure]} of each fold",
        svg=svg(drawn, f"folds-{figure}", f"{WORDS[figure]} of each fold. {parts}."),
        caption=f"Dotted: the mean, {percent(spread.mean)}. Band: its corrected 95 % interval.",
    )


def _scales(drawn: Axes, folds: int) -> None:
    drawn.set(xlim=(0.5, folds + 0.5), xlabel="fold")
    drawn.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True))
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    drawn.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _mean(found: Crossvalidated) -> Section:
    rows = []
    for name in FIGURES:
        spread = found.spreads[name]
        texts = (
            WORDS[name],
            _mean_and_sd(spread, name),
            _ends(spread.corrected, name),
            _ends(spread.plain, name),
            _with_ends(found.pooled[name]) if name in found.pooled else "–",
        )
        rows.append(_cells(texts))
    spread = found.spreads["accuracy"]
    return Section(
        title="What the mean is worth",
        reading=(
            f"With 95 % confidence the accuracy that training on so many faces gives lies between "
            f"{_ends(spread.corrected)}."
        ),
        blocks=(
            Table(
                columns=("Figure", "Mean ± sd", "Corrected t", "Plain t", "All faces, bootstrap"),
                rows=tuple(rows),
            ),
            _how_to_read(found),
        ),
    )


def _how_to_read(found: Crossvalidated) -> Points:
    over = "faces" if found.groups is None else f"the {found.groups:,} groups"
    return Points(
        points=(
            (
                "Corrected t:",
                "the interval to quote. It widens the variance of the mean by the ratio of "
                "held-out to training faces (Nadeau and Bengio 2003).",
            ),
            (
                "Plain t:",
                "too narrow. The folds share their training faces, and no unbiased estimate of the "
                "variance exists (Bengio and Grandvalet 2004). Here for comparison only.",
            ),
            (
                "All faces:",
                f"every held-out answer in one table, resampled by {over}. It says how far other "
                "faces would move the figure, not how far another training would.",
            ),
            (
                "A little too high:",
                "the best epoch of each fold was chosen on the faces that it held out. A test "
                "split that nobody chose by tells by how much.",
            ),
        )
    )


def _mean_and_sd(spread: Spread, name: str = "accuracy") -> str:
    if name == "loss":
        return f"{spread.mean:.3f} ± {spread.sd:.3f}"
    return f"{100 * spread.mean:.1f} ± {100 * spread.sd:.1f}\N{NO-BREAK SPACE}%"


def _ends(ends: tuple[float, float], name: str = "accuracy") -> str:
    show = (lambda end: number(end, 3)) if name == "loss" else percent
    return " to ".join(show(end) for end in ends)


def _with_ends(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return percent(found.value)
    return f"{percent(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"
