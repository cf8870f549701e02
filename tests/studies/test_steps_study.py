"""`adafer steps`, `compare` and `label-errors` on a trained run, from the door to the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import TINY, refused
from safetensors.numpy import load_file, save_file

from adafer import cli
from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.errors import DataError
from adafer.evaluation import measure
from adafer.predictions_file import read_predictions
from adafer.run import open_run
from adafer.studies.trace import picture_quality, trace
from adafer.trajectory import read_trajectory, write_trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def studied(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a study of validation wrote; the run itself is not touched."""
    folder = tmp_path_factory.mktemp("study")
    assert cli.run(["steps", str(trained), "--output", str(folder), "--device", "cpu"]) == 0
    return folder


def traced(run: Path, beyond: int = 2):
    bundle, recipe = load_bundle(run, "best"), open_run(run).recipe()
    dataset = FaceDataset(open_data(recipe.data).validation, bundle.preprocessing)
    return bundle, dataset, recipe, trace(bundle.model, dataset, recipe, CPU, beyond=beyond)


def test_a_trajectory_holds_what_the_model_answers(trained: Path):
    bundle, dataset, recipe, found = traced(trained)
    plain = measure(bundle.model, dataset, recipe, CPU, every_step=True)
    assert found.logits.shape == (len(dataset), 6, 7)
    assert found.trained_steps == 3
    assert np.array_equal(found.predictions.steps, plain.steps)
    right = found.logits[:, :3].argmax(2) == plain.labels[:, None]
    assert np.array_equal(right, plain.step_correct)
    # stopped where it stops by itself, the mixture is the model's own answer
    own = found.stopped()[np.arange(len(dataset)), plain.steps - 1]
    np.testing.assert_allclose(own, plain.probabilities, atol=1e-5)


def test_thinking_on_changes_no_earlier_step(trained: Path):
    *_, short = traced(trained, beyond=1)
    *_, long = traced(trained, beyond=3)
    np.testing.assert_allclose(long.logits[:, :3], short.logits, atol=1e-5)


def test_sharpness_and_brightness_by_hand(trained: Path):
    _, dataset, _, _ = traced(trained, beyond=1)
    dataset = dataset.only(np.arange(2), "tried here")
    pixels = np.zeros((2, *dataset.pixels.shape[1:]), np.uint8)
    pixels[1] = 100
    pixels[1, 10, 10] = 104
    dataset.pixels = pixels
    sharpness, brightness = picture_quality(dataset)
    count = pixels[0].size
    assert brightness.tolist() == [0.0, 100 + 4 / count]
    # the Laplacian of one raised pixel is -16 there and 4 at its four neighbours
    assert sharpness[0] == 0.0
    assert sharpness[1] == pytest.approx((16**2 + 4 * 4**2) / count)


