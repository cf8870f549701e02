"""The Kaggle notebook, run from its first cell to its last under simulated /kaggle trees."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import digest, rows
from kaggle_trees import (
    NO_NETWORK,
    SMALL,
    cells,
    kaggle_rafdb,
    locked,
    plain,
    seen,
    surroundings,
    unlocked,
    zipped,
)

import adafer
from adafer.progress import Silence
from adafer.run import Run

PATIENCE = 900  # seconds; only a machine that hangs needs them


def packed(root: Path) -> Path:
    return zipped(kaggle_rafdb(root / "pack"), root / "input/raf-db-dataset/archive.zip")


TREES: dict[str, Callable[[Path], Path]] = {
    "rafdb": lambda root: plain(root / "input/rafdb"),
    "raf-db-dataset": lambda root: kaggle_rafdb(root / "input/datasets/somebody/raf-db-dataset"),
    "zipped": packed,
}


@pytest.fixture
def kaggle(tmp_path: Path) -> Iterator[Path]:
    """A root with read-only input and an empty place to work."""
    (tmp_path / "working").mkdir()
    yield tmp_path
    unlocked(tmp_path / "input")


def start(
    root: Path, until: str = "", before: str = "", **changes: object
) -> subprocess.Popen[str]:
    """Run the notebook in a process of its own, in the folder in which Kaggle starts one."""
    return subprocess.Popen(
        [sys.executable, "-c", NO_NETWORK + before + cells(until)],
        cwd=root / "working",
        env=surroundings(root, **changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    return printed


@pytest.mark.parametrize(
    "tree",
    [
        "rafdb",
        pytest.param("raf-db-dataset", marks=pytest.mark.slow),
        pytest.param("zipped", marks=pytest.mark.slow),
    ],
)
def test_the_notebook_trains_analyses_and_exports(kaggle: Path, tree: str) -> None:
    TREES[tree](kaggle)
    before = seen(locked(kaggle / "input"))
    printed = finish(start(kaggle))
    run = kaggle / "working/checkpoints/first"
    for name in (
        "weights/best.safetensors", "state", "results.csv", "report.html",
        "eval/test/metrics.json", "steps/val/steps.json", "explain/faces/explain.html",
        "export/model.onnx",
    ):  # fmt: skip
        assert (run / name).exists(), name
    assert "WANDB_API_KEY set, from Kaggle's secrets" in printed
    assert "KEY" not in printed.replace("WANDB_API_KEY", "")
    assert "never-to-be-seen" not in printed
    order = ["happiness      ", "finished", ", split test (", "explain.html", "model.onnx ("]
    places = [printed.find(words) for words in order]
    assert -1 not in places, printed
    assert places == sorted(places)
    assert seen(kaggle / "input") == before
    written = {path.name for path in (kaggle / "working").iterdir()}
    assert written == {"checkpoints"} | ({"data"} if tree == "zipped" else set())


def test_the_notebook_trains_in_several_processes(kaggle: Path) -> None:
    TREES["rafdb"](kaggle)
    before = seen(locked(kaggle / "input"))
    printed = finish(start(kaggle, "train", processes=2))
    assert "in 2 processes" in printed
    assert printed.count("Total Training Time") == 1
    assert printed.endswith("finished\n")
    run = Run(kaggle / "working/checkpoints/first")
    assert run.facts()["processes"] == 2
    assert len(rows(run.path)) == run.recipe().phases[0].epochs
    assert seen(kaggle / "input") == before
    assert {path.name for path in (kaggle / "working").iterdir()} == {"checkpoints"}


KILL = """
import os, signal
from adafer.engine import checkpoint

save, saved = checkpoint.save, []

def killed(*given):
    saved.append(given)
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return save(*given)

checkpoint.save = killed
"""
"""Ends the process after the third epoch, before that is saved."""


@pytest.mark.usefixtures("one_thread")
def test_a_killed_notebook_goes_on_in_a_later_session_to_the_same_results(kaggle: Path) -> None:
    TREES["zipped"](kaggle)
    locked(kaggle / "input")
    working = kaggle / "working"
    process = start(kaggle, "train", KILL, epochs=5)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, printed
    assert len(rows(working / "checkpoints/first")) == 3
    unpacked = working / "data/raf-db-dataset-archive"
    whole = adafer.train(
        "act-graves", data=str(unpacked), runs=kaggle / "reference", watcher=Silence(),
        **SMALL | {"epochs": 5},
    )  # fmt: skip
    # A later session: the output of the first is an input now, and the work begins empty.
    unlocked(kaggle / "input")
    earlier = kaggle / "input/notebooks/somebody/training"
    shutil.copytree(working, earlier, ignore=shutil.ignore_patterns("data"))
    shutil.rmtree(working)
    working.mkdir()
    before = seen(locked(kaggle / "input"))
    printed = finish(start(kaggle, "train", epochs=5))
    assert "is read-only; it goes on as" in printed
    assert "epoch 2, batch 0" in printed
    assert rows(working / "checkpoints/first") == rows(whole.path)
    assert digest(working / "checkpoints/first") == digest(whole.path)
    assert seen(kaggle / "input") == before
