"""A training that was stopped, however, ends with the same bits as one that was not."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import PHASES, MemoryBatches

CHILD = Path(__file__).with_name("resume_child.py")
STEPS = sum(p.epochs for p in PHASES) * -(-MemoryBatches().batches_per_epoch // 2)


def start(folder: Path, *deeds: str, pause: float = 0) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PAUSE": str(pause)}
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), *deeds],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def statuses(process: subprocess.Popen[str], timeout: float = 120) -> list[int]:
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def digest(folder: Path) -> dict[str, str]:
    return json.loads((folder / "digest.json").read_text())


def rows_without_times(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "epoch_time"} for row in csv.DictReader(file)]


def test_a_run_stopped_four_ways_gives_the_bits_of_an_unbroken_one(tmp_path: Path) -> None:
    moments = random.Random(5).sample(range(1, STEPS - 2), 3)
    term, interrupt, kill = sorted(moments)
    folder, control, unbroken = (tmp_path / name for name in ("run", "control", "unbroken"))
    deeds = (
        f"{unbroken}@-",
        f"term:{term}",
        f"copy:{control}",
        f"int:{interrupt}",
        f"kill:{kill}",
        "killwrite:2",  # inside the next save
        "-",
        f"{control}@ignore-start",  # a loader that begins its epoch again
    )
    assert statuses(start(folder, *deeds)) == [0, 0, 0, -9, -9, 0, 0]
    assert digest(folder) == digest(unbroken)
    assert rows_without_times(folder) == rows_without_times(unbroken)
    assert len(rows_without_times(folder)) == sum(phase.epochs for phase in PHASES)
    right, wrong = digest(unbroken), digest(control)
    assert {name for name in right if wrong[name] != right[name]} >= {"model", "history"}


@pytest.mark.slow
def test_two_hundred_kills_at_random_times(tmp_path: Path) -> None:
    unbroken = tmp_path / "unbroken"
    assert statuses(start(unbroken, "-")) == [0]
    chance = random.Random(0)
    kills, runs = 0, 0
    while kills < 200:
        folder = tmp_path / f"run-{runs}"
        runs += 1
        deeds = [
            f"killwrite:{chance.randrange(20)}"
            if chance.random() < 1 / 3
            else f"killtime:{chance.uniform(0.02, 0.6):.3f}"
            for _ in range(12)
        ]
        kills += statuses(start(folder, *deeds, "-", pause=0.05)).count(-signal.SIGKILL)
        assert digest(folder) == digest(unbroken)
        assert rows_without_times(folder) == rows_without_times(unbroken)


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    assert statuses(start(tmp_path, "term2:1", pause=1)) == [-signal.SIGTERM]
