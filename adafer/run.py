"""A run folder: the recipe that repeats it, what happened, and where everything lies."""

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.kaggle import is_read_only
from adafer.predictions_file import write_bytes
from adafer.recipe import Recipe

PACKAGES = ("adafer", "torch", "numpy", "albumentations", "opencv-python-headless", "pillow")

LEAST_ROOM = 100_000_000
"""Bytes that must be free before a training starts: the checkpoints of the smallest models."""


@dataclass(frozen=True)
class Run:
    """A folder of one training: `recipe.yaml`, `run.json`, `results.csv`, `weights/` and so on."""

    path: Path

    @property
    def weights(self) -> Path:
        """Folder of the trained weights."""
        return self.path / "weights"

    @property
    def state(self) -> Path:
        """Folder of what a resumed training needs."""
        return self.path / "state"

    @property
    def results(self) -> Path:
        """The table with one row an epoch."""
        return self.path / "results.csv"

    @property
    def report(self) -> Path:
        """The page that a person reads."""
        return self.path / "report.html"

    @property
    def exports(self) -> Path:
        """Folder of the exported models."""
        return self.path / "export"

    def evaluation(self, split: str) -> Path:
        """Folder of what was measured on a split."""
        return self.path / "eval" / split

    def recipe(self) -> Recipe:
        """Return the recipe that this run was started with.

        Raises:
            WordsError: where the file was damaged.
        """
        return Recipe.from_yaml((self.path / "recipe.yaml").read_text(encoding="utf-8"))

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` holds."""
        try:
            facts = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def record(self, **facts: Any) -> None:
        """Add facts to `run.json`; a name that is there already is replaced."""
        write_json(self.path / "run.json", {**self.facts(), **facts})

    def append(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add one entry to a list in `run.json`."""
        self.record(**{name: [*self.facts().get(name, []), dict(entry)]})


def new_run(runs: Path, name: str) -> Run:
    """Make the folder `runs/name`, or `name-2`, `name-3` where that is taken.

    Raises:
        WordsError: if the name is not a plain folder name.
        AdaferError: if the folder cannot be made.
    """
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise WordsError(f"--name {name!r} is no folder name; use letters, digits, '.', '_', '-'")
    number = 1
    while True:
        path = runs / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            why = error.strerror or error
            raise AdaferError(
                f"cannot write to {runs} ({why}); choose a folder with --runs"
            ) from None
        return Run(path)


def require_place(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or has no room, before hours are spent.

    Nothing is made: the nearest folder that exists is asked.

    Raises:
        WordsError: a folder among Kaggle's inputs.
        AdaferError: no right to write there.
        MachineError: no room for a checkpoint.
    """
    if is_read_only(folder):
        raise WordsError(f"{folder} is among Kaggle's inputs; leave --runs out, or choose another")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise AdaferError(f"cannot write to '{there}'; choose a folder with --runs")
    free = shutil.disk_usage(there).free
    if free < LEAST_ROOM:
        raise MachineError(
            f"'{there}' has {free / 1e6:.0f} MB free and a run needs {LEAST_ROOM / 1e6:.0f} MB or "
            "more; free space, or choose a folder with --runs"
        )


def open_run(path: Path) -> Run:
    """Return the run in this folder.

    Raises:
        DataError: if there is none.
    """
    if not (path / "recipe.yaml").is_file():
        raise DataError(f"no run in '{path}': expected recipe.yaml; give a folder below runs/")
    return Run(path)


def latest_run(*folders: Path) -> Run:
    """Return the run below these folders that was written to last.

    Raises:
        DataError: if there is none.
    """
    found = [path.parent for runs in folders for path in runs.glob("*/run.json")]
    if not found:
        looked = " or ".join(f"'{runs}'" for runs in folders)
        raise DataError(f"no run to resume in {looked}; name its folder: --resume PATH")
    return open_run(max(found, key=lambda path: (path / "run.json").stat().st_mtime))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape the result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return this moment, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, values: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write a whole JSON file or nothing; NaN is refused."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
