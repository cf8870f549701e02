"""Which run a command means: the one that is named, else the latest."""

import argparse
from pathlib import Path

from adafer.errors import DataError


def add_run(parser: argparse.ArgumentParser, help: str = "a run's folder") -> None:
    """Add the run as an optional word, and where runs are looked for without it."""
    parser.add_argument(
        "model", type=Path, nargs="?", metavar="RUN", help=f"{help} (the latest run)"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are (runs)"
    )


def chosen_run(given: argparse.Namespace) -> Path:
    """Return the run that was named, or the latest below `--runs`, which is then printed.

    Raises:
        DataError: if there is none.
    """
    if given.model is not None:
        named: Path = given.model
        return named
    if not any(given.runs.glob("*/run.json")):
        raise DataError(
            f"no run in '{given.runs}'; name a run's folder, or where runs are with --runs"
        )
    from adafer.run import latest_run

    latest = latest_run(given.runs).path
    print(f"latest run: {latest}")
    return latest
