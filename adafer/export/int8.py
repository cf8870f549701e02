"""A float ONNX file in 8 bits, kept only if it answers nearly as well on the validation faces.

Legend: N faces, S side of a face in pixels.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from adafer.bundle import Bundle
from adafer.data.dataset import FaceDataset
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.engine.batches import wants_landmarks
from adafer.errors import AdaferError, WordsError
from adafer.evaluation import listing_of
from adafer.export.attempts import FAILURES, short_reason
from adafer.export.files import write_export
from adafer.export.measure import measure_onnx
from adafer.export.quantise import (
    Calibration,
    Kind,
    Layer,
    fitting_kind,
    layers_of,
    prepared,
    quantised,
)
from adafer.metrics import score
from adafer.predictions import Predictions
from adafer.progress import Silence, Watcher
from adafer.recipe import Recipe

Feeds = dict[str, NDArray[np.float32]]
"""Inputs of a graph by name, N rows each."""

_SEED = 0  # of the choice of calibration faces


@dataclass(frozen=True, kw_only=True)
class Int8Settings:
    """How a file is quantised, and how much accuracy that may cost."""

    kind: Literal["auto", "static", "dynamic"] = "auto"
    calibration: Calibration = "entropy"
    calibration_faces: int = 200
    per_channel: bool = True
    max_drop: float = 0.02  # of accuracy on the validation faces, as a share

    def __post_init__(self) -> None:
        if self.calibration_faces < 1:
            raise WordsError("--calibration must be 1 face or more; 200 is usual")
        if not 0 <= self.max_drop <= 1:
            raise WordsError("--max-drop is a share of the faces, from 0 to 1; 0.02 is usual")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one file is worth on the validation faces."""

    size: int  # bytes
    accuracy: float
    macro_f1: float
    mean_steps: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the answers of the 8-bit file differ from those of the float file."""

    same_class: float  # share of the faces
    same_steps: float | None  # share of the faces
    lost: int  # faces right before and wrong after
    won: int  # faces wrong before and right after


@dataclass(frozen=True, kw_only=True)
class Int8Report:
    """What was written, how, and what it costs."""

    path: Path
    sha256: str
    made_of: str  # SHA-256 of the float file
    kind: Kind
    settings: Int8Settings
    calibrated_on: int  # faces of train; 0 where the kind needs none
    float_layers: tuple[str, ...]  # weights of the layers that stayed float
    layers: int
    faces: int  # of validation
    before: Measured
    after: Measured
    agreement: Agreement
    tries: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain types."""
        return asdict(self) | {
            "path": self.path.name,
            "split": "val",
            "float_layers": list(self.float_layers),
            "tries": list(self.tries),
        }

    def __str__(self) -> str:
        smaller = self.before.size / self.after.size
        ranges = f", ranges of {self.calibrated_on} training faces" if self.calibrated_on else ""
        return (
            f"{self.path}  {self.after.size / 1e6:.2f} MB ({smaller:.1f} times smaller), int8 "
            f"{self.kind}{ranges}; {self.agreement.lost} of {self.faces} validation faces lost, "
            f"{self.agreement.won} won"
        )


@dataclass(frozen=True)
class _Trial:
    """One way to quantise, and what came of it."""

    program: onnx.ModelProto
    float_layers: tuple[Layer, ...]
    after: Measured
    agreement: Agreement


