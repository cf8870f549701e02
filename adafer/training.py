"""A training before and while it runs: its parts, what identifies it, what it writes down."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from adafer.bundle import save_bundle
from adafer.data import DataSource
from adafer.data.dataset import FaceDataset
from adafer.data.face_points import source_of
from adafer.data.leaks import Leaks
from adafer.data.sampler import class_weights
from adafer.engine.ranks import ALONE, Ranks
from adafer.engine.state import EpochRecord, State
from adafer.engine.statistics import extended_table
from adafer.engine.trackers import RunFacts
from adafer.errors import WordsError
from adafer.image import Preprocessing
from adafer.losses import LOSSES
from adafer.metrics import Scores
from adafer.preparation import Prepare, Teacher, preparation
from adafer.progress import Watcher
from adafer.recipe import Recipe
from adafer.run import Run, now, versions, write_json, write_text
from adafer.settings.model import GrefelSettings
from adafer.settings.training import PhaseSettings

MAY_CHANGE = {
    "data": (
        *("data", "train_csv", "val_csv", "num_classes", "layout", "roots", "workers"),
        *("also", "synthetic", "cache"),
    ),
    "phases": ("epochs",),
    "loss": ("teacher",),
    "train": ("device", "processes", "patience", "min_delta", "weight_stats"),
}
"""Settings by part that a resumed training may change: none of them changes a finished step."""


LEARNS_NOTHING = {"confidence": ("halting",), "none": ("halting",)}
"""Halting rules that read no halting unit, so that its parameters get no gradient."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a training needs, made before its folder is."""

    recipe: Recipe
    source: DataSource
    preprocessing: Preprocessing
    train: FaceDataset
    validation: FaceDataset
    leaks: Leaks
    state: State
    phases: tuple[PhaseSettings, ...]  # of the recipe, frozen starts cut off
    started_from: Mapping[str, Any]  # published weights: backbone, source, sha256, license
    watcher: Watcher
    teacher: Teacher | None = None
    ranks: Ranks = ALONE

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.source.class_names

    def loss(self) -> Any:
        """Return the loss of the recipe, with what it is to know of the classes."""
        recipe, (_, loss_class) = self.recipe, LOSSES[self.recipe.loss_name]
        values = {item.name: getattr(recipe.loss, item.name) for item in fields(recipe.loss)}
        counts = np.array(list(self.train.listing.counts().values()))
        weights = class_weights(counts, recipe.data.balance_power)
        if recipe.data.balance == "weights":
            values["class_weights"] = tuple(weights.tolist())
        known = {item.name for item in fields(loss_class)}
        if "class_counts" in known:
            values["class_counts"] = tuple(counts.tolist())
        if "class_frequencies" in known:
            shown = counts * weights if recipe.data.balance == "sampler" else counts
            values["class_frequencies"] = tuple((shown / shown.sum()).tolist())
        return loss_class(**values)

    @property
    def resting(self) -> tuple[str, ...]:
        """Parts of the model that the loss does not reach."""
        return LEARNS_NOTHING.get(getattr(self.recipe.model, "halting", ""), ())

    @property
    def prepare(self) -> Prepare | None:
        """What is done to each batch on the device before the model sees it."""
        return preparation(self.recipe, self.teacher)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each split, read once: a checkpoint would otherwise read the data again."""
        return self.source.hashes()

    @property
    def defaults(self) -> dict[str, Any]:
        """What `identity` would hold if every setting stood at its default."""
        recipe = self.recipe
        parts = {
            "data": recipe.data, "model": recipe.model, "loss": recipe.loss, "train": recipe.train,
        }  # fmt: skip
        usual = {name: asdict(type(settings)()) for name, settings in parts.items()}
        phase = asdict(PhaseSettings())
        return usual | {"phases": {str(n): phase for n in range(1, len(recipe.phases) + 1)}}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What has to be the same on both sides of a resume."""
        values = self.recipe.to_dict()
        for part, names in MAY_CHANGE.items():
            rows = values[part] if isinstance(values[part], list) else [values[part]]
            for row in rows:
                for name in names:
                    row.pop(name, None)
        parts = ("data", "model_name", "model", "loss_name", "loss", "phases", "train")
        phases = {str(number): phase for number, phase in enumerate(values["phases"], 1)}
        return {part: phases if part == "phases" else values[part] for part in parts} | {
            "class_names": list(self.class_names),
            "data_hashes": {split: self.hashes[split] for split in ("train", "val")},
            **({} if self.teacher is None else {"teacher_hash": self.teacher.sha256}),
        }


def fitted(recipe: Recipe, source: DataSource) -> Recipe:
    """Return the recipe with what its model has to know of the data: where landmarks come from.

    Raises:
        WordsError: another number of landmarks than the model was to have.
    """
    model = recipe.model
    if not isinstance(model, GrefelSettings) or not model.geometry:
        return recipe
    landmarks = source.train.landmarks
    points = model.points or 5 if landmarks is None else landmarks.shape[1]
    if model.points not in (0, points):
        raise WordsError(
            f"--points {model.points}, but the data has {points} landmarks a face; leave it out"
        )
    found = source_of(recipe.data, source.train)
    return replace(recipe, model=replace(model, points=points, landmark_source=found))


def landmark_facts(training: Training) -> dict[str, Any] | None:
    """Say where the landmarks are from and how many faces have all of them; None without any."""
    model = training.recipe.model
    if not isinstance(model, GrefelSettings) or not model.geometry:
        return None
    shares = {
        name: None
        if faces.landmarks is None
        else round(float(np.isfinite(faces.landmarks).all((1, 2)).mean()), 6)
        for name, faces in (("train", training.train), ("val", training.validation))
    }
    return {"source": model.landmark_source, "points": model.points, "known": shares}


