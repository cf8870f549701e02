"""Who may be in a run folder, and how a training is asked to stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adafer.engine import lock
from adafer.engine.lock import run_lock
from adafer.engine.signals import StopRequest
from adafer.errors import AdaferError

HOLDER = """
import os, sys, time
from pathlib import Path
from adafer.engine.lock import run_lock
with run_lock(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(30)
    print("held", flush=True)
    time.sleep(30)
"""


def holder(folder: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(params=["flock", "file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        monkeypatch.setattr(lock, "fcntl", None)  # as on Windows
    return request.param


def test_the_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    process = holder(tmp_path, "alone")
    with pytest.raises(AdaferError) as caught, run_lock(tmp_path):
        pass
    text = str(caught.value)
    assert (
        f"process {process.pid} on {socket.gethostname()} since {time.localtime().tm_year}" in text
    )
    process.kill()
    process.communicate()
    with run_lock(tmp_path):  # a dead process holds nothing
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_forked_loader_does_not_hold_the_folder_after_its_parent_died(tmp_path: Path) -> None:
    process = holder(tmp_path, "fork")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while True:  # the child may not yet have run what it does first after the fork
        try:
            with run_lock(tmp_path):
                break
        except AdaferError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    assert process.stdout is not None
    process.stdout.close()


def test_one_holder_at_a_time_and_free_again_after_it(tmp_path: Path, kind: str) -> None:
    with run_lock(tmp_path / "run"):
        with (
            pytest.raises(AdaferError, match=f"process {os.getpid()} on"),
            run_lock(tmp_path / "run"),
        ):
            pass
        with run_lock(tmp_path / "other"):
            pass
    with run_lock(tmp_path / "run"):
        pass


def test_where_flock_is_missing_a_dead_process_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = {"host": socket.gethostname(), "pid": dead.pid, "started": "yesterday"}
    (tmp_path / ".lock-held").write_text(json.dumps(stale))
    with run_lock(tmp_path):
        assert json.loads((tmp_path / ".lock-held").read_text())["pid"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_a_lock_file_of_another_machine_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    (tmp_path / ".lock-held").write_text('{"host": "far", "pid": 1, "started": "today"}')
    with pytest.raises(AdaferError, match="process 1 on far since today"), run_lock(tmp_path):
        pass


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_asks_for_a_stop(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with StopRequest() as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert stop()
            assert stop.reason == f"{name} was received"
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


TWICE = """
import os, signal
from adafer.engine.signals import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.reason, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""


def test_the_second_signal_ends_the_process_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == "SIGTERM was received\n"


def test_the_time_is_over_after_so_many_hours_and_not_before() -> None:
    now = [1000.0]
    stop = StopRequest(hours=8.5, clock=lambda: now[0])
    now[0] += 8.5 * 3600 - 1
    assert not stop()
    now[0] += 1
    assert stop()
    assert stop.reason == "the time is over"


def test_the_time_limit_does_not_follow_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest(hours=0.5)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not stop()