def export_int8(
    bundle: Bundle,
    float_path: Path,
    settings: Int8Settings | None = None,
    *,
    data: str | None = None,
    watcher: Watcher | None = None,
) -> Int8Report:
    """Write `NAME.int8.onnx` beside an exported file and return what it costs.

    Static ranges come from faces of the training split, without those that validation holds too.
    Both files then answer for the validation split of the model's data, or of `data`. Where all
    layers in 8 bits cost more than `max_drop` of accuracy, the first, the last and both are left
    float, in turn. `kind="auto"` is dynamic for transformers and static for all others.

    Raises:
        DataError: no such data, or other classes than the model's.
        AdaferError: if every way costs more than is allowed; then no file is written.
    """
    settings, watcher = settings or Int8Settings(), watcher or Silence()
    recipe = _recipe(bundle, data)
    listing = listing_of(recipe, "val", bundle)
    validation = FaceDataset(listing, bundle.preprocessing, recipe.data.max_bad)
    original = float_path.read_bytes()
    program = prepared(original)
    kind: Kind = settings.kind if settings.kind != "auto" else fitting_kind(layers_of(program))
    feeds: Feeds = {"images": np.empty((0, 3, 1, 1), np.float32)}
    if kind == "static":
        feeds = _calibration_faces(bundle, recipe, validation, settings.calibration_faces)
    sample = len(feeds["images"])
    ranges = f"ranges of {sample} training faces, " if sample else ""
    watcher.said(f"int8 {kind}: {ranges}measured on {len(validation)} validation faces")
    answers = measure_onnx(original, validation)
    before = _measured(answers, len(original))
    known, tries = (answers, before, validation), list[str]()
    trial = _first_good(program, feeds, kind, settings, known, tries, watcher)
    made = _described(trial, kind, before, len(validation))
    report = Int8Report(
        path=float_path.with_suffix(".int8.onnx"),
        sha256=hashlib.sha256(made).hexdigest(),
        made_of=hashlib.sha256(original).hexdigest(),
        kind=kind,
        settings=settings,
        calibrated_on=sample,
        float_layers=tuple(layer.weight for layer in trial.float_layers),
        layers=len(layers_of(program)),
        faces=len(validation),
        before=before,
        after=replace(trial.after, size=len(made)),
        agreement=trial.agreement,
        tries=tuple(tries),
    )
    proof = {"sha256": report.sha256, "size": len(made), "parity": None}
    write_export(report.path, made, bundle.class_names, proof, report.to_json())
    watcher.show(comparison_table(report))
    return report


def comparison_table(report: Int8Report) -> Table:
    """Return what the float and the 8-bit file are worth, side by side."""
    title = f"Before and after 8 bits, on {report.faces} validation faces"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    steps = report.before.mean_steps is not None
    table.add_column("file")
    for name in ("MB", "accuracy", "macro F1", *(("mean steps",) if steps else ()), "same answer"):
        table.add_column(name, justify="right")
    rows = (("float32", report.before, 1.0), ("int8", report.after, report.agreement.same_class))
    for name, measured, same in rows:
        figures = [f"{measured.size / 1e6:.2f}", f"{measured.accuracy:.1%}"]
        figures.append(f"{measured.macro_f1:.1%}")
        figures += [f"{measured.mean_steps:.2f}"] if measured.mean_steps is not None else []
        table.add_row(name, *figures, f"{same:.1%}")
    return table


def _first_good(
    program: onnx.ModelProto,
    feeds: Feeds,
    kind: Kind,
    settings: Int8Settings,
    known: tuple[Predictions, Measured, FaceDataset],
    tries: list[str],
    watcher: Watcher,
) -> _Trial:
    """Quantise in one way after another until one costs no more than is allowed."""
    answers, before, validation = known
    accuracies: list[float] = []
    for told, float_layers in _ways(layers_of(program), kind):
        try:
            small = quantised(
                program,
                feeds,
                kind=kind,
                calibration=settings.calibration,
                per_channel=settings.per_channel,
                float_layers=float_layers,
            )
            data = small.SerializeToString()
            theirs = measure_onnx(data, validation)
            after = _measured(theirs, len(data))
        except FAILURES as error:
            tries.append(f"{told}: failed: {short_reason(error)}")
            watcher.said(tries[-1])
            continue
        accuracies.append(after.accuracy)
        agreement = _agreement(answers, theirs)
        tries.append(
            f"{told}: accuracy {before.accuracy:.1%} before, {after.accuracy:.1%} after; "
            f"{agreement.same_class:.1%} of the faces get the same answer"
        )
        watcher.said(tries[-1])
        if before.accuracy - after.accuracy <= settings.max_drop:
            return _Trial(small, float_layers, after, agreement)
    raise AdaferError(_refusal(kind, before.accuracy, accuracies, tries, settings.max_drop))