def describe(run: Run, training: Training, resuming: bool, command: Sequence[str]) -> None:
    """Write what repeats the run and what it runs on, and say it."""
    recipe, state, source = training.recipe, training.state, training.source
    write_text(run.path / "recipe.yaml", recipe.to_yaml())
    names = {name: number for number, name in enumerate(training.class_names)}
    write_json(run.path / "label_map.json", names)
    parameters = sum(p.numel() for p in state.model.parameters())
    facts = {
        "command": list(command),
        "identifier": run.facts().get("identifier") or secrets.token_hex(6),
        "started": now(),
        "versions": versions(),
        "device": str(state.device),
        "precision": state.precision,
        "processes": training.ranks.count,
        "threads": torch.get_num_threads(),
        "seed": recipe.train.seed,
        "parameters": parameters,
        "started_from": dict(training.started_from) or run.facts().get("started_from"),
        "teacher": None if training.teacher is None else training.teacher.facts(),
        "data": {
            "source": recipe.data.source,
            "layout": source.layout,
            "hashes": training.hashes,
            "train": training.train.listing.counts(),
            "val": training.validation.listing.counts(),
            "val_carved_from_train": training.validation.listing.carved,
            "leaks": {
                "policy": recipe.data.leaks,
                **training.leaks.counts,
                "mirrored": dict(training.leaks.mirrored),
                "near": None if training.leaks.near is None else dict(training.leaks.near),
            },
            "landmarks": landmark_facts(training),
            "composition": source.composition(training.train.listing),
            "left_out": dict(training.train.listing.left_out),
            "unreadable": [list(item) for item in (*training.train.bad, *training.validation.bad)],
        },
    }
    if resuming:
        run.append("resumed", {"time": now(), "epoch": state.epoch, "forks": state.forks})
    run.record(**facts)
    together = f" in {training.ranks.count} processes" if training.ranks.count > 1 else ""
    training.watcher.said(
        f"{recipe.name}: {parameters:,} parameters, {len(training.train)} training and "
        f"{len(training.validation)} validation faces ({source.layout}), {state.device}{together}, "
        f"{state.precision}; run folder {run.path}"
    )


def term_columns(recipe: Recipe) -> tuple[str, ...]:
    """Columns of results.csv for the terms of a loss that has several: `loss_anchor`, ..."""
    return tuple(f"loss_{name}" for name in getattr(LOSSES[recipe.loss_name][1], "TERMS", ()))


def row_of(record: EpochRecord, scores: Scores, term_columns: Sequence[str] = ()) -> dict[str, Any]:
    """Return the row of results.csv for an epoch; terms that were not there are None."""
    terms = {name: record.terms.get(name.removeprefix("loss_")) for name in term_columns}
    return {
        "epoch": record.epoch,
        "phase": record.phase,
        "train_loss": record.train_loss,
        "train_acc": record.train_acc,
        "val_loss": scores.loss,
        "val_acc": scores.accuracy,
        "val_macro_f1": scores.macro_f1,
        "lr_backbone": record.lr_backbone,
        "lr_head": record.lr_head,
        "mean_steps": scores.mean_steps,
        "ponder_cost": record.ponder_cost,
        "epoch_time": record.seconds,
        "status": "",
        **terms,
    }


def monitored(row: Mapping[str, Any], monitor: str) -> float:
    """Return the figure that chooses; not a number where it is missing."""
    value = row[monitor]
    return float("nan") if value is None else float(value)


def tracked(record: EpochRecord, scores: Scores) -> dict[str, float]:
    """Return the figures for a tracker, under names that stay the same over releases."""
    figures = {
        "Train/Loss": record.train_loss,
        "Train/Accuracy": record.train_acc,
        "Val/Loss": scores.loss,
        "Val/Accuracy": scores.accuracy,
        "Val/MacroF1": scores.macro_f1,
        "LR/Backbone": record.lr_backbone,
        "LR/Head": record.lr_head,
        "ACT/Average_Steps": record.ponder_cost,
        "ACT/Val_Average_Steps": scores.mean_steps,
    }
    if len(record.terms) > 1:
        figures |= {f"Train/Loss/{name}": value for name, value in record.terms.items()}
    for entry in scores.per_class:
        figures[f"ACT/Steps_Per_Class/{entry.name}"] = entry.mean_steps
    return {name: float(value) for name, value in figures.items() if value is not None}


def tracker_facts(run: Run, training: Training) -> RunFacts:
    """Return what a tracker is told; its identifier stays the same over resumes."""
    return RunFacts(
        folder=run.path,
        name=run.path.name,
        config=training.recipe.to_dict(),
        identifier=str(run.facts()["identifier"]),
    )


def keep(
    run: Run, training: Training, record: EpochRecord, row: Mapping[str, Any], best: bool
) -> None:
    """Write the weights that are validated, the last and the best so far, and their spread."""
    for which in ("last", "best") if best else ("last",):
        save_bundle(
            run.path,
            which,
            training.state.smoothed,
            recipe=training.recipe.to_dict(),
            class_names=training.class_names,
            preprocessing=training.preprocessing,
            facts={
                "epoch": record.epoch,
                "metric": training.recipe.train.monitor,
                "value": row[training.recipe.train.monitor],
                "history": [*training.state.history, dict(row)],
            },
        )
    layers = training.recipe.train.weight_stats
    if layers != "off":
        path = run.path / "weight_stats.csv"
        write_text(path, extended_table(path, record.epoch, training.state.model, layers))