def test_a_trajectory_reads_back_as_it_was(trained: Path, tmp_path: Path):
    *_, found = traced(trained)
    write_trajectory(tmp_path / "t.safetensors", found)
    again = read_trajectory(tmp_path / "t.safetensors")
    assert again.predictions.ids == found.predictions.ids
    assert again.mixing == found.mixing == "additive"
    for name in ("logits", "halting", "features", "sharpness", "brightness"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert np.array_equal(again.predictions.votes, found.predictions.votes)
    few = found.take(np.array([3, 1]))
    assert few.predictions.ids == (found.predictions.ids[3], found.predictions.ids[1])
    assert np.array_equal(few.stopped(), found.stopped()[[3, 1]])


def test_a_damaged_or_foreign_trajectory_is_refused(tmp_path: Path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(DataError, match="adafer steps RUN"):
        read_trajectory(path)
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="no trajectory"):
        read_trajectory(path)
    save_file({"logits": np.zeros(3, np.float32)}, path)
    with pytest.raises(DataError, match="no trajectory"):
        read_trajectory(path)


def test_the_study_writes_tables_that_agree_with_the_evaluation(studied: Path, trained: Path):
    found = json.loads((studied / "steps.json").read_text())
    metrics = json.loads((trained / "eval" / "val" / "metrics.json").read_text())
    assert found["controls"]["accuracy"] == pytest.approx(metrics["accuracy"])
    assert found["controls"]["mean_steps"] == pytest.approx(metrics["mean_steps"])
    depths = [s["accuracy"]["value"] for s in found["by_step"]["every"][:3]]
    assert depths == pytest.approx(metrics["accuracy_by_step"])
    people = found["agreement"]
    if people is not None:
        overall = people["steps"]["overall"]["value"]
        assert overall == pytest.approx(metrics["spearman_steps_entropy"], abs=1e-6)
    assert {row["batch_size"] for row in found["timings"]} == {1, 32}
    assert len(load_file(studied / "trajectory.safetensors")["logits"]) == metrics["n"]


def test_the_page_stands_alone_and_starts_with_the_verdict(studied: Path):
    page = (studied / "report.html").read_text()
    assert page.index("Verdict") < page.index("Would something simpler do?")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    for words in ("steps shuffled", "exit by patience", "oracle", "gate from step 1"):
        assert words in page


def test_the_test_split_takes_thresholds_from_validation_and_is_counted(copied: Path):
    assert cli.run(["steps", str(copied), "--split", "test", "--no-clock"]) == 0
    found = json.loads((copied / "steps" / "test" / "steps.json").read_text())
    notes = {row["note"] for row in found["controls"]["rows"] if row["name"].startswith("exit by")}
    assert notes == {"threshold from validation"}
    uses = json.loads((copied / "run.json").read_text())["test_uses"]
    assert len(uses) == 1


def test_validation_of_other_faces_is_no_place_to_choose_on(copied: Path):
    assert cli.run(["steps", str(copied), "--no-clock"]) == 0
    kept = copied / "steps" / "val" / "trajectory.safetensors"
    found = read_trajectory(kept)
    table = replace(found.predictions, ids=tuple(f"x{n}" for n in range(len(found))))
    write_trajectory(kept, replace(found, predictions=table))
    assert cli.run(["steps", str(copied), "--split", "test", "--no-clock"]) == 3


def test_a_model_without_steps_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", "tinyvgg", "--toy-faces", "140", "--epochs", "1", "--device", "cpu"]
    assert cli.run([*words, "--runs", str(tmp_path), "--workers", "0", "--quiet"]) == 0
    capsys.readouterr()
    said = refused(capsys, ["steps", str(tmp_path / "tinyvgg")], 2)
    assert "takes no steps" in said


def test_runs_are_compared_and_seeds_grouped(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["train", *TINY, "--epochs", "3", "--runs", str(tmp_path), "--quiet"]
    assert cli.run([*words, "--seed", "1", "--name", "again"]) == 0
    out = tmp_path / "compared"
    runs = [str(trained), str(tmp_path / "again")]
    assert cli.run(["compare", *runs, "--output", str(out)]) == 0
    found = json.loads((out / "compare.json").read_text())
    assert found["settings"] == {"train.seed": ["0", "1"]}
    assert found["seeds"][0]["runs"] == ["act-graves", "again"]
    tables = [read_predictions(Path(run) / "eval" / "val" / "predictions.csv") for run in runs]
    accuracies = [float((t.predicted == t.labels).mean()) for t in tables]
    mean, spread = found["seeds"][0]["figures"]["accuracy"]
    assert mean == pytest.approx(np.mean(accuracies))
    assert spread == pytest.approx(np.std(accuracies, ddof=1))
    gap = found["differences"][0]["accuracy"]["value"]
    assert gap == pytest.approx(accuracies[1] - accuracies[0])
    assert "<script" not in (out / "compare.html").read_text()
    capsys.readouterr()
    refused(capsys, ["compare", runs[0]], 2)
    assert "twice" in refused(capsys, ["compare", runs[0], runs[0]], 2)
    said = refused(capsys, ["compare", *runs, "--split", "test"], 3)
    assert "adafer evaluate" in said


def test_suspects_are_listed_from_held_out_faces_only(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("cleanlab", reason="the extra `labels` is not installed")
    assert cli.run(["label-errors", str(trained), "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "label_errors.json").read_text())
    lines = (tmp_path / "label_errors.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found["suspects"])
    capsys.readouterr()
    said = refused(capsys, ["label-errors", str(trained), "--split", "train"], 2)
    assert "K-fold" in said


def test_faces_with_a_copy_in_train_are_left_out(copied: Path, tmp_path: Path):
    names = read_predictions(copied / "eval" / "val" / "predictions.csv").ids
    table = tmp_path / "duplicates.csv"
    head = "kind,first,first_split,second,second_split"
    rows = [
        f"near,seen,train,{names[0]},val",
        f"exact,{names[1]},val,seen,train",
        f"near,{names[2]},val,{names[3]},val",  # within validation: both stay
        f"near,seen,train,{names[4]},test",
    ]
    table.write_text("\n".join([head, *rows]) + "\n")
    assert cli.run(["steps", str(copied), "--no-clock", "--copies", str(table)]) == 0
    folder = copied / "steps" / "val-without-copies"
    kept = read_trajectory(folder / "trajectory.safetensors").predictions.ids
    assert kept == names[2:]
    assert json.loads((folder / "steps.json").read_text())["everyone"]["n"] == len(names)


def test_a_file_that_lists_no_copies_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = tmp_path / "other.csv"
    table.write_text("a,b\n1,2\n")
    said = refused(capsys, ["steps", str(trained), "--copies", str(table)], 3)
    assert "adafer data check" in said
