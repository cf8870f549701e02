"""Measure a trained model on a split, and write its tables and its page."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adafer.bundle import Bundle, Which, load_bundle
from adafer.contracts import Batch
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.data.loader import Loader
from adafer.engine import hardware
from adafer.engine.batches import wants_landmarks
from adafer.engine.predict import predict
from adafer.errors import DataError, WordsError
from adafer.metrics import Scores, score
from adafer.predictions import Predictions, rescaled
from adafer.predictions_file import read_predictions, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.recipe import Recipe
from adafer.report import Context, write_evaluation, write_report
from adafer.report.console import closing_table
from adafer.report.curves import best_row
from adafer.report.history import history_png
from adafer.run import Run, now, open_run, write_json


def mirrored(batches: Iterable[Batch], mirror_points: Sequence[int] = ()) -> Iterator[Batch]:
    """Yield the batches with every face mirrored, and left and right landmarks changed over."""
    for batch in batches:
        landmarks = batch.landmarks
        if landmarks is not None:
            landmarks = landmarks[:, list(mirror_points)].clone()
            landmarks[..., 0] = batch.images.shape[-1] - 1 - landmarks[..., 0]
        yield replace(batch, images=batch.images.flip(-1), landmarks=landmarks)


def measure(
    model: nn.Module,
    dataset: FaceDataset,
    recipe: Recipe,
    device: torch.device,
    *,
    every_step: bool = False,
    mirror: bool = False,
) -> Predictions:
    """Return what a model answers for a data set, in the order of its listing.

    `every_step` runs all T steps, so that the accuracy at each depth is known; the answers stay
    the same. `mirror` averages the probabilities with those of the mirrored faces.
    """
    loader = Loader(dataset, recipe.data, seed=0, train=False)
    set_full_depth(model, every_step)
    names, pairs = dataset.listing.class_names, dataset.listing.mirror_points
    plain = predict(model, loader(0), class_names=names, device=device)
    if mirror:
        other = predict(model, mirrored(loader(0), pairs), class_names=names, device=device)
        plain = replace(plain, probabilities=(plain.probabilities + other.probabilities) / 2)
    set_full_depth(model, False)
    return plain


def set_full_depth(model: Any, full_depth: bool) -> None:
    """Run all T steps always, where the model takes steps."""
    if hasattr(model, "full_depth"):
        model.full_depth = full_depth


def evaluate(
    path: str | Path,
    *,
    data: str | None = None,
    split: str = "val",
    output: Path | None = None,
    which: Which = "best",
    max_steps: int | None = None,
    mirror: bool = False,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Scores:
    """Measure the model of a run on a split; write tables, figures and the page.

    Uses of the test split are counted in the run's `run.json`.

    Raises:
        DataError: no run there, or data whose classes are not the model's.
        WordsError: a setting that the model does not have.
    """
    watcher = watcher or usual_watcher()
    run = open_run(Path(path))
    bundle = load_bundle(run.path, which)
    recipe = run.recipe().measured_on(data)
    listing = listing_of(recipe, split, bundle)
    dataset = FaceDataset(listing, bundle.preprocessing, recipe.data.max_bad)
    chosen = hardware.choose_device(device)
    model = _with_depth(bundle.model, max_steps).to(chosen)
    watcher.said(f"{len(dataset)} faces of {recipe.data.source}, split {split} ({listing.layout})")
    for note in dataset.listing.notes:
        watcher.said(f"note: {note}")
    raw = measure(model, dataset, recipe, chosen, every_step=True, mirror=mirror)
    predictions = rescaled(raw, bundle.temperature)
    scores = score(predictions)
    if split == "test":
        run.append("test_uses", {"time": now(), "data": recipe.data.source, "n": scores.n})
    elsewhere = output is not None or data is not None or max_steps is not None or mirror
    folder = output or run.evaluation(_name(split, data, max_steps, mirror))
    write_evaluation(folder, predictions, scores)
    if predictions is not raw:
        _tell_calibration(folder, bundle.temperature, score(raw, bootstrap=0), scores, watcher)
    page = folder / "report.html" if elsewhere else run.report
    source = "" if data is None else recipe.data.source
    _write_page(run, page, predictions, scores, dataset, listing, max_steps, source)
    watcher.show(closing_table(scores, split=split, max_steps=getattr(model, "max_steps", None)))
    watcher.said(f"tables: {folder}")
    watcher.said(f"report: {page}")
    return scores


def _tell_calibration(
    folder: Path, temperature: float, raw: Scores, scores: Scores, watcher: Watcher
) -> None:
    """Write and say what the model's temperature changes; both are of one measurement."""
    names = ("nll", "ece", "brier")
    told = {"temperature": temperature} | {
        kind: {name: getattr(found, name) for name in names}
        for kind, found in (("raw", raw), ("scaled", scores))
    }
    write_json(folder / "calibration.json", told)
    watcher.said(
        f"scaled by the model's temperature {temperature:.3f}: ECE {raw.ece:.4f} without it, "
        f"{scores.ece:.4f} with it; NLL {raw.nll:.4f} and {scores.nll:.4f}"
    )


