"""`adafer crossval`: a recipe trained once a fold, each face answered by a model that never saw it.

A fold is an ordinary run with `folds` and `fold` in its recipe, so it resumes like any other.
"""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adafer.data import open_data
from adafer.data.folds import Fold
from adafer.engine.lock import LOCK_NAME, run_lock
from adafer.engine.signals import Interrupted
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.experiment import train
from adafer.kaggle import default_runs
from adafer.plain_values import finite
from adafer.predictions_file import as_text, csv_bytes, write_bytes
from adafer.progress import Silence, Watcher, usual_watcher
from adafer.recipe import Recipe
from adafer.recipes import find_recipe, run_folders
from adafer.report.study.crossval import crossval_page, crossval_table, fold_line, mean_line
from adafer.run import Run, new_run, now, write_json
from adafer.studies.crossval_folder import (
    FINISHED,
    PLAN,
    STARTED,
    WAITING,
    Crossval,
    latest_crossval,
    open_crossval,
)
from adafer.studies.crossval_scores import scored, together

FOLDS = 5
FOLDS_TABLE = "folds.csv"
MAY_CHANGE = (
    "data",
    "train_csv",
    "val_csv",
    "num_classes",
    "layout",
    "roots",
    "also",
    "synthetic",
    "workers",
    "cache",
    "device",
    "processes",
    "teacher",
)
"""Settings that a resumed cross-validation may change: none of them changes what is learned."""


def crossval(
    recipe: str | Recipe = "act-graves",
    folds: int | None = None,
    *,
    runs: str | Path | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    hours: float | None = None,
    track: str = "off",
    watcher: Watcher | None = None,
    command: Sequence[str] = (),
    **changes: Any,
) -> Crossval:
    """Train a recipe once a fold: `crossval("tinyvgg", folds=5, data="faces/")`.

    The pool is the data set's train and validation; test is never looked at. Without `folds` there
    are those of the recipe, else 5. `changes` are the recipe's flat names. `resume` is the folder
    of one that was stopped, or "" for the newest below `runs`: finished folds stay as they are, and
    the one in progress goes on where it was. `hours` is for all folds together.

    Raises:
        WordsError: an unknown setting, too few folds, or a resume that would change the plan.
        DataError: a class with fewer faces than folds, or data that is not that of the plan.
        AdaferError: as `train` says, with the fold named.
    """
    watcher = watcher or usual_watcher()
    end = None if hours is None else time.monotonic() + hours * 3600
    if folds is not None:
        changes["folds"] = folds
    if resume is not None:
        folders = run_folders() if runs is None else (Path(runs),)
        place = open_crossval(Path(resume)) if str(resume) else latest_crossval(*folders)
        dealt = _planned_again(place, changes)
    else:
        chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
        chosen = chosen.changed(**{"folds": chosen.data.folds or FOLDS, **changes})
        kept = default_runs(chosen.runs) if runs is None else Path(runs)
        place, dealt = _planned(chosen, kept, name, command)
        changes = {}
    try:
        with run_lock(place.path):
            done = _train_folds(place, dealt, end, track, watcher, command, changes)
            return _close(place, dealt, watcher) if done else place
    except AdaferError:
        if resume is None:
            _forget_if_nothing_began(place)
        raise


def _planned(
    recipe: Recipe, runs: Path, name: str | None, command: Sequence[str]
) -> tuple[Crossval, Fold]:
    """Deal the faces, and write the plan into a new folder."""
    folds = recipe.data.folds
    if recipe.data.fold:
        raise WordsError("a cross-validation trains every fold; leave --fold out")
    if folds < 2:
        raise WordsError(f"--folds is {folds}; give 2 or more, such as 5")
    dealt, facts = _data_facts(recipe)
    place = Crossval(new_run(runs, name or f"{recipe.name}-crossval").path)
    plan = {
        "recipe": recipe.to_dict(),
        "folds": folds,
        "seed": recipe.data.split_seed,
        **facts,
        "command": list(command),
        "started": now(),
        "states": [WAITING] * folds,
    }
    write_json(place.path / PLAN, plan)
    write_bytes(place.path / FOLDS_TABLE, csv_bytes(_places(dealt)))
    return place, dealt


def _data_facts(recipe: Recipe) -> tuple[Fold, dict[str, Any]]:
    """The faces as they are dealt, and what the plan keeps of them.

    The pool is the same as long as the first fold is.
    """
    source = open_data(recipe.changed(fold=1).data)
    assert source.fold is not None
    facts = {
        "layout": source.layout,
        "faces": len(source.fold.pool),
        "classes": source.fold.pool.counts(),
        "groups": None if source.fold.pool.groups is None else len(set(source.fold.pool.groups)),
        "first_fold_sha256": source.hashes(),
    }
    return source.fold, facts


def _places(dealt: Fold) -> Iterable[Sequence[Any]]:
    """Which fold holds each face out; an empty cell where a face is only trained on."""
    pool, groups = dealt.pool, dealt.pool.groups or ("",) * len(dealt.pool)
    yield ("id", "label", "fold", "group")
    for face, label, place, group in zip(
        pool.ids, pool.labels.tolist(), dealt.places.tolist(), groups, strict=True
    ):
        yield (as_text(face), as_text(pool.class_names[label]), place or "", as_text(group))


