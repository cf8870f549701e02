"""`adafer steps`: does a model look longer at harder faces, and does it help? Tables and a page."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adafer.analysis.agreement import Agreement, Reducible, agreement, reducible
from adafer.analysis.by_step import BySteps, by_steps
from adafer.analysis.controls import Controls, controls
from adafer.analysis.difficulty import Contrast, difficulty
from adafer.analysis.exits import Curve, curves
from adafer.analysis.groups import Attribute, by_group
from adafer.analysis.label_errors import LabelErrors, suspected_label_errors
from adafer.analysis.mistakes import Confused, confused_pairs
from adafer.analysis.verdict import Verdict, verdict
from adafer.bundle import Bundle, Which, load_bundle
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.engine import hardware
from adafer.errors import DataError, WordsError
from adafer.evaluation import listing_of
from adafer.metrics import Scores, score
from adafer.plain_values import finite
from adafer.predictions_file import write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.recipe import Recipe
from adafer.report.page import render
from adafer.report.section import Context, Section
from adafer.report.steps import steps as histogram
from adafer.report.study.by_step import by_step_section
from adafer.report.study.controls import controls_section
from adafer.report.study.groups import groups_section
from adafer.report.study.mistaken import label_errors_section, mistaken_section
from adafer.report.study.people import agreement_section, difficulty_section
from adafer.report.study.verdict import verdict_section
from adafer.run import Run, now, open_run
from adafer.studies.timing import Timing, timings
from adafer.studies.trace import trace
from adafer.trajectory import Trajectory, read_trajectory, write_trajectory

TRAJECTORY = "trajectory.safetensors"


@dataclass(frozen=True, kw_only=True)
class StepStudy:
    """Everything that `adafer steps` found; accuracy on faces with a clear label."""

    verdict: Verdict
    controls: Controls
    by_step: BySteps
    agreement: Agreement | None  # over every face that has votes
    reducible: Reducible | None
    difficulty: tuple[Contrast, ...]
    groups: tuple[Attribute, ...]
    curves: tuple[Curve, ...]
    timings: tuple[Timing, ...]
    confused: tuple[Confused, ...]
    label_errors: LabelErrors | None = None
    everyone: Mapping[str, float] = field(default_factory=dict)  # also of faces left out as copies

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not finite is None."""
        parts = {
            name: getattr(self, name)
            for name in (
                "verdict",
                "controls",
                "by_step",
                "agreement",
                "reducible",
                "label_errors",
            )
        }
        found: dict[str, Any] = {
            name: None if part is None else part.to_json() for name, part in parts.items()
        }
        for name in ("difficulty", "groups", "curves", "timings", "confused"):
            found[name] = [item.to_json() for item in getattr(self, name)]
        found["everyone"] = dict(self.everyone)
        return found


def study_steps(
    path: str | Path,
    *,
    data: str | None = None,
    split: str = "val",
    output: Path | None = None,
    which: Which = "best",
    device: str = "auto",
    clock: bool = True,
    label_errors: bool = False,
    copies: Path | None = None,
    watcher: Watcher | None = None,
) -> StepStudy:
    """Study how a run's model spends its steps on a split; write tables and a page.

    Thresholds of other exit rules come from validation when the split is test, else from the other
    half of the faces. Uses of the test split are counted in the run's `run.json`. `copies` is the
    duplicates.csv of `adafer data check`: faces with a copy of any kind in train are left out.

    Raises:
        DataError: no run there, or data whose classes are not the model's.
        WordsError: a model that takes no steps.
    """
    watcher = watcher or usual_watcher()
    place = _opened(Path(path), data, which, device, copies)
    run, recipe = place.run, place.recipe
    known = frozenset[str]() if copies is None else known_from_train(copies, split)
    chosen_on = place.validation(watcher) if split == "test" else None
    dataset, wide = place.traced(split)
    everyone = _everyone(wide.take(clear_faces(dataset.listing)))
    if known:
        kept = np.flatnonzero([name not in known for name in dataset.listing.ids])
        dataset, wide = dataset.only(kept, "copied in train"), wide.take(kept)
    clear = clear_faces(dataset.listing)
    narrow = wide.take(clear)
    watcher.said(
        f"{len(narrow):,} faces of {recipe.data.source}, split {split}"
        + (f"; {len(wide):,} with votes for the comparison with people" * (len(wide) > len(clear)))
    )
    if split == "test":
        run.append("test_uses", {"time": now(), "data": recipe.data.source, "n": len(narrow)})
    timed = timings(place.model(), dataset, place.device) if clock else ()
    study = replace(
        analyse(narrow, wide, dataset.listing, clear, timed, chosen_on, suspects=label_errors),
        everyone=everyone,
    )
    folder = output or run.path / "steps" / (f"{split}-without-copies" if copies else split)
    _write(folder, study, wide)
    faces = dataset.faces(clear)
    scores = score(narrow.predictions)
    page = folder / "report.html"
    write_bytes(page, _page(place, split, study, narrow, faces, scores, dataset).encode())
    for sentence in study.verdict.sentences:
        watcher.said(sentence)
    watcher.said(f"tables: {folder}")
    watcher.said(f"report: {page}")
    return study


