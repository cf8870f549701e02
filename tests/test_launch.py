"""A training in several processes, from the door: equal to one, stopped, killed, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from command_line import TINY, digest, rows

from adafer import cli, launch
from adafer.errors import AdaferError, MachineError, WordsError
from adafer.experiment import train
from adafer.launched import Unheard
from adafer.predictions_file import read_predictions
from adafer.recipes import find_recipe

TOGETHER = [*TINY, "--precision", "fp32", "--processes", "2"]
LONG = [*TOGETHER, "--epochs", "12"]
HOSTILE = """\
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
num_processes: 7
num_machines: 2
machine_rank: 1
main_process_ip: 192.0.2.1
mixed_precision: fp8
gpu_ids: '5'
"""


@pytest.fixture
def on_one_thread(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """One thread in every process: weights are compared to the bit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for what is passed between the processes; nothing of it stays."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert not list(scratch.glob("adafer-*"))


def test_two_processes_give_what_one_gives(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    on_one_thread: None,
) -> None:
    """131 faces in batches of 32, two a step; the last 3 faces are too few to be shared."""
    (tmp_path / "accelerate").mkdir()
    (tmp_path / "accelerate/default_config.yaml").write_text(HOSTILE)
    monkeypatch.setenv("HF_HOME", str(tmp_path))  # where accelerate keeps its owner's settings
    words = [
        *TINY, "--toy-faces", "131", "--dropout", "0", "--epochs", "2", "--accumulate", "2",
        "--precision", "fp32", "--runs", str(tmp_path),
    ]  # fmt: skip
    assert cli.run(["train", *words, "--name", "one", "--quiet"]) == 0
    capsys.readouterr()
    assert cli.run(["train", *words, "--name", "two", "--processes", "2"]) == 0
    said = capsys.readouterr()
    assert "cpu in 2 processes" in said.out
    assert said.out.count("report: ") == 1
    assert said.err == ""
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for name, value in one.items():
            if name != "status" and value:
                assert float(two[name]) == pytest.approx(float(value), rel=1e-4), name
    one, two = (
        read_predictions(tmp_path / name / "eval/val/predictions.csv") for name in ("one", "two")
    )
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-5)
    facts = json.loads((tmp_path / "two/run.json").read_text())
    assert facts["processes"] == 2
    assert facts["command"][:2] == ["adafer", "train"]
    assert facts["exit_reason"] == "finished"