def _planned_again(place: Crossval, changes: Mapping[str, Any]) -> Fold:
    """Refuse a resume by which folds would differ in more than their faces."""
    plan, recipe = place.plan(), place.recipe()
    new = recipe.changed(**changes)
    before, after = (_settings(value.to_dict()) for value in (recipe, new))
    other = sorted(word for word in before | after if before.get(word) != after.get(word))
    if other:
        word = other[0].rpartition(".")[2].replace("_", "-")
        raise WordsError(
            f"--{word} was {before.get(other[0])} in the finished folds of {place.path}; leave it "
            "out, or start a new cross-validation"
        )
    dealt, facts = _data_facts(new)
    if facts["first_fold_sha256"] != plan.get("first_fold_sha256"):
        raise DataError(
            f"the faces of {new.data.source} are not those that {place.path} was planned with; put "
            "them back, or start a new cross-validation"
        )
    return dealt


def _settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings that all folds share, by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _settings(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, item in enumerate(value, 1):
                flat |= _settings(item, f"{prefix}{name}{number}.")
        elif name not in MAY_CHANGE:
            flat[prefix + name] = value
    return flat


def _train_folds(
    place: Crossval,
    dealt: Fold,
    end: float | None,
    track: str,
    watcher: Watcher,
    command: Sequence[str],
    changes: Mapping[str, Any],
) -> bool:
    """Train the folds that are left; False if the time ended before."""
    plan, recipe = place.plan(), place.recipe()
    folds = len(plan["states"])
    for fold in range(1, folds + 1):
        if plan["states"][fold - 1] == FINISHED:
            watcher.said(f"fold {fold} of {folds}: trained before")
            continue
        left = None if end is None else (end - time.monotonic()) / 3600
        ended = left is not None and left <= 0
        if not ended:
            watcher.said(f"fold {fold} of {folds}")
            place.mark(fold, STARTED)
            run = _one(place, recipe, fold, left, track, watcher, command, changes)
            ended = run.facts().get("exit_reason") != "finished"
        if ended:
            watcher.said(f"the time is over in fold {fold} of {folds}; {_go_on(place)}")
            return False
        place.mark(fold, FINISHED)
        watcher.said(fold_line(scored(place, fold, dealt), folds))
    return True


def _one(
    place: Crossval,
    recipe: Recipe,
    fold: int,
    hours: float | None,
    track: str,
    watcher: Watcher,
    command: Sequence[str],
    changes: Mapping[str, Any],
) -> Run:
    """Train one fold, or go on with it."""
    run = place.fold(fold)
    begun = (run.path / "recipe.yaml").is_file()
    if not begun and run.path.exists():
        shutil.rmtree(run.path)  # killed before its recipe was written: nothing was learned yet
    try:
        return train(
            recipe.changed(fold=fold),
            runs=place.path,
            name=run.path.name,
            resume=run.path if begun else None,
            hours=hours,
            track=track,
            watcher=_FoldWatcher(watcher),
            command=command,
            **changes,
        )
    except Interrupted as stop:
        stopped = AdaferError(
            f"stopped by a signal in fold {fold} of {recipe.data.folds} and saved; {_go_on(place)}"
        )
        stopped.exit_code = stop.exit_code
        raise stopped from None
    except AdaferError as error:
        kinds = (WordsError, DataError, MachineError)
        kind = next((kind for kind in kinds if isinstance(error, kind)), AdaferError)
        raise kind(f"fold {fold} of {recipe.data.folds}: {error}") from error


class _FoldWatcher(Silence):
    """Shows the training of a fold as it goes, and leaves its last table to its own page."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def said(self, sentence: str) -> None:
        """Pass it on."""
        self._watcher.said(sentence)

    def stepped(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Pass it on."""
        self._watcher.stepped(epoch, done, total, loss)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """Pass it on."""
        self._watcher.epoch(row, epochs)

    def rest(self) -> None:
        """Pass it on."""
        self._watcher.rest()


def _go_on(place: Crossval) -> str:
    return f"go on with `adafer crossval --resume {place.path}`"


def _forget_if_nothing_began(place: Crossval) -> None:
    """Take the folder away where its first fold could not start, so that its name is free."""
    inside = {path.name for path in place.path.iterdir()} if place.path.is_dir() else set()
    if inside and inside <= {PLAN, FOLDS_TABLE, LOCK_NAME}:
        shutil.rmtree(place.path)


def _close(place: Crossval, dealt: Fold, watcher: Watcher) -> Crossval:
    """Write the tables and the page of all folds, and show the table."""
    found, pooled = together(place, dealt)
    page = crossval_page(found, pooled, place.recipe().to_dict(), place.path.name)
    write_bytes(place.report, page.encode("utf-8", "replace"))
    # Last, so that a folder with a summary holds everything else too.
    write_json(place.path / "summary.json", finite(found.to_json()))
    watcher.show(crossval_table(found))
    watcher.said(mean_line(found))
    watcher.said(f"every face once, by a model that never trained on it: {place.predictions}")
    watcher.said(f"report: {place.report}")
    return Crossval(place.path, found)
