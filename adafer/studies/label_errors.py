"""`adafer label-errors`: suspects among faces that a model never trained on."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from adafer.analysis.label_errors import LabelErrors, suspected_label_errors
from adafer.errors import DataError, WordsError
from adafer.evaluation import measured
from adafer.plain_values import finite
from adafer.predictions import Predictions
from adafer.predictions_file import csv_bytes, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.run import Run, open_run
from adafer.studies.crossval_folder import is_crossval, open_crossval

SHOWN = 12


def label_errors(
    paths: Sequence[str | Path],
    *,
    split: str = "val",
    output: Path | None = None,
    watcher: Watcher | None = None,
) -> LabelErrors:
    """Rank the suspects of one run, or of a cross-validation; write them as CSV and JSON.

    Raises:
        WordsError: the train split, whose probabilities would be the model's own memory.
        DataError: a run that was not measured on the split, or that trained on faces of it.
        MachineError: without cleanlab.
    """
    watcher = watcher or usual_watcher()
    if split == "train":
        raise WordsError(
            "a model agrees with the labels that it was trained on; use --split val, or the runs "
            "of a K-fold (`adafer crossval`), whose held-out folds cover all faces"
        )
    runs = [run for path in paths for run in _runs(Path(path))]
    found = suspected_label_errors([_held_out(run, split) for run in runs])
    folder = output or Path("label_errors")
    rows = [["id", "label", "suggested", "quality", "agreed"]]
    for s in found.suspects:
        agreed = "" if s.agreed is None else f"{s.agreed:g}"
        rows.append([s.id, s.label, s.suggested, f"{s.quality:.6f}", agreed])
    write_bytes(folder / "label_errors.csv", csv_bytes(rows))
    text = json.dumps(finite(found.to_json()), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "label_errors.json", f"{text}\n".encode())
    watcher.show(_table(found))
    watcher.said(f"{len(found.suspects):,} of {found.faces:,} labels look wrong")
    watcher.said(f"table: {folder / 'label_errors.csv'}")
    return found


def _runs(path: Path) -> list[Run]:
    """Return the run in a folder, or the folds of a cross-validation."""
    return open_crossval(path).runs() if is_crossval(path) else [open_run(path)]


def _held_out(run: Run, split: str) -> Predictions:
    predictions = measured(run, split)
    leaks = run.facts().get("data", {}).get("leaks", {})
    leaked = leaks.get(split, 0) if leaks.get("policy") == "allow" else 0
    if leaked:
        raise DataError(
            f"{run.path} trained on {leaked} faces of {split} (--leaks allow), so it agrees with "
            "their labels; train again with --leaks drop"
        )
    return predictions


def _table(found: LabelErrors) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="labels that look wrong, worst first")
    for name in ("face", "labelled", "suggested"):
        table.add_column(name)
    for name in ("quality", "people agreed"):
        table.add_column(name, justify="right")
    for s in found.suspects[:SHOWN]:
        agreed = "" if s.agreed is None else f"{s.agreed:.0%}"
        table.add_row(Text(s.id), Text(s.label), Text(s.suggested), f"{s.quality:.3f}", agreed)
    return table
