"""A run folder: the recipe that repeats it, what happened, and where everything lies."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adafer.errors import AdaferError, DataError, WordsError
from adafer.predictions_file import write_bytes
from adafer.recipe import Recipe

PACKAGES = ("adafer", "torch", "numpy", "albumentations", "opencv-python-headless", "pillow")


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


def open_run(path: Path) -> Run:
    """Return the run in this folder.

    Raises:
        DataError: if there is none.
    """
    if not (path / "recipe.yaml").is_file():
        raise DataError(f"no run in '{path}': expected recipe.yaml; give a folder below runs/")
    return Run(path)


def latest_run(runs: Path) -> Run:
    """Return the run below `runs` that was written to last.

    Raises:
        DataError: if there is none.
    """
    found = [path.parent for path in runs.glob("*/run.json")]
    if not found:
        raise DataError(f"no run to resume in '{runs}'; name its folder: --resume PATH")
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