def analyse(
    narrow: Trajectory,
    wide: Trajectory,
    listing: Listing,
    clear: np.ndarray[Any, Any],
    timed: Sequence[Timing] = (),
    chosen_on: Trajectory | None = None,
    *,
    suspects: bool = False,
) -> StepStudy:
    """Compute every figure: accuracy on `narrow`, comparison with people on `wide`."""
    held = controls(narrow, chosen_on)
    people = agreement(wide, chosen_on)
    gain = reducible(narrow)
    saved = next((item.saved for item in timed if item.batch_size > 1), None)
    attributes = {
        name: tuple(values[i] for i in clear)
        for name, values in listing.attributes.items()
        if name not in ("clear", "source")
    }
    return StepStudy(
        verdict=verdict(held, people, gain, saved),
        controls=held,
        by_step=by_steps(narrow),
        agreement=people,
        reducible=gain,
        difficulty=difficulty(wide),
        groups=by_group(narrow.predictions, attributes),
        curves=curves(narrow, chosen_on),
        timings=tuple(timed),
        confused=confused_pairs(narrow.predictions),
        label_errors=suspected_label_errors([narrow.predictions]) if suspects else None,
    )


def clear_faces(listing: Listing) -> np.ndarray[Any, Any]:
    """Places of the faces with a clear label; all of them where the data does not say."""
    told = listing.attributes.get("clear")
    if told is None:
        return np.arange(len(listing))
    return np.flatnonzero(np.asarray(told) == "yes")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What is asked, of which model, where."""

    run: Run
    bundle: Bundle
    recipe: Recipe
    device: torch.device
    copies: Path | None = None

    def model(self) -> torch.nn.Module:
        return self.bundle.model.to(self.device)

    def traced(self, split: str) -> tuple[FaceDataset, Trajectory]:
        """Return the split's faces, ambiguous ones too, and what the model says of each."""
        recipe = replace(self.recipe, data=replace(self.recipe.data, evaluation_faces="votes"))
        listing = listing_of(recipe, split, self.bundle)
        dataset = FaceDataset(listing, self.bundle.preprocessing, recipe.data.max_bad)
        return dataset, trace(self.model(), dataset, recipe, self.device)

    def validation(self, watcher: Watcher) -> Trajectory:
        """Return the validation trajectory: read, or made now; its clear faces only."""
        kept = self.run.path / "steps" / "val" / TRAJECTORY
        source = open_data(self.recipe.data)
        wanted = set(source.validation.ids)
        if kept.is_file():
            found = read_trajectory(kept)
        else:
            watcher.said("thresholds come from validation, which is traced first")
            found = self.traced("val")[1]
        here = [i for i, name in enumerate(found.predictions.ids) if name in wanted]
        if len(here) != len(wanted):
            raise DataError(
                f"{kept} is of other faces; write it again with `adafer steps {self.run.path}`"
            )
        if self.copies is not None:
            known = known_from_train(self.copies, "val")
            here = [i for i in here if found.predictions.ids[i] not in known]
        return found.take(np.array(here, dtype=np.intp))


def _opened(path: Path, data: str | None, which: Which, device: str, copies: Path | None) -> _Place:
    run = open_run(path)
    bundle = load_bundle(run.path, which)
    if not hasattr(bundle.model, "max_steps"):
        raise WordsError(f"{run.path} takes no steps; choose a run of a recursive recipe")
    return _Place(
        run=run,
        bundle=bundle,
        recipe=run.recipe().measured_on(data),
        device=hardware.choose_device(device),
        copies=copies,
    )


def known_from_train(path: Path, split: str) -> frozenset[str]:
    """Return the faces of a split that have a copy in train, from `adafer data check`.

    A face that is linked to train only through a third copy is not among them.

    Raises:
        DataError: if the file is no such table.
    """
    found = set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                sides = {row["first_split"]: row["first"], row["second_split"]: row["second"]}
                if sides.keys() == {"train", split}:
                    found.add(sides[split])
    except (OSError, KeyError, csv.Error) as error:
        raise DataError(
            f"{path} is no list of copies ({error}); write one with `adafer data check SOURCE`"
        ) from None
    return frozenset(found)


def _everyone(narrow: Trajectory) -> dict[str, float]:
    table = narrow.predictions
    assert table.steps is not None
    return {
        "n": len(table),
        "accuracy": float((table.predicted == table.labels).mean()),
        "mean_steps": float(table.steps.mean()),
    }


def _write(folder: Path, study: StepStudy, wide: Trajectory) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_trajectory(folder / TRAJECTORY, wide)
    text = json.dumps(finite(study.to_json()), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "steps.json", f"{text}\n".encode())


def _page(
    place: _Place,
    split: str,
    study: StepStudy,
    narrow: Trajectory,
    faces: np.ndarray[Any, Any],
    scores: Scores,
    dataset: FaceDataset,
) -> str:
    context = Context(
        predictions=narrow.predictions,
        scores=scores,
        recipe=place.recipe.to_dict(),
        run=place.run.facts(),
        faces=faces,
        name=f"{place.run.path.name}: steps",
        split=split,
        notes=dataset.listing.notes,
    )
    found: list[Section | None] = [
        verdict_section(study.verdict),
        histogram(context),
        by_step_section(study.by_step),
        controls_section(study.controls, study.curves, *_clock(study)),
        agreement_section(study.agreement, study.reducible),
        difficulty_section(study.difficulty),
        groups_section(study.groups),
        mistaken_section(context),
    ]
    if study.label_errors is not None:
        found.append(label_errors_section(context, study.label_errors))
    return render(context, [section for section in found if section is not None])


def _clock(study: StepStudy) -> tuple[list[tuple[str, float, float, bool]], str]:
    """Milliseconds and accuracy of each depth and of the model's own halting, at a batch."""
    if not study.timings:
        return [], ""
    timing = study.timings[-1]
    rows = [
        (f"depth {step.step}", time, step.accuracy.value or 0.0, False)
        for time, step in zip(timing.fixed, study.by_step.every, strict=False)
    ]
    rows.append(("its own halting", timing.adaptive, study.controls.accuracy, True))
    saved = "" if timing.saved is None else f" {timing.saved:.0%} of the ideal saving is real."
    words = f"Batches of {timing.batch_size}, on this machine; finished faces leave the batch."
    return rows, words + saved
