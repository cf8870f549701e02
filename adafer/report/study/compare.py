"""Runs side by side: figures, paired differences, settings that differ."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich import box
from rich.table import Table as ConsoleTable
from rich.text import Text

from adafer.analysis.paired import Difference
from adafer.analysis.resampling import Estimate
from adafer.metrics import Scores
from adafer.report.section import Block, Cell, Section, Table
from adafer.report.study.people import p_value, with_interval
from adafer.report.wording import count, number, percent

ADAPTIVE: Mapping[bool | None, str] = {True: "yes", False: "no", None: "open"}


class Compared(Protocol):
    """What the sections read of a comparison."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def faces(self) -> int: ...  # noqa: D102
    @property
    def scores(self) -> tuple[Scores, ...]: ...  # noqa: D102
    @property
    def differences(self) -> tuple[Difference, ...]: ...  # noqa: D102
    @property
    def settings(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102
    @property
    def seeds(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def controls(self) -> Sequence[Mapping[str, Any] | None]: ...  # noqa: D102


def headline(found: Compared) -> str:
    """Say which run is better, or that the data cannot tell."""
    clear = [item for item in found.differences if item.p < 0.05]
    if not clear:
        least = max(item.detectable for item in found.differences)
        return (
            f"{count(found.faces, 'face')} cannot tell these runs apart by accuracy; a difference "
            f"of {100 * least:.1f} points would have shown (80 % power)."
        )
    sentences = []
    for item in clear[:4]:
        gap = item.accuracy
        ends = [100 * abs(end or 0.0) for end in (gap.value, gap.low, gap.high)]
        better, worse = item.first, item.second
        if (gap.value or 0.0) > 0:
            better, worse = worse, better
        sentences.append(
            f"{better} is right more often than {worse}, by {ends[0]:.2f} points "
            f"({min(ends[1:]):.2f} to {max(ends[1:]):.2f}, p {p_value(item.p)})"
        )
    more = f"; and {len(clear) - 4} more pairs differ" if len(clear) > 4 else ""
    return "; ".join(sentences) + more + "."


def points(found: Estimate) -> str:
    """A difference of shares in percentage points, with its interval."""
    if found.value is None or found.low is None or found.high is None:
        return "–"
    text = f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    return text.replace("-", "−")


def console_table(found: Compared) -> ConsoleTable:
    """Return the figures of each run as a table for the terminal."""
    table = ConsoleTable(box=box.SIMPLE_HEAD)
    table.add_column("run")
    for name in ("accuracy", "macro F1", "log loss", "ECE", "mean steps"):
        table.add_column(name, justify="right")
    for name, scores in zip(found.names, found.scores, strict=True):
        table.add_row(
            Text(name),
            percent(scores.accuracy),
            percent(scores.macro_f1),
            number(scores.nll, 3),
            percent(scores.ece),
            number(scores.mean_steps),
        )
    return table


def comparison_sections(found: Compared) -> list[Section]:
    """Return the sections of the page."""
    sections = [_side_by_side(found), _paired(found)]
    if found.seeds:
        sections.append(_seeds(found))
    halting = _halting(found)
    if halting is not None:
        sections.append(halting)
    sections.append(_settings(found))
    return sections


def _side_by_side(found: Compared) -> Section:
    rows = tuple(
        (
            Cell(text=name),
            Cell(text=_between(scores, "accuracy")),
            Cell(text=_between(scores, "macro_f1")),
            Cell(text=_between(scores, "balanced_accuracy")),
            Cell(text=number(scores.nll, 3)),
            Cell(text=percent(scores.ece)),
            Cell(text=number(scores.mean_steps)),
        )
        for name, scores in zip(found.names, found.scores, strict=True)
    )
    best = max(zip(found.names, found.scores, strict=True), key=lambda pair: pair[1].accuracy)
    columns = ("run", "accuracy", "macro F1", "balanced", "log loss", "ECE", "mean steps")
    return Section(
        title="Side by side",
        reading=f"The highest accuracy is {best[0]}'s, {percent(best[1].accuracy)}.",
        blocks=(Table(columns=columns, rows=rows),),
    )


def _between(scores: Scores, name: str) -> str:
    value = percent(getattr(scores, name))
    low, high = scores.intervals.get(name, (None, None))
    return value if low is None else f"{value} ({percent(low)} to {percent(high)})"


def _paired(found: Compared) -> Section:
    blocks: list[Block] = [_pairs(found.differences)]
    blocks += [_recalls(item) for item in found.differences[:3]]
    return Section(
        title="On the same faces",
        reading=(
            "Differences are the second run minus the first, with 95 % intervals over faces; p is "
            "McNemar's exact test, corrected for the number of pairs."
        ),
        blocks=tuple(blocks),
    )


def _pairs(differences: Sequence[Difference]) -> Table:
    columns = (
        "first, second", "only first right", "only second right", "accuracy, points", "p",
        "macro F1, points", "log loss", "mean steps", "Spearman, steps with votes",
    )  # fmt: skip
    rows = tuple(
        (
            Cell(text=f"{item.first}, {item.second}"),
            Cell(text=count(item.only_first)),
            Cell(text=count(item.only_second)),
            Cell(text=points(item.accuracy)),
            Cell(text=p_value(item.p)),
            Cell(text=points(item.macro_f1)),
            Cell(text=_three(item.log_loss)),
            Cell(text=with_interval(item.mean_steps)),
            Cell(text=with_interval(item.spearman)),
        )
        for item in differences
    )
    return Table(columns=columns, rows=rows)


def _recalls(item: Difference) -> Table:
    return Table(
        columns=("emotion", f"recall of {item.second} minus {item.first}, points"),
        rows=tuple((Cell(text=name), Cell(text=points(gap))) for name, gap in item.recall),
        folded=f"Per emotion: {item.second} against {item.first}",
    )


def _seeds(found: Compared) -> Section:
    names = ("accuracy", "macro_f1", "nll", "mean_steps")

    def cell(figures: Mapping[str, tuple[float, float]], name: str) -> Cell:
        if name not in figures:
            return Cell(text="–")
        mean, spread = figures[name]
        if name in ("nll", "mean_steps"):
            return Cell(text=f"{mean:.3f} ± {spread:.3f}")
        return Cell(text=f"{100 * mean:.1f} ± {100 * spread:.1f} %")

    rows = tuple(
        (Cell(text=", ".join(group.runs)), *(cell(group.figures, name) for name in names))
        for group in found.seeds
    )
    return Section(
        title="Over seeds",
        reading="Runs that differ in the seed only: mean and standard deviation.",
        blocks=(
            Table(columns=("runs", "accuracy", "macro F1", "log loss", "mean steps"), rows=rows),
        ),
    )


def _halting(found: Compared) -> Section | None:
    rows = []
    for name, study in zip(found.names, found.controls, strict=True):
        if study is None:
            continue
        controls, verdict = study.get("controls") or {}, study.get("verdict") or {}
        people = (study.get("agreement") or {}).get("steps") or {}
        timing = (study.get("timings") or [{}])[-1]
        best = controls.get("best_fixed") or {}
        rows.append(
            (
                Cell(text=name),
                Cell(text=number(controls.get("mean_steps"))),
                Cell(text=percent(controls.get("accuracy"))),
                Cell(text=f"{best.get('name', '–')}: {percent(best.get('accuracy'))}"),
                Cell(text=number((people.get("overall") or {}).get("value"))),
                Cell(text=number((people.get("within") or {}).get("value"))),
                Cell(text=number(timing.get("adaptive"))),
                Cell(text=ADAPTIVE[verdict.get("adaptive")]),
            )
        )
    if not rows:
        return None
    columns = (
        "run", "mean steps", "accuracy", "best fixed depth of equal cost", "Spearman with votes",
        "within class", "ms a face", "adaptive",
    )  # fmt: skip
    return Section(
        title="How they stop",
        reading="From the tables that `adafer steps` wrote for these runs.",
        blocks=(Table(columns=columns, rows=tuple(rows), text_columns=(0, 3)),),
    )


def _settings(found: Compared) -> Section:
    if not found.settings:
        return Section(title="Settings", reading="All settings are the same.")
    rows = tuple(
        (Cell(text=name), *(Cell(text=value) for value in values))
        for name, values in found.settings.items()
    )
    columns = ("setting", *found.names)
    return Section(
        title="Settings",
        reading=f"{count(len(rows), 'setting')} differ.",
        blocks=(Table(columns=columns, rows=rows, text_columns=tuple(range(len(columns)))),),
    )


def _three(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})".replace("-", "−")
