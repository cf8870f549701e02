"""`adafer compare`: runs side by side on the same faces, from their tables alone."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adafer.analysis.paired import Difference, differences, shared_faces
from adafer.errors import WordsError
from adafer.evaluation import measured
from adafer.metrics import Scores, score
from adafer.plain_values import finite
from adafer.predictions import Predictions
from adafer.predictions_file import write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.report.page import render_sections
from adafer.report.study.compare import comparison_sections, console_table, headline
from adafer.run import Run, open_run

FIGURES = ("accuracy", "macro_f1", "balanced_accuracy", "nll", "ece", "mean_steps")
NO_SETTINGS = ("name", "summary", "notes")


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """Runs that differ in the seed only."""

    runs: tuple[str, ...]
    figures: Mapping[str, tuple[float, float]]  # mean and standard deviation over the seeds


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found about some runs on the same faces."""

    names: tuple[str, ...]
    split: str
    faces: int
    scores: tuple[Scores, ...]
    differences: tuple[Difference, ...]
    settings: Mapping[str, tuple[str, ...]]  # setting to its value in each run, where they differ
    seeds: tuple[SeedGroup, ...]
    controls: tuple[Mapping[str, Any] | None, ...]  # of steps/SPLIT/steps.json, where it is there

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "runs": list(self.names),
            "split": self.split,
            "faces": self.faces,
            "scores": [{name: getattr(s, name) for name in FIGURES} for s in self.scores],
            "differences": [item.to_json() for item in self.differences],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "seeds": [
                {"runs": list(group.runs), "figures": dict(group.figures)} for group in self.seeds
            ],
        }


def compare(
    paths: Sequence[str | Path],
    *,
    split: str = "val",
    common: bool = False,
    output: Path | None = None,
    watcher: Watcher | None = None,
) -> Comparison:
    """Compare runs by their `eval/SPLIT/predictions.csv`; write `compare.json` and a page.

    Raises:
        WordsError: fewer than two runs.
        DataError: a run that was not measured on the split, or other faces.
    """
    watcher = watcher or usual_watcher()
    if len(paths) < 2:
        raise WordsError("give two runs or more: adafer compare runs/one runs/two")
    runs = [open_run(Path(path)) for path in paths]
    names = _names(runs)
    tables = shared_faces([measured(run, split) for run in runs], names, common=common)
    found = Comparison(
        names=tuple(names),
        split=split,
        faces=len(tables[0]),
        scores=tuple(score(table) for table in tables),
        differences=differences(tables, names),
        settings=differing_settings([run.recipe().to_dict() for run in runs]),
        seeds=seed_groups(runs, names, tables),
        controls=tuple(_study(run, split) for run in runs),
    )
    folder = output or Path("compare") / "-".join(names)[:120]
    sections = comparison_sections(found)
    page = render_sections(
        title=" against ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else ""),
        kicker=f"{found.faces:,} faces, split {split}",
        lead=headline(found),
        sections=sections,
    )
    text = json.dumps(finite(found.to_json()), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "compare.json", f"{text}\n".encode())
    write_bytes(folder / "compare.html", page.encode())
    watcher.show(console_table(found))
    watcher.said(headline(found))
    watcher.said(f"page: {folder / 'compare.html'}")
    return found


def differing_settings(recipes: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return every setting whose value is not the same in all recipes, by its dotted name."""
    flat = [_dotted(recipe) for recipe in recipes]
    names = list(dict.fromkeys(name for values in flat for name in values))
    found = {name: tuple(values.get(name, "–") for values in flat) for name in names}
    return {
        name: values
        for name, values in found.items()
        if len(set(values)) > 1 and name not in NO_SETTINGS
    }


def seed_groups(
    runs: Sequence[Run], names: Sequence[str], tables: Sequence[Predictions]
) -> tuple[SeedGroup, ...]:
    """Group runs that differ in the seed only; groups of one are left out."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        flat = _dotted(run.recipe().to_dict())
        key = {n: v for n, v in flat.items() if n not in (*NO_SETTINGS, "train.seed")}
        groups[json.dumps(key, sort_keys=True)].append(place)
    found = []
    for places in groups.values():
        if len(places) < 2:
            continue
        scores = [score(tables[i], bootstrap=0) for i in places]
        figures = {}
        for name in FIGURES:
            values = [getattr(item, name) for item in scores]
            if None not in values:
                figures[name] = (float(np.mean(values)), float(np.std(values, ddof=1)))
        found.append(SeedGroup(runs=tuple(names[i] for i in places), figures=figures))
    return tuple(found)


def _names(runs: Sequence[Run]) -> list[str]:
    """Folder names, with the folder above where two are alike."""
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    longer = ["/".join(run.path.resolve().parts[-2:]) for run in runs]
    if len(set(longer)) < len(longer):
        raise WordsError("the same run was given twice; name two different runs")
    return longer


def _study(run: Run, split: str) -> Mapping[str, Any] | None:
    path = run.path / "steps" / split / "steps.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            for number, item in enumerate(value, 1):
                flat |= _dotted(item, f"{prefix}{name}{number}.")
        else:
            flat[prefix + name] = str(value)
    return flat
