"""The caller of the loop: trains a recipe into a run folder, then measures it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

from adafer.bundle import load_bundle
from adafer.engine import checkpoint
from adafer.engine.journal import Results
from adafer.engine.lock import run_lock
from adafer.engine.ranks import ALONE, Ranks
from adafer.engine.signals import Interrupted, StopRequest
from adafer.engine.state import EpochRecord, State, Stopper
from adafer.engine.statistics import weights_text
from adafer.engine.trackers import Writer, open_tracker, require_tracker
from adafer.engine.train import fit
from adafer.errors import AdaferError
from adafer.evaluation import evaluate, measure, write_first_page
from adafer.kaggle import bring_run, default_runs, is_read_only
from adafer.launch import Order, Show, launch, process_count
from adafer.metrics import Scores, score
from adafer.predictions import Predictions
from adafer.progress import Console, Watcher, usual_watcher
from adafer.readiness import prepare_training, training_batches
from adafer.recipe import Recipe
from adafer.recipes import find_recipe, run_folders
from adafer.report.console import closing_block, closing_table
from adafer.run import Run, latest_run, new_run, now, open_run, require_place, write_text
from adafer.tokens import provide_tracker_token
from adafer.training import (
    Training,
    describe,
    keep,
    monitored,
    row_of,
    term_columns,
    tracked,
    tracker_facts,
)


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
    order = Order(
        recipe=chosen.to_dict(),
        runs=str(runs),
        name=name,
        resume=None if resumed is None else str(resumed.path),
        allow_changed=allow_changed,
        hours=hours,
        track=track,
        test=test,
        command=tuple(command),
        show=_shown(watcher),
    )
    count = process_count(chosen)
    if count > 1:
        return open_run(launch(order, count))
    stop = StopRequest(hours)
    run = train_ordered(chosen, order, watcher, stop)
    if stop.signal is not None:
        raise Interrupted(stop.signal)
    return cast(Run, run)


def _shown(watcher: Watcher) -> Show:
    if isinstance(watcher, Console):
        return "table" if watcher.quiet else "all"
    return "nothing"


def train_ordered(
    recipe: Recipe, order: Order, watcher: Watcher, stop: StopRequest, ranks: Ranks = ALONE
) -> Run | None:
    """Train in this process, alone or beside others; only the first of several has the run."""
    resumed = None if order.resume is None else open_run(Path(order.resume))
    goes_on = resumed is not None and checkpoint.exists(resumed.state)
    training = prepare_training(recipe, watcher, published=not goes_on, ranks=ranks)
    if not ranks.first:
        with stop:
            _accompany(training, resumed, stop, order.allow_changed)
        return None
    run = resumed or new_run(Path(order.runs), order.name or recipe.name)
    with run_lock(run.path), stop:
        if _run(run, training, stop, order):
            _close(run, training, order.test)
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


def _run(run: Run, training: Training, stop: StopRequest, order: Order) -> bool:
    """Train until the end; False if it was stopped, and saved, before."""
    state, recipe, watcher = training.state, training.recipe, training.watcher
    if order.resume is not None:
        _restore(run, training, order.allow_changed)
    describe(run, training, order.resume is not None, order.command)
    epochs = sum(phase.epochs for phase in training.phases)
    stopper = Stopper(
        monitor=recipe.train.monitor,
        patience=recipe.train.patience,
        min_delta=recipe.train.min_delta,
    )
    journal = Results(run.results, state.history, extra=term_columns(training.recipe))
    tracker = open_tracker(order.track, tracker_facts(run, training), watcher.said)
    with closing(tracker) if tracker is not None else nullcontext():
        for record in _epochs(training, stop):
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
            if training.ranks.told(stopper.enough(state)):
                watcher.said(f"no better epoch in {recipe.train.patience}; stopped early")
                return True
        watcher.rest()
    if state.epoch >= epochs:
        return True
    checkpoint.save(state, run.state, training.identity)
    run.record(stopped=now(), exit_reason=stop.reason)
    watcher.said(f"{stop.reason}; saved, go on with: adafer train --resume {run.path}")
    return False


def _epochs(training: Training, stop: StopRequest) -> Iterator[EpochRecord]:
    """Train, and hand over after each epoch."""
    batches = training_batches(training)

    def watch(moment: State) -> None:
        loss = moment.totals.mean("loss")
        training.watcher.stepped(moment.epoch + 1, moment.batch, batches.batches_per_epoch, loss)

    return fit(
        training.state, training.loss(), batches, training.phases, training.recipe.train,
        prepare=training.prepare, stop=stop, on_step=watch, may_rest=training.resting,
        ranks=training.ranks,
    )  # fmt: skip


def _accompany(
    training: Training, resumed: Run | None, stop: StopRequest, allow_changed: bool
) -> None:
    """Train beside the first process, which alone measures, writes and says when it is enough."""
    if resumed is not None:
        _restore(resumed, training, allow_changed)
    for record in _epochs(training, stop):
        if not record.finished or training.ranks.told():
            return


def _track(tracker: Writer, record: EpochRecord, scores: Scores, answers: Predictions) -> None:
    """Send the figures of an epoch and its confusion matrix."""
    tracker.write(record.epoch, tracked(record, scores))
    labels, predicted = answers.labels.tolist(), answers.predicted.tolist()
    tracker.write_matrix(record.epoch, labels, predicted, answers.class_names)


def _restore(run: Run, training: Training, allow_changed: bool) -> None:
    state, watcher = training.state, training.watcher
    if not checkpoint.exists(run.state):
        watcher.said(f"{run.path} was stopped before its first save; it starts again")
        return
    changeable = set(_dotted(training.identity)) if allow_changed else set()
    with training.ranks.one_by_one():  # the first sets damaged saves aside
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
