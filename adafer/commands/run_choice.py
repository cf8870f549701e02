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
        "--runs", type=Path, metavar="DIR",
        help="where runs are (where recipes keep theirs; on Kaggle working/checkpoints)",
    )  # fmt: skip


def chosen_run(given: argparse.Namespace) -> Path:
    """Return the run that was named, or the latest below `--runs`, which is then printed.

    Raises:
        DataError: if there is none.
    """
    if given.model is not None:
        named: Path = given.model
        return named
    from adafer.recipes import run_folders
    from adafer.run import latest_run

    folders = run_folders() if given.runs is None else (given.runs,)
    if not any(path for runs in folders for path in runs.glob("*/run.json")):
        looked = " or ".join(f"'{runs}'" for runs in folders)
        raise DataError(f"no run in {looked}; name a run's folder, or where runs are with --runs")
    latest = latest_run(*folders).path
    print(f"latest run: {latest}")
    return latest
