"""Where figures may go besides results.csv: writers with one method, each behind its extra.

Tracking never asks, never stops a training, and sends neither code nor the command line. Names of
figures come from the caller. The packages are optional, so each is imported by its own factory.
"""

import contextlib
import io
import math
import netrc
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from adafer.errors import WordsError


class Writer(Protocol):
    """Takes figures, at most once a step."""

    def write(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Write the figures of a step (of an epoch, mostly)."""
        ...

    def write_matrix(
        self, step: int, labels: Sequence[int], answers: Sequence[int], names: Sequence[str]
    ) -> None:
        """Write which label got which answer, where the tracker can show that."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a tracker is told about a run."""

    folder: Path
    name: str
    config: Mapping[str, Any]
    project: str = "adafer"
    mode: str | None = None  # wandb: online, offline or disabled; None asks the environment
    identifier: str | None = None  # stable over resumes, so that a run goes on where it was


Say = Callable[[str], None]


def open_tracker(name: str, facts: RunFacts, say: Say = print) -> Writer | None:
    """Open the tracker of this name; None for `off`, and where it turns out to be off.

    One line through `say` tells what is on. Errors of the tracker later on are told once; the
    training goes on.

    Raises:
        WordsError: an unknown name, or one whose package is not installed.
    """
    if name == "off":
        return None
    if name not in TRACKERS:
        known = ", ".join(("off", *TRACKERS))
        raise WordsError(f"{name!r} is no tracker; use --track with one of {known}")
    try:
        return TRACKERS[name](facts, say)
    except ImportError:
        raise WordsError(_not_installed(name)) from None


def require_tracker(name: str) -> None:
    """Refuse a tracker whose package is not installed, before anything is written.

    Raises:
        WordsError: with the command that installs it.
    """
    if name in TRACKERS and find_spec(name) is None:
        raise WordsError(_not_installed(name))


def _not_installed(name: str) -> str:
    return f"--track {name} needs its package; install it with: pip install 'adafer[{name}]'"


class _Guarded:
    """A writer whose named errors are told once and end the tracking, not the training."""

    def __init__(
        self,
        name: str,
        write: Callable[[int, dict[str, float]], object],
        close: Callable[[], object],
        errors: tuple[type[Exception], ...],
        say: Say,
        write_matrix: Callable[[int, list[int], list[int], list[str]], object] | None = None,
    ) -> None:
        self._name, self._write, self._close = name, write, close
        self._write_matrix = write_matrix
        self._errors, self._say = errors, say
        self._broken = False

    def write(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Write the figures that are finite numbers."""
        numbers = {
            name: float(value)
            for name, value in figures.items()
            if value is not None and math.isfinite(value)
        }
        self._try(lambda: self._write(step, numbers))

    def write_matrix(
        self, step: int, labels: Sequence[int], answers: Sequence[int], names: Sequence[str]
    ) -> None:
        """Write which label got which answer; nothing where the tracker has no such picture."""
        matrix = self._write_matrix
        if matrix is not None:
            self._try(lambda: matrix(step, list(labels), list(answers), list(names)))

    def close(self) -> None:
        """Send what is left."""
        self._try(self._close)

    def _try(self, action: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            action()
        except self._errors as error:
            self._broken = True
            self._say(f"{self._name}: stopped, {_brief(error)}; results.csv goes on")


def _wandb(facts: RunFacts, say: Say) -> Writer | None:
    import wandb

    mode, reason = wandb_mode(facts.mode, wandb.Settings().base_url)
    if mode == "disabled":
        say(f"wandb: off ({reason})")
        return None

    def start(chosen: str) -> Any:
        settings = wandb.Settings(
            mode=chosen,
            silent=True,
            console="off",
            init_timeout=30,
            login_timeout=30,
            disable_code=True,
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            x_disable_meta=True,
        )
        goes_on: dict[str, Any] = {}
        if chosen == "online" and facts.identifier is not None:
            goes_on = {"id": facts.identifier, "resume": "allow"}
        folder = str(facts.folder)
        config = dict(facts.config)
        return wandb.init(
            project=facts.project,
            name=facts.name,
            dir=folder,
            config=config,
            settings=settings,
            **goes_on,
        )

    try:
        run = start(mode)
    except wandb.errors.Error as error:
        if mode != "online":
            say(f"wandb: off ({_brief(error)})")
            return None
        mode, reason = "offline", _brief(error)
        run = start(mode)
    sync = f"; send it later with: wandb sync {Path(run.dir).parent}" if mode == "offline" else ""
    say(f"wandb: {mode} ({reason}){sync}")
    errors = (wandb.errors.Error, OSError, ValueError)

    def write_matrix(step: int, labels: list[int], answers: list[int], names: list[str]) -> None:
        picture = wandb.plot.confusion_matrix(y_true=labels, preds=answers, class_names=names)
        run.log({"Val/Confusion": picture}, step=step)

    def write(step: int, figures: dict[str, float]) -> None:
        run.log(figures, step=step)

    return _Guarded("wandb", write, run.finish, errors, say, write_matrix)


def wandb_mode(wanted: str | None, base_url: str) -> tuple[str, str]:
    """Mode of wandb and the reason: the flag, WANDB_MODE, WANDB_API_KEY, a stored login.

    Without a key it is never online, so that it never asks for one.
    """
    wanted = wanted or os.environ.get("WANDB_MODE")
    if wanted in ("disabled", "offline"):
        return wanted, "as asked"
    if os.environ.get("WANDB_API_KEY"):
        return "online", "key from WANDB_API_KEY"
    if _stored_login(base_url):
        return "online", "stored login"
    return "offline", "no API key found"


def _stored_login(base_url: str) -> bool:
    host = urlparse(base_url).hostname or ""
    path = Path(
        os.environ.get("NETRC") or Path.home() / (".netrc" if os.name != "nt" else "_netrc")
    )
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _trackio(facts: RunFacts, say: Say) -> Writer:
    import trackio

    with contextlib.redirect_stdout(io.StringIO()):
        run = trackio.init(
            project=facts.project, name=facts.name, config=dict(facts.config), embed=False
        )
    say(f'trackio: on, here only; look with: trackio show --project "{facts.project}"')

    def close() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            run.finish()

    errors = (OSError, ValueError, RuntimeError, sqlite3.Error)
    return _Guarded(
        "trackio", lambda step, figures: run.log(figures, step=step), close, errors, say
    )


def _tensorboard(facts: RunFacts, say: Say) -> Writer:
    from torch.utils.tensorboard import SummaryWriter

    folder = facts.folder / "tensorboard"
    board: Any = SummaryWriter(str(folder))

    def write(step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            board.add_scalar(name, value, step)
        board.flush()

    say(f"tensorboard: on; look with: tensorboard --logdir {folder}")
    return _Guarded("tensorboard", write, board.close, (OSError, ValueError), say)


def _mlflow(facts: RunFacts, say: Say) -> Writer | None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    address = os.environ.get("MLFLOW_TRACKING_URI")
    if address is None:
        # From 3.17 on the file store wants this word; a data base would want the whole of mlflow.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        address = (facts.folder / "mlruns").resolve().as_uri()
    # The client, not mlflow.start_run: that one would tag the run with the program and commit.
    client = MlflowClient(tracking_uri=address)
    errors = (MlflowException, OSError, ValueError)
    try:
        known = client.get_experiment_by_name(facts.project)
        experiment = known.experiment_id if known else client.create_experiment(facts.project)
        run = client.create_run(experiment, run_name=facts.name).info.run_id
    except errors as error:
        say(f"mlflow: off ({_brief(error)}); MLFLOW_TRACKING_URI names the server")
        return None

    def write(step: int, figures: dict[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        client.log_batch(run, metrics=metrics)

    say(f"mlflow: on at {address}")
    return _Guarded("mlflow", write, lambda: client.set_terminated(run), errors, say)


def _brief(error: Exception) -> str:
    """First line of an error, without what wandb adds as advice."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


TRACKERS: dict[str, Callable[[RunFacts, Say], Writer | None]] = {
    "wandb": _wandb,
    "trackio": _trackio,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
}
"""Tracker by name; the `--track` flag."""