def started(words: list[str], runs: Path, epochs: int) -> "subprocess.Popen[str]":
    """Start a training and wait until so many of its epochs are written down."""
    process = subprocess.Popen(
        [sys.executable, "-m", "adafer", "train", *words, "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    results, end = runs / "act-graves/results.csv", time.monotonic() + 120
    while not results.is_file() or len(results.read_text().splitlines()) <= epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def test_a_signal_saves_and_both_go_on_to_the_bit(tmp_path: Path, on_one_thread: None) -> None:
    process = started(LONG, tmp_path / "broken", 1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM was received; saved, go on with" in output
    assert errors == "adafer: stopped by a signal and saved; go on with `adafer train --resume`\n"
    run = tmp_path / "broken/act-graves"
    assert 1 <= len(rows(run)) < 12
    resumed = train(resume=run)
    whole = train("act-graves", runs=tmp_path / "whole", **changes(LONG))
    assert rows(resumed.path) == rows(whole.path)
    assert digest(resumed.path) == digest(whole.path)


def changes(words: list[str]) -> dict[str, str]:
    pairs = zip(words[::2], words[1::2], strict=True)
    return {name.removeprefix("--").replace("-", "_"): value for name, value in pairs}


def test_when_the_starter_is_killed_the_others_save_and_end(tmp_path: Path) -> None:
    process = started(LONG, tmp_path, 1)
    others = psutil.Process(process.pid).children(recursive=True)
    assert len(others) >= 3  # the launcher and two processes
    process.kill()
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive
    process.communicate()
    run = tmp_path / "act-graves"
    facts = json.loads((run / "run.json").read_text())
    assert facts["exit_reason"] == "SIGTERM was received"
    assert list((run / "state").glob("step-*"))
    for place in Path(os.environ["TMPDIR"]).glob("adafer-*"):
        shutil.rmtree(place)  # what a kill leaves


def test_nobody_who_reads_is_no_reason_to_fail() -> None:
    reader, writer = os.pipe()
    stream = Unheard(os.fdopen(writer, "w", buffering=1))
    assert stream.write("heard\n") == 6
    assert os.read(reader, 100) == b"heard\n"
    os.close(reader)
    assert stream.write("unheard\n") == 8
    stream.flush()
    assert not stream.isatty()
    with suppress(BrokenPipeError):
        stream.close()


def test_when_one_process_is_killed_a_sentence_says_so_and_none_is_left(tmp_path: Path) -> None:
    process = started(LONG, tmp_path, 1)
    others = psutil.Process(process.pid).children(recursive=True)
    victim = next(p for p in others if p.environ().get("RANK") == "1")
    victim.kill()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("adafer: a training process ended without a word")
    _, alive = psutil.wait_procs(others, timeout=10)
    assert not alive


def test_wrong_data_is_one_sentence_with_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["train", *TOGETHER, "--data", str(tmp_path / "none"), "--runs", str(tmp_path)])
    said = capsys.readouterr()
    assert code == 3
    assert said.err == f"adafer: no such path: {tmp_path}/none; correct the path\n"
    assert said.out == ""


FAILING = """
import os, subprocess, sys, time
from pathlib import Path
from adafer.launch import tell
if len(sys.argv) < 5:  # the launcher
    both = [subprocess.Popen([sys.executable, *sys.argv, str(n)]) for n in (0, 1)]
    [process.wait() for process in both]
place, number = Path(sys.argv[-2]), int(sys.argv[-1])
(place.parent / f"pid-{number}").write_text(str(os.getpid()))
if number:
    print("a banner", file=sys.stderr)
    tell(place, 1, exit_code=4, sentence="out of memory", trace="the place in the code")
    sys.exit(1)
time.sleep(100)
"""


def test_what_one_process_fails_for_ends_the_others_that_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    monkeypatch.setattr(launch, "_launcher", lambda place, count: [sys.executable, str(script)])
    monkeypatch.setattr(launch, "GRACE", 0.2)
    order = launch.Order(
        recipe={}, runs="", name=None, resume=None, allow_changed=False, hours=None, track="off",
        test=False, command=(), show="all",
    )  # fmt: skip
    with pytest.raises(MachineError) as caught:
        launch.launch(order, 2)
    assert str(caught.value) == "out of memory"
    assert caught.value.__notes__ == ["the place in the code"]
    waiting = int(next(tmp_path.rglob("pid-0")).read_text())
    if psutil.pid_exists(waiting):  # ended, and not yet taken notice of by its new parent
        assert psutil.Process(waiting).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("gpus", "changed", "count"),
    [
        (0, {}, 1),
        (1, {}, 1),
        (2, {}, 2),
        (2, {"processes": 1}, 1),
        (2, {"device": "cuda"}, 2),
        (2, {"device": "cuda:1"}, 1),
        (2, {"device": "cpu"}, 1),
        (2, {"device": "cpu", "processes": 3}, 3),
        (8, {"batch_size": 64}, 4),  # 16 faces each
        (2, {"batch_size": 8}, 1),
        (2, {"batch_size": 8, "processes": 2}, 2),
        (8, {"processes": 3}, 3),
    ],
)
def test_every_gpu_is_used_that_gets_enough_faces(
    gpus: int, changed: dict[str, object], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, gpus)
    recipe = find_recipe("act-graves").changed(**{"batch_size": 64, **changed})
    assert launch.process_count(recipe) == count


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"processes": -1}, WordsError, "give 1 or more"),
        ({"processes": 3}, MachineError, "has 2 GPUs"),
        ({"processes": 2, "device": "cuda:0"}, WordsError, "cuda:0 is one device"),
        ({"processes": 2, "batch_size": 3}, WordsError, "--batch-size 4"),
        ({"device": "cuda:2"}, MachineError, "no device cuda:2"),
    ],
)
def test_processes_that_cannot_be_are_refused(
    changed: dict[str, object],
    error: type[AdaferError],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_gpus(monkeypatch, 2)
    with pytest.raises(error, match=sentence):
        launch.process_count(find_recipe("act-graves").changed(**changed))


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_a_program_that_a_launcher_started_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WordsError, match="plain python"):
        train("act-graves", runs=tmp_path, device="cpu", processes=2)
    assert not list(tmp_path.glob("act-graves*"))
