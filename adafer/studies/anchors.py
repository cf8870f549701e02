"""`adafer anchors`: what a GReFEL model's anchors and corrections do, and whether to believe them.

Legend: N faces, C classes, K anchors a class, R their width.
"""

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adafer.analysis.reliability import Reliability, against_people
from adafer.analysis.temperature import cross_fitted
from adafer.bundle import Bundle, Which, load_bundle
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader
from adafer.engine import hardware
from adafer.engine.batches import answer, to_device
from adafer.errors import WordsError
from adafer.evaluation import listing_of
from adafer.models.grefel import GrefelOutput
from adafer.models.grefel.anchors import distances_to
from adafer.plain_values import finite
from adafer.predictions_file import as_text, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.recipe import Recipe
from adafer.report.page import render_sections
from adafer.report.study.anchors import Seen, sections
from adafer.run import Run, now, open_run


@dataclass(frozen=True, kw_only=True)
class AnchorStudy:
    """What was found, faces in the order of the split's listing."""

    seen: Seen
    reliability: Reliability


def study_anchors(
    path: str | Path,
    *,
    split: str = "val",
    output: Path | None = None,
    which: Which = "best",
    device: str = "auto",
    watcher: Watcher | None = None,
) -> AnchorStudy:
    """Look at the corrections of a run's model on a split; write tables and a page.

    Faces whose voters were of two minds count for the comparison with people. Uses of the test
    split are counted in the run's `run.json`.

    Raises:
        DataError: no run there.
        WordsError: a model without anchors and attention.
    """
    watcher = watcher or usual_watcher()
    run = open_run(Path(path))
    bundle = load_bundle(run.path, which)
    if getattr(bundle.model, "balancing", None) is None:
        raise WordsError(
            f"{run.path} corrects nothing by anchors or attention; choose a run of the recipe "
            "grefel"
        )
    own = run.recipe()
    recipe = replace(own, data=replace(own.data, evaluation_faces="votes"))
    listing = listing_of(recipe, split, bundle)
    dataset = FaceDataset(listing, bundle.preprocessing, recipe.data.max_bad)
    watcher.said(f"{len(dataset):,} faces of {recipe.data.data}, split {split}")
    if split == "test":
        run.append("test_uses", {"time": now(), "data": recipe.data.data, "n": len(dataset)})
    seen = look(bundle, dataset, recipe, hardware.choose_device(device))
    ways = {
        "classifier alone": seen.primary,
        "the same, with a temperature": cross_fitted(seen.primary, seen.labels),
        "corrected": seen.corrected,
        "corrected, with a temperature": cross_fitted(seen.corrected, seen.labels),
    }
    found = against_people(ways, seen.labels, seen.votes)
    folder = output or run.path / "anchors" / split
    _write(folder, run, split, AnchorStudy(seen=seen, reliability=found), bundle)
    watcher.said(f"tables: {folder}")
    watcher.said(f"report: {folder / 'report.html'}")
    return AnchorStudy(seen=seen, reliability=found)


def look(bundle: Bundle, dataset: FaceDataset, recipe: Recipe, device: torch.device) -> Seen:
    """Ask the model about every face, once, and keep how each answer came about."""
    model = bundle.model.to(device).eval()
    columns: dict[str, list[NDArray[Any]]] = {}
    anchors: NDArray[np.float64] | None = None
    with torch.inference_mode():
        for batch in Loader(dataset, recipe.data, seed=0, train=False)(0):
            found = answer(model, to_device(batch, device))
            assert isinstance(found, GrefelOutput)
            for name, values in _columns(found).items():
                columns.setdefault(name, []).append(values.double().cpu().numpy())
            if found.anchors is not None:
                anchors = found.anchors.double().cpu().numpy()
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    listing = dataset.listing
    return Seen(
        class_names=listing.class_names,
        ids=listing.ids,
        labels=listing.labels,
        votes=None if listing.votes is None else listing.votes.astype(np.float64),
        faces=dataset,
        primary=table["primary"],
        corrected=table["corrected"],
        confidence=table["confidence"],
        embedding=table["embedding"],
        distances=table.get("distances"),
        anchors=anchors,
    )


def _columns(found: GrefelOutput) -> dict[str, torch.Tensor]:
    assert found.confidence is not None
    assert found.embedding is not None
    columns = {
        "primary": found.primary.softmax(1),
        "corrected": found.logits.softmax(1),
        "confidence": found.confidence,
        "embedding": found.embedding,
    }
    if found.anchors is not None:
        columns["distances"] = distances_to(found.embedding, found.anchors).amin(2)  # (B, C)
    return columns


def _write(folder: Path, run: Run, split: str, study: AnchorStudy, bundle: Bundle) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "faces.csv", _table(study.seen))
    told = study.reliability.to_json() | {"split": split, "settings": dict(bundle.recipe["model"])}
    text = json.dumps(finite(told), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "anchors.json", f"{text}\n".encode())
    page = render_sections(
        title=f"{run.path.name}: anchors",
        kicker=f"{bundle.recipe.get('name', '')} · {split} split · {len(study.seen.ids):,} faces",
        lead=(
            "An unsure answer leans on learned anchors and on attention over the face's own "
            "tokens. What that changes, for which faces, and whether its confidence follows people."
        ),
        sections=sections(study.seen, study.reliability),
    )
    write_bytes(folder / "report.html", page.encode())


def _table(seen: Seen) -> bytes:
    """One row a face: both answers, how sure the first is, and the nearest anchor of each class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = seen.class_names
    head = ["id", "label", "primary", "corrected", "confidence", "change"]
    distances = [] if seen.distances is None else [f"distance_{name}" for name in names]
    writer.writerow([*head, *distances])
    for place, name in enumerate(seen.ids):
        row: list[Any] = [
            as_text(name),
            names[seen.labels[place]],
            names[seen.primary[place].argmax()],
            names[seen.corrected[place].argmax()],
            f"{seen.confidence[place]:.6f}",
            f"{seen.change[place]:.6f}",
        ]
        if seen.distances is not None:
            row += [f"{value:.6f}" for value in seen.distances[place]]
        writer.writerow(row)
    return text.getvalue().encode()
