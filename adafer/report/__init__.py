"""Reports: functions from a context to a section, and the page that holds them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from adafer.errors import WordsError
from adafer.predictions_file import write_bytes
from adafer.report import about
from adafer.report.calibration import calibration
from adafer.report.confusion import confusion
from adafer.report.curves import curves
from adafer.report.evaluation import write_evaluation
from adafer.report.gallery import gallery, mistakes
from adafer.report.page import render
from adafer.report.scores import per_class
from adafer.report.section import Context, Section
from adafer.report.steps import steps

__all__ = ["REPORTS", "Context", "Section", "sections", "write_evaluation", "write_report"]

Report = Callable[[Context], Section | None]

REPORTS: dict[str, Report] = {
    "scores": per_class,
    "steps": steps,
    "gallery": gallery,
    "confusion": confusion,
    "mistakes": mistakes,
    "calibration": calibration,
    "curves": curves,
    "recipe": about.recipe,
    "run": about.run,
    "limits": about.limits,
}
"""Report name to the function that makes its section, in the order of the page."""


def sections(context: Context, names: Sequence[str] = tuple(REPORTS)) -> list[Section]:
    """Return the sections that this context has something for.

    Raises:
        WordsError: on the name of a report that does not exist.
    """
    for name in names:
        if name not in REPORTS:
            raise WordsError(f"no report {name!r}; choose from {', '.join(REPORTS)}")
    return [section for name in names if (section := REPORTS[name](context)) is not None]


def write_report(path: Path, context: Context, names: Sequence[str] = tuple(REPORTS)) -> None:
    """Write the page as one file that needs nothing else, whole or not at all.

    Raises:
        WordsError: on the name of a report that does not exist.
        AdaferError: if the file cannot be written.
    """
    page = render(context, sections(context, names))
    write_bytes(path, page.encode("utf-8", "replace"))