def _refusal(
    kind: Kind, before: float, accuracies: list[float], tries: list[str], max_drop: float
) -> str:
    ways_out = {
        "static": "more faces with --calibration, another --calibration-method, --int8 dynamic",
        "dynamic": "--int8 static",
    }
    found = f"the last: {tries[-1]}"
    if accuracies:
        found = f"the best has an accuracy of {max(accuracies):.1%} instead of {before:.1%}"
    return (
        f"no 8-bit file was kept: none of {len(tries)} ways loses at most {max_drop:.1%} of the "
        f"faces ({found}); try {ways_out[kind]} or a larger --max-drop, or use the float file"
    )


def _ways(layers: tuple[Layer, ...], kind: Kind) -> list[tuple[str, tuple[Layer, ...]]]:
    """Which layers stay float: none, then those that are known to be sensitive."""
    held = [layer for layer in layers if kind == "static" or layer.operation != "Conv"]
    ways: list[tuple[str, tuple[Layer, ...]]] = [(f"all {len(held)} layers in 8 bits", ())]
    if len(held) > 1:
        ways += [("first layer float", (held[0],)), ("last layer float", (held[-1],))]
    if len(held) > 2:
        ways.append(("first and last layer float", (held[0], held[-1])))
    return ways


def _recipe(bundle: Bundle, data: str | None) -> Recipe:
    return Recipe.from_dict(bundle.recipe).measured_on(data)


def _calibration_faces(
    bundle: Bundle, recipe: Recipe, validation: FaceDataset, count: int
) -> Feeds:
    """Normalised faces (N, 3, S, S) of the training split that validation does not hold.

    With their landmarks (N, P, 2), where the model reads some.
    """
    listing = listing_of(recipe, "train", bundle)
    chosen = np.random.default_rng(_SEED).permutation(len(listing))[:count]
    sample = FaceDataset(listing.take(np.sort(chosen)), bundle.preprocessing, recipe.data.max_bad)
    sample = settle_leaks(sample, find_leaks(sample, [validation]), "drop")
    rows = np.arange(len(sample))
    feeds = {"images": bundle.preprocessing.normalised(sample.faces(rows))}
    if wants_landmarks(bundle.model):
        feeds["landmarks"] = sample.points(rows, int(cast(int, bundle.model.points)))
    return feeds


def _measured(predictions: Predictions, size: int) -> Measured:
    scores = score(predictions, bootstrap=0)
    return Measured(
        size=size,
        accuracy=scores.accuracy,
        macro_f1=scores.macro_f1,
        mean_steps=scores.mean_steps,
    )


def _agreement(before: Predictions, after: Predictions) -> Agreement:
    right_before = before.predicted == before.labels
    right_after = after.predicted == after.labels
    same_steps = None
    if before.steps is not None and after.steps is not None:
        same_steps = float((before.steps == after.steps).mean())
    return Agreement(
        same_class=float((before.predicted == after.predicted).mean()),
        same_steps=same_steps,
        lost=int((right_before & ~right_after).sum()),
        won=int((~right_before & right_after).sum()),
    )


def _described(trial: _Trial, kind: Kind, before: Measured, faces: int) -> bytes:
    """The file with metadata that say what it is: not equal to PyTorch, but measured."""
    figures = {
        "kind": kind,
        "validation_faces": faces,
        "accuracy_float": before.accuracy,
        "accuracy_int8": trial.after.accuracy,
        "same_class": trial.agreement.same_class,
    }
    told = {entry.key: entry.value for entry in trial.program.metadata_props}
    kept = {key: value for key, value in told.items() if not key.startswith("onnx.")}
    del trial.program.metadata_props[:]
    for key, value in (kept | {"verified": "false", "quantisation": json.dumps(figures)}).items():
        trial.program.metadata_props.add(key=key, value=value)
    trial.program.producer_name, trial.program.producer_version = "adafer", told["adafer"]
    data: bytes = trial.program.SerializeToString()
    return data
