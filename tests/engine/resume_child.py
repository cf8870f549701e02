"""Processes of a training that may be stopped; run by test_resume.py.

Arguments: the run folder, then what each process in turn does to itself: `-` (nothing),
`term:STEP`, `term2:STEP` (twice), `int:STEP`, `kill:STEP`, `killwrite:FILES`, `killtime:SECONDS`,
`ignore-start`. `FOLDER@deed` works on another folder; `copy:FOLDER` copies the run folder as it
is. Each process is a fork of this one, which has only imported. Writes their exit statuses. A
training that reaches its end leaves the digests of all that a resume has to give back in
`digest.json`.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, TinyModel, cross_entropy

from adafer.engine import checkpoint, vault
from adafer.engine.journal import Results
from adafer.engine.lock import run_lock
from adafer.engine.signals import StopRequest
from adafer.engine.train import State, fit

IDENTITY = {"classes": 3, "seed": 3}
PAUSE = float(os.environ.get("PAUSE", "0"))
SIGNALS = {"term": signal.SIGTERM, "int": signal.SIGINT, "kill": signal.SIGKILL}


def train(folder: Path, deed: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    what, _, when = deed.partition(":")
    if what == "killwrite":
        kill_inside_write(int(when))
    state = State.create(TinyModel(), TRAIN, PHASES)
    saves = folder / "state"
    if checkpoint.exists(saves):
        checkpoint.restore(state, saves, IDENTITY, PHASES)
    results = Results(folder / "results.csv", state.history)

    def on_step(state: State) -> None:
        time.sleep(PAUSE)
        checkpoint.save(state, saves, IDENTITY)
        if what in SIGNALS and state.step == int(when):
            os.kill(os.getpid(), SIGNALS[what])
        if what == "term2" and state.step == int(when):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    batches = MemoryBatches(ignore_start=what == "ignore-start")
    with run_lock(folder), StopRequest() as stop:
        for record in fit(state, cross_entropy, batches, PHASES, TRAIN, stop=stop, on_step=on_step):
            if not record.finished:
                break
            row = {
                "epoch": record.epoch,
                "train_loss": record.train_loss,
                "train_acc": record.train_acc,
                "lr_head": record.lr_head,
            }
            state.history.append(row)
            results.write(record.epoch, row | {"epoch_time": record.seconds})
            checkpoint.save(state, saves, IDENTITY)
        checkpoint.save(state, saves, IDENTITY)
    if state.epoch == sum(phase.epochs for phase in PHASES):
        (folder / "digest.json").write_text(json.dumps(digests(state)))


def digests(state: State) -> dict[str, str]:
    """Digest of each part that has to come back to the bit."""
    parts = {name: repr(values) for name, values in checkpoint_parts(state).items()}
    parts["history"] = repr(state.history)
    counters = state.counters()
    counters["totals"].pop("seconds")
    parts["counters"] = repr(counters)
    return {name: sha256(text.encode()).hexdigest() for name, text in parts.items()}


def checkpoint_parts(state: State) -> dict[str, list[tuple[str, bytes]]]:
    parts = {
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": {
            f"{name}/{key}": value
            for name, parameter in state.model.named_parameters()
            for key, value in state.optimiser.state.get(parameter, {}).items()
        },
    }
    return {
        part: [(name, tensor.numpy().tobytes()) for name, tensor in sorted(tensors.items())]
        for part, tensors in parts.items()
    }


def kill_inside_write(files: int) -> None:
    """Let this many files be written, then die in the middle of the next."""
    left = [files]
    whole = vault.write_through

    def write(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            whole(path, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(path, data)

    vault.write_through = write


def in_fork(folder: Path, deed: str) -> int:
    """Train in a process of its own; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train(folder, deed)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    if deed.startswith("killtime:"):
        time.sleep(float(deed.partition(":")[2]))
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    torch.set_num_threads(1)
    importlib.import_module("torch._dynamo")  # what every optimiser imports, once for all forks
    folder, statuses = Path(sys.argv[1]), []
    for deed in sys.argv[2:]:
        if deed.startswith("copy:"):
            shutil.copytree(folder, deed.partition(":")[2])
            continue
        where, _, what = deed.rpartition("@")
        statuses.append(in_fork(Path(where) if where else folder, what))
    sys.stdout.write(json.dumps(statuses))


if __name__ == "__main__":
    main()
