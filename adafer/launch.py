"""One training in several processes, a GPU each: started, heard and ended from here.

Accelerate's launcher starts them, in a child process and a session of its own, so that Ctrl-C
reaches only the process that a person started. That one passes a stop on through a pipe, and the
pipe's end tells of its own death. Nothing of the training happens here.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

import torch

from adafer.engine.hardware import choose_device
from adafer.engine.signals import Interrupted, StopRequest
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.recipe import Recipe
from adafer.run import write_json

LEAST_FACES = 16
"""Faces of a batch that a GPU must get for it to be used without being asked for."""
GRACE = 3.0
"""Seconds that the other processes have to end once one of them failed."""
FAILURES = {kind.exit_code: kind for kind in (AdaferError, WordsError, DataError, MachineError)}
ORDER = "order.json"
Show = Literal["all", "table", "nothing"]
"""What the person who started it sees."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a training was asked to do, in plain values."""

    recipe: dict[str, Any]
    runs: str
    name: str | None
    resume: str | None  # the run's folder
    allow_changed: bool
    hours: float | None
    track: str
    test: bool
    command: tuple[str, ...]
    show: Show


def process_count(recipe: Recipe) -> int:
    """Return how many processes train this recipe here: one, or as many as there are GPUs for it.

    Raises:
        WordsError: more processes than the batch has pairs of faces, or than one device serves.
        MachineError: fewer GPUs than processes.
    """
    wish, device, batch = recipe.train.processes, recipe.train.device, recipe.data.batch_size
    if wish < 0:
        raise WordsError(f"--processes {wish}; give 1 or more, or 0 to take every GPU")
    kind = "cuda" if device == "cuda" else choose_device(device).type
    gpus = torch.cuda.device_count() if kind == "cuda" and ":" not in device else 0
    if wish == 0:
        return max(1, min(gpus, batch // LEAST_FACES))
    if wish > 1 and (":" in device or kind not in ("cpu", "cuda")):
        raise WordsError(f"--device {device} is one device; leave it or --processes {wish} out")
    if wish > 1 and kind == "cuda" and gpus < wish:
        there = f"{gpus} GPU" if gpus == 1 else f"{gpus} GPUs"
        raise MachineError(f"--processes {wish}, and this machine has {there}; leave it out")
    if batch < 2 * wish:
        raise WordsError(
            f"--processes {wish} share a batch of {batch}; each needs two faces, so use "
            f"--batch-size {2 * wish} or more"
        )
    return wish


def launch(order: Order, count: int) -> Path:
    """Train in `count` processes and return the run's folder.

    Raises:
        Interrupted: a signal ended it, saved.
        AdaferError: what one of the processes failed for, in its words and its kind.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise WordsError(
            "this program was itself started in several processes; start it with plain python, as "
            "a training starts its own, or give --processes 1"
        )
    with tempfile.TemporaryDirectory(prefix="adafer-") as name, StopRequest() as stop:
        place = Path(name)
        write_json(place / ORDER, asdict(order))
        with _started(place, count) as process:
            _wait(process, place, stop)
        return _outcome(place, process.returncode)


def read_order(place: Path) -> Order:
    """Return the order that lies in a folder."""
    values = json.loads((place / ORDER).read_text(encoding="utf-8"))
    return Order(**{**values, "command": tuple(values["command"])})


def tell(place: Path, rank: int, **facts: Any) -> None:
    """Leave word of how a process ended, for the one that started it."""
    write_json(place / f"outcome-{rank}.json", facts)


@contextmanager
def _started(place: Path, count: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the processes; afterwards none of them is left."""
    at_terminal = sys.stdout.isatty()
    process = subprocess.Popen(
        [*_launcher(place, count), "-m", "adafer.launched", str(place)],
        stdin=subprocess.PIPE,
        stdout=None if at_terminal else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(count),
        start_new_session=True,
    )
    readers = [threading.Thread(target=_pass_on_errors, args=(process.stderr, place), daemon=True)]
    if process.stdout is not None:
        readers.append(threading.Thread(target=_pass_on, args=(process.stdout,), daemon=True))
    for reader in readers:
        reader.start()
    try:
        yield process
    finally:
        _end(process)
        for reader in readers:
            reader.join(GRACE)


def _launcher(place: Path, count: int) -> list[str]:
    """Words that start accelerate's launcher, whatever its owner has configured for others."""
    if importlib.util.find_spec("accelerate") is None:
        raise MachineError("several processes need accelerate: pip install accelerate")
    settings = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",  # on a CPU too: it means one process a device
        "num_processes": count,
        "num_machines": 1,
        "machine_rank": 0,
        "main_process_port": 0,  # a free one
        "gpu_ids": "all",
        "mixed_precision": "no",
        "use_cpu": False,
    }
    write_json(place / "accelerate.json", settings)
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--config_file", str(place / "accelerate.json"), "--num_processes", str(count)),
    ]


def _environment(count: int) -> dict[str, str]:
    """Add what the processes need to the environment; their share of the cores is one."""
    threads = max(1, (os.cpu_count() or 1) // count)
    package = Path(__file__).resolve().parent.parent
    paths = [str(package), os.environ.get("PYTHONPATH", "")]
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def _wait(process: "subprocess.Popen[bytes]", place: Path, stop: StopRequest) -> None:
    """Wait for the end; pass a signal on once, and end what is left when one process failed."""
    told, failed = False, None
    while process.poll() is None:
        if stop.signal is not None and not told:
            _say(process, stop.signal)
            told = True
        if failed is None and _failures(place):
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > GRACE:
            return
        time.sleep(0.05)


def _say(process: "subprocess.Popen[bytes]", number: int) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(bytes([number]))
        process.stdin.flush()
    except BrokenPipeError:
        return  # it has ended by itself


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End every process of the session that is still there; a launcher that ended left none."""
    if process.poll() is None or process.returncode < 0:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _pass_on(lines: IO[bytes]) -> None:
    """Write what the processes print to this process's own output, a notebook's cell maybe."""
    with lines:
        for line in lines:
            sys.stdout.write(line.decode(errors="replace"))
            sys.stdout.flush()


def _pass_on_errors(lines: IO[bytes], place: Path) -> None:
    """The same for warnings; a failure with a sentence needs no launcher's banner."""
    with lines:
        for line in lines:
            if not _failures(place):
                sys.stderr.write(line.decode(errors="replace"))


def _outcomes(place: Path) -> list[dict[str, Any]]:
    found = sorted(place.glob("outcome-*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def _failures(place: Path) -> list[dict[str, Any]]:
    return [facts for facts in _outcomes(place) if "exit_code" in facts]


def _outcome(place: Path, code: int) -> Path:
    for facts in _failures(place):
        error = FAILURES[facts["exit_code"]](facts["sentence"])
        error.add_note(facts["trace"])  # seen with --debug
        raise error
    for facts in _outcomes(place):
        if facts["signal"] is not None:
            raise Interrupted(facts["signal"])
        return Path(facts["run"])
    raise AdaferError(
        f"a training process ended without a word (exit code {code}); the lines above are its last,"
        " so resume with `adafer train --resume`, or train with --processes 1"
    )
