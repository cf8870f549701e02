"""The caller of the loop: trains a recipe into a run folder, then measures it."""

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from adafer.bundle import load_bundle
from adafer.data import DataSource, open_data
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.files import SplitMissing
from adafer.data.label_noise import flipped
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.data.loader import Loader
from adafer.engine import checkpoint, hardware
from adafer.engine.batches import Batches
from adafer.engine.journal import Results
from adafer.engine.lock import run_lock
from adafer.engine.optim import in_phases
from adafer.engine.signals import StopRequest
from adafer.engine.state import EpochRecord, State, Stopper
from adafer.engine.statistics import weights_text
from adafer.engine.trackers import Writer, open_tracker, require_tracker
from adafer.engine.train import fit
from adafer.errors import AdaferError, DataError, WordsError
from adafer.evaluation import evaluate, measure, write_first_page
from adafer.image import Preprocessing
from adafer.kaggle import bring_run, default_runs, is_read_only
from adafer.metrics import Scores, score
from adafer.models import build, fill_published, preprocessing_for
from adafer.predictions import Predictions
from adafer.preparation import open_teacher
from adafer.progress import Watcher, usual_watcher
from adafer.recipe import Recipe
from adafer.recipes import find_recipe, run_folders
from adafer.report.console import closing_block, closing_table
from adafer.run import Run, latest_run, new_run, now, open_run, require_place, write_text
from adafer.tokens import provide_tracker_token
from adafer.training import (
    Training,
    describe,
    fitted,
    keep,
    monitored,
    row_of,
    term_columns,
    tracked,
    tracker_facts,
)

LEARNS_NOTHING = {"confidence": ("halting",), "none": ("halting",)}
"""Halting rules that read no halting unit, so that its parameters get no gradient."""


