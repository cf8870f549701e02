"""The folder of a cross-validation: its plan, a run for each fold, and what came of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafer.analysis.crossval import Crossvalidated
from adafer.errors import DataError
from adafer.recipe import Recipe
from adafer.run import Run, open_run, write_json

PLAN = "crossval.json"
FINISHED, STARTED, WAITING = "finished", "started", "waiting"


@dataclass(frozen=True)
class Crossval:
    """A folder with one run a fold: `crossval.json`, `predictions.csv`, `summary.json`, a page."""

    path: Path
    found: Crossvalidated | None = None  # None until every fold is trained

    @property
    def finished(self) -> bool:
        """Whether every fold is trained."""
        return self.found is not None

    @property
    def predictions(self) -> Path:
        """The table of all faces, each answered by a model that never trained on it."""
        return self.path / "predictions.csv"

    @property
    def report(self) -> Path:
        """The page that a person reads."""
        return self.path / "report.html"

    def plan(self) -> dict[str, Any]:
        """Return what `crossval.json` holds.

        Raises:
            DataError: where it is missing or damaged.
        """
        try:
            plan = json.loads((self.path / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            plan = None
        if not isinstance(plan, dict) or not {"recipe", "folds", "states"} <= plan.keys():
            raise DataError(
                f"no cross-validation in '{self.path}': expected {PLAN}; give a folder that "
                "`adafer crossval` made"
            )
        return plan

    def recipe(self) -> Recipe:
        """Return the recipe of all folds."""
        return Recipe.from_dict(self.plan()["recipe"])

    def fold(self, number: int) -> Run:
        """Return the run of a fold, from 1 on."""
        return Run(self.path / f"fold-{number}")

    def runs(self) -> list[Run]:
        """Return the runs of all folds.

        Raises:
            DataError: if a fold is not trained yet.
        """
        states = self.plan()["states"]
        left = [n for n, state in enumerate(states, 1) if state != FINISHED]
        if left:
            raise DataError(
                f"{len(left)} of {len(states)} folds of '{self.path}' are not trained yet; go on "
                f"with `adafer crossval --resume {self.path}`"
            )
        return [open_run(self.fold(n).path) for n in range(1, len(states) + 1)]

    def mark(self, fold: int, state: str) -> None:
        """Write down how far a fold is: waiting, started or finished."""
        plan = self.plan()
        plan["states"][fold - 1] = state
        write_json(self.path / PLAN, plan)


def open_crossval(path: Path) -> Crossval:
    """Return the cross-validation in this folder; raises DataError if there is none."""
    found = Crossval(path)
    found.plan()
    return found


def latest_crossval(*folders: Path) -> Crossval:
    """Return the cross-validation below these folders that was written to last.

    Raises:
        DataError: if there is none.
    """
    found = [path for runs in folders for path in runs.glob(f"*/{PLAN}")]
    if not found:
        looked = " or ".join(f"'{runs}'" for runs in folders)
        raise DataError(
            f"no cross-validation to resume in {looked}; name its folder: --resume PATH"
        )
    return open_crossval(max(found, key=lambda path: path.stat().st_mtime).parent)


def is_crossval(path: Path) -> bool:
    """Whether this folder is that of a cross-validation."""
    return (path / PLAN).is_file()
