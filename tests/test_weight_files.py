"""What a run keeps of its weights for reading: the same for equal runs, whole after a resume."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file

import adafer
from adafer.recipes import find_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
TINY: dict[str, Any] = {
    "toy_faces": 112,
    "batch_size": 28,
    "img_size": 16,
    "augment": "none",
    "workers": 0,
    "device": "cpu",
    "ema": 0.9,
}


def trained(folder: Path, name: str, **changes: Any) -> Path:
    recipe = find_recipe("tinyvgg").changed(**(TINY | changes))
    return adafer.train(recipe, runs=folder, name=name).path


def test_equal_runs_leave_equal_files(tmp_path: Path) -> None:
    first, again = (trained(tmp_path, name, epochs=2, weight_stats="all") for name in "ab")
    for name in ("weight_stats.csv", "final_weights.txt"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_the_text_is_of_the_weights_that_are_kept(tmp_path: Path) -> None:
    run = trained(tmp_path, "run", epochs=2, weight_stats="head")
    text = (run / "final_weights.txt").read_text()
    kept = load_file(run / "weights/best.safetensors")
    blocks = {block.splitlines()[0]: block for block in text.split("\n\n")}
    assert set(blocks) == set(kept)
    for name, tensor in kept.items():
        assert hashlib.sha256(tensor.numpy().tobytes()).hexdigest() in blocks[name]


def test_a_resumed_run_has_the_table_of_an_unbroken_one(tmp_path: Path) -> None:
    whole = trained(tmp_path, "whole", epochs=3, weight_stats="head", warmup=0.0)
    parts = trained(tmp_path, "parts", epochs=2, weight_stats="head", warmup=0.0)
    adafer.train(resume=parts, epochs=3)
    tables = []
    for run in (whole, parts):
        with (run / "weight_stats.csv").open(newline="") as file:
            tables.append([(row["epoch"], row["parameter"]) for row in csv.DictReader(file)])
    assert tables[0] == tables[1]
    assert [epoch for epoch, _ in tables[0]] == sorted(epoch for epoch, _ in tables[0])
    assert {epoch for epoch, _ in tables[0]} == {"1", "2", "3"}


def test_nothing_is_written_unless_asked_and_looking_changes_no_weight(tmp_path: Path) -> None:
    plain = trained(tmp_path, "plain", epochs=1)
    watched = trained(tmp_path, "watched", epochs=1, weight_stats="all")
    assert not (plain / "weight_stats.csv").exists()
    assert not (plain / "final_weights.txt").exists()
    ours, theirs = (load_file(run / "weights/last.safetensors") for run in (plain, watched))
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)
    adafer.train(resume=plain, epochs=2, weight_stats="head")  # no part of what a resume compares
    assert (plain / "weight_stats.csv").read_text().splitlines()[1].startswith("2,")


def test_the_history_is_kept_as_a_picture(tmp_path: Path) -> None:
    run = trained(tmp_path, "run", epochs=1)
    with Image.open(run / "history.png") as picture:
        assert picture.size == (1890, 555)


def test_mixups_and_cutmix_train_and_repeat(tmp_path: Path) -> None:
    more: dict[str, Any] = {"epochs": 1, "mixup": 0.4, "cutmix": 1.0, "mix_probability": 0.9}
    first, again = (
        load_file(trained(tmp_path, name, **more) / "weights/last.safetensors") for name in "ab"
    )
    assert all(bool((first[name] == again[name]).all()) for name in first)