def train(
    recipe: str | Recipe = "act-graves",
    *,
    runs: str | Path | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    allow_changed: bool = False,
    hours: float | None = None,
    track: str = "off",
    test: bool = False,
    watcher: Watcher | None = None,
    command: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """Train a recipe and return its run: `train("act-graves", data="faces/", lr=1e-3)`.

    `changes` are the recipe's flat names, the same words as on the command line. `runs` is where
    runs are kept, by default the folder that the recipe names. `resume` is a run's folder, or ""
    for the newest one there; it goes on exactly where it stopped, and more `epochs` extend a
    finished run. The best epoch by validation is measured at the end; the
    test split is measured only if `test` is true. `watcher` shows the progress: `Console()` or
    `Silence()` of adafer.progress; by default a prompt and a notebook see it, a program does not.

    Raises:
        WordsError: an unknown recipe, setting or value.
        DataError: data that is missing, broken or of one class.
        MachineError: a device or memory that is not there.
        AdaferError: a loss that is not finite, a damaged checkpoint, a folder in use.
    """
    watcher = watcher or usual_watcher()
    kept = None if runs is None else Path(runs)
    resumed = None if resume is None else _resumed(resume, kept, watcher)
    if resumed is not None:
        recipe = resumed.recipe()
    chosen = (find_recipe(recipe) if isinstance(recipe, str) else recipe).changed(**changes)
    require_tracker(track)
    runs = kept or default_runs(chosen.runs)
    require_place(runs if resumed is None else resumed.path)
    provide_tracker_token(track, watcher.said)
    goes_on = resumed is not None and checkpoint.exists(resumed.state)
    training = prepare_training(chosen, watcher, published=not goes_on)
    run = resumed or new_run(runs, name or chosen.name)
    with run_lock(run.path), StopRequest(hours) as stop:
        finished = _run(run, training, stop, resumed is not None, allow_changed, track, command)
        if finished:
            _close(run, training, test)
    if stop.signal is not None:
        raise Interrupted(stop.signal)
    return run


def _resumed(resume: str | Path, runs: Path | None, watcher: Watcher) -> Run:
    """Return the run to go on with; one among Kaggle's inputs is copied to where runs are kept."""
    folders = run_folders() if runs is None else (runs,)
    run = open_run(Path(resume)) if str(resume) else latest_run(*folders)
    if is_read_only(run.path):
        brought = bring_run(run.path, folders[0])
        watcher.said(f"{run.path} is read-only; it goes on as {brought}")
        return open_run(brought)
    return run


class Interrupted(AdaferError):
    """A training that a signal ended, saved; its exit code is the shell's, 128 + the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped by a signal and saved; go on with `adafer train --resume`")
        self.exit_code = 128 + signal_number


def prepare_training(recipe: Recipe, watcher: Watcher, *, published: bool = True) -> Training:
    """Open the data and build the model; nothing is written yet.

    Published weights are fetched only if `published` and if the recipe asks for them.
    """
    settings = recipe.data
    preprocessing = preprocessing_for(recipe.model, settings.img_size, settings.grey, settings.crop)
    source = open_data(settings)
    recipe = fitted(recipe, source)
    train_faces = FaceDataset(source.train, preprocessing, recipe.data.max_bad)
    validation = FaceDataset(source.validation, preprocessing, recipe.data.max_bad)
    for note in (*train_faces.listing.notes, *validation.listing.notes):
        watcher.said(f"note: {note}")
    others = [validation, *_test_faces(source, preprocessing, recipe, watcher)]
    train_faces = _without_own_copies(train_faces, validation, watcher)
    leaks = find_leaks(train_faces, others)
    train_faces = settle_leaks(train_faces, leaks, recipe.data.leaks)
    for note in leaks.notes(recipe.data.leaks):
        watcher.said(f"note: {note}")
    if settings.label_noise:
        noisy = flipped(train_faces.listing, settings.label_noise, recipe.train.seed)
        train_faces = train_faces.relabelled(noisy)
        watcher.said(f"note: {noisy.notes[-1]}")
    _check_lengths(recipe, len(source.class_names))
    hardware.set_seed(recipe.train.seed, recipe.train.deterministic)
    model = build(recipe.model, len(source.class_names), preprocessing.size)
    started_from = fill_published(model, recipe.model) if published else {}
    if started_from:
        watcher.said(f"weights of {started_from['backbone']} from {started_from['source']}")
    phases = in_phases(recipe.phases)
    state = State.create(model, recipe.train, phases)
    teacher = open_teacher(recipe, preprocessing, source.class_names, state.device)
    _check_batches(model, settings.batch_size, len(train_faces))
    return Training(
        recipe=recipe,
        source=source,
        preprocessing=preprocessing,
        train=train_faces,
        validation=validation,
        leaks=leaks,
        state=state,
        phases=phases,
        started_from=started_from,
        teacher=teacher,
        watcher=watcher,
    )


def _without_own_copies(
    train: FaceDataset, validation: FaceDataset, watcher: Watcher
) -> FaceDataset:
    """Leave copies of the validation faces out of train where the project itself drew those."""
    if not validation.listing.carved:
        return train
    copies = find_leaks(train, [validation])
    if copies.train_indices:
        watcher.said(f"note: {copies.sentence()}; they are left out, as validation was drawn here")
    return settle_leaks(train, copies, "drop")


def _test_faces(
    source: DataSource, preprocessing: Preprocessing, recipe: Recipe, watcher: Watcher
) -> list[FaceDataset]:
    """Return the test faces, to be compared with train and for nothing else; [] without any."""
    try:
        return [FaceDataset(source.test(), preprocessing, recipe.data.max_bad)]
    except SplitMissing:
        return []
    except DataError as error:
        watcher.said(f"note: train was not compared with test: {error}")
        return []


def _check_batches(model: nn.Module, batch_size: int, faces: int) -> None:
    """Refuse what a batch norm that learns cannot: the statistics of a single face."""
    norms = (part for part in model.modules() if isinstance(part, BatchNorm))
    if min(batch_size, faces) == 1 and any(norm.training for norm in norms):
        raise WordsError(
            "BatchNorm cannot learn from a batch of one face; use --batch-size 2 or more, or "
            "gather gradients with --accumulate"
        )


def _check_lengths(recipe: Recipe, classes: int) -> None:
    weights = getattr(recipe.loss, "ponder_class_weights", ())
    if weights and len(weights) != classes:
        raise WordsError(f"--ponder-class-weights has {len(weights)} values for {classes} classes")


def _run(
    run: Run,
    training: Training,
    stop: StopRequest,
    resuming: bool,
    allow_changed: bool,
    track: str,
    command: Sequence[str],
) -> bool:
    """Train until the end; False if it was stopped, and saved, before."""
    state, recipe, watcher = training.state, training.recipe, training.watcher
    if resuming:
        _restore(run, training, allow_changed)
    describe(run, training, resuming, command)
    epochs = sum(phase.epochs for phase in training.phases)
    batches = training_batches(training)
    stopper = Stopper(
        monitor=recipe.train.monitor,
        patience=recipe.train.patience,
        min_delta=recipe.train.min_delta,
    )
    resting = LEARNS_NOTHING.get(getattr(recipe.model, "halting", ""), ())

    def watch(moment: State) -> None:
        loss = moment.totals.mean("loss")
        watcher.stepped(moment.epoch + 1, moment.batch, batches.batches_per_epoch, loss)

    journal = Results(run.results, state.history, extra=term_columns(training.recipe))
    tracker = open_tracker(track, tracker_facts(run, training), watcher.said)
    with closing(tracker) if tracker is not None else nullcontext():
        records = fit(
            state, training.loss(), batches, training.phases, recipe.train,
            prepare=training.prepare, stop=stop, on_step=watch, may_rest=resting,
        )  # fmt: skip
        for record in records:
            if not record.finished:
                break
            answers = measure(state.smoothed, training.validation, recipe, state.device)
            scores = score(answers, bootstrap=0)
            row = row_of(record, scores, term_columns(recipe))
            best = stopper.judge(state, record.epoch, monitored(row, recipe.train.monitor))
            row["status"] = "best" if best else ""
            keep(run, training, record, row, best)
            journal.write(record.epoch, row)
            if tracker is not None:
                _track(tracker, record, scores, answers)
            state.history.append(row)
            checkpoint.save(state, run.state, training.identity)
            watcher.epoch(row, epochs)
            if stopper.enough(state):
                watcher.said(f"no better epoch in {recipe.train.patience}; stopped early")
                return True
        watcher.rest()
    if state.epoch >= epochs:
        return True
    checkpoint.save(state, run.state, training.identity)
    run.record(stopped=now(), exit_reason=stop.reason)
    watcher.said(f"{stop.reason}; saved, go on with: adafer train --resume {run.path}")
    return False


def _track(tracker: Writer, record: EpochRecord, scores: Scores, answers: Predictions) -> None:
    """Send the figures of an epoch and its confusion matrix."""
    tracker.write(record.epoch, tracked(record, scores))
    labels, predicted = answers.labels.tolist(), answers.predicted.tolist()
    tracker.write_matrix(record.epoch, labels, predicted, answers.class_names)


def training_batches(training: Training) -> Batches:
    """Return the training faces as batches, varied one by one or all at once on the device."""
    data, seed = training.recipe.data, training.recipe.train.seed
    if data.augment_engine == "batch":
        return BatchedLoader(training.train, data, seed=seed, device=training.state.device)
    return Loader(training.train, data, seed=seed, train=True)


def _restore(run: Run, training: Training, allow_changed: bool) -> None:
    state, watcher = training.state, training.watcher
    if not checkpoint.exists(run.state):
        watcher.said(f"{run.path} was stopped before its first save; it starts again")
        return
    changeable = set(_dotted(training.identity)) if allow_changed else set()
    place = checkpoint.restore(
        state,
        run.state,
        training.identity,
        training.phases,
        allow_changed=changeable,
        defaults=training.defaults,
        warn=watcher.said,
    )
    watcher.said(f"resumed from {place}: epoch {state.epoch}, batch {state.batch}")


def _dotted(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for name, value in values.items():
        names.append(prefix + name)
        if isinstance(value, Mapping):
            names += _dotted(value, f"{prefix}{name}.")
    return names


def _close(run: Run, training: Training, test: bool) -> None:
    """Measure the best epoch, write the page, print the closing block."""
    state, recipe, watcher = training.state, training.recipe, training.watcher
    if state.best_epoch is None:
        raise AdaferError("no epoch had a figure that is a number; train with a smaller --lr")
    model = load_bundle(run.path, "best").model.to(state.device)
    if recipe.train.weight_stats != "off":
        write_text(run.path / "final_weights.txt", weights_text(model.state_dict()))
    run.record(finished=now(), best_epoch=state.best_epoch, exit_reason="finished")
    predictions = measure(model, training.validation, recipe, state.device, every_step=True)
    scores = write_first_page(run, training.validation, predictions)
    steps = getattr(recipe.model, "max_steps", None)
    watcher.show(closing_table(scores, max_steps=steps))
    tested = None
    if test:
        tested = evaluate(run.path, split="test", device=recipe.train.device, watcher=watcher)
    seconds = [float(row["epoch_time"]) for row in state.history]
    best = next(row for row in state.history if row["epoch"] == state.best_epoch)
    lines = closing_block(
        best_macro_f1=best["val_macro_f1"],
        best_accuracy=best["val_acc"],
        best_epoch=state.best_epoch,
        sizes={
            "train": len(training.train),
            "val": len(training.validation),
            "test": None if tested is None else tested.n,
        },
        epoch_seconds=seconds,
        total_seconds=sum(seconds),
        validation=scores,
        test=tested,
    )
    for line in lines:
        watcher.said(line)
    watcher.said(f"report: {run.report}")