def measured(run: Run, split: str) -> Predictions:
    """Return what a run answered for a split when it was measured.

    Raises:
        DataError: if it was not.
    """
    path = run.evaluation(split) / "predictions.csv"
    if not path.is_file():
        raise DataError(
            f"{run.path} was not measured on {split}; run `adafer evaluate {run.path} --split "
            f"{split}` first"
        )
    return read_predictions(path)


def report(path: Path, *, split: str = "val") -> Path:
    """Write a run's page again from its tables, with the faces where the data is still there.

    Raises:
        DataError: if the split has not been measured.
    """
    run = open_run(path)
    predictions = measured(run, split)
    bundle = load_bundle(run.path, "best")
    recipe = run.recipe()
    dataset = FaceDataset(
        listing_of(recipe, split, bundle), bundle.preprocessing, recipe.data.max_bad
    )
    faces = dataset if dataset.listing.ids == predictions.ids else None
    _write_page(run, run.report, predictions, score(predictions), faces, dataset.listing)
    return run.report


def write_first_page(run: Run, dataset: FaceDataset, predictions: Predictions) -> Scores:
    """Write the tables, the history plots and the page of a training's own validation."""
    scores = score(predictions)
    rows = _history(run.results)
    best = best_row(rows, run.recipe().train.monitor)
    write_bytes(run.path / "history.png", history_png(rows, best))
    write_evaluation(run.evaluation(dataset.listing.split), predictions, scores)
    _write_page(run, run.report, predictions, scores, dataset, dataset.listing)
    return scores


def _write_page(
    run: Run,
    page: Path,
    predictions: Predictions,
    scores: Scores,
    faces: FaceDataset | None,
    listing: Listing,
    max_steps: int | None = None,
    source: str = "",
) -> None:
    context = Context(
        predictions=predictions,
        scores=scores,
        history=_history(run.results),
        recipe=run.recipe().to_dict(),
        run=run.facts(),
        faces=faces,
        name=run.path.name,
        split=listing.split,
        notes=listing.notes,
        max_steps=max_steps,
        source=source,
    )
    write_report(page, context)


def _history(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def listing_of(recipe: Recipe, split: str, bundle: Bundle) -> Listing:
    """List a split of the recipe's data; raises DataError where its classes are not the model's."""
    source = open_data(recipe.data)
    listing = {"train": lambda: source.train, "val": lambda: source.validation}.get(
        split, source.test
    )()
    if listing.class_names != bundle.class_names:
        raise DataError(
            f"the model knows {', '.join(bundle.class_names)}, the data "
            f"{', '.join(listing.class_names)}; evaluate on data with the model's classes"
        )
    return _with_its_points(listing, bundle)


def _with_its_points(listing: Listing, bundle: Bundle) -> Listing:
    """Leave out landmarks that are not those the model reads, and say what stands for them."""
    if not wants_landmarks(bundle.model):
        return listing
    wanted = int(bundle.recipe["model"]["points"])
    found = 0 if listing.landmarks is None else listing.landmarks.shape[1]
    if found == wanted:
        return listing
    note = (
        f"the model reads {wanted} landmarks of a face, {listing.split} has {found or 'none'}; a "
        "learned layout stands for them"
    )
    return replace(listing, landmarks=None, mirror_points=(), notes=(*listing.notes, note))


def _with_depth(model: Any, max_steps: int | None) -> Any:
    if max_steps is not None:
        if not hasattr(model, "max_steps"):
            raise WordsError("this model takes no steps; leave --max-steps out")
        if max_steps < 1:
            raise WordsError("--max-steps must be 1 or more")
        model.max_steps = max_steps
    return model


def _name(split: str, data: str | None, max_steps: int | None, mirror: bool) -> str:
    parts = [split]
    if data is not None:
        parts.append(Path(data).name or "data")
    if max_steps is not None:
        parts.append(f"T{max_steps}")
    if mirror:
        parts.append("mirror")
    return "-".join(parts)
