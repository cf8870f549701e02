"""`adafer crossval` from the door to the page: killed, resumed, refused, and read by others."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from command_line import TINY, digest, refused, rows
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

import adafer
from adafer import cli
from adafer.data import open_data
from adafer.engine.signals import Interrupted
from adafer.errors import AdaferError, DataError
from adafer.evaluation import evaluate
from adafer.predictions_file import read_predictions
from adafer.run import Run
from adafer.studies import crossval as study
from adafer.studies.crossval_folder import Crossval, latest_crossval

WORDS = [*TINY, "--folds", "3", "--epochs", "2", "--quiet"]
KILLED = """
import os, signal, sys, torch
torch.set_num_threads(1)
from adafer import cli
from adafer.engine import checkpoint
save = checkpoint.save
def save_and_die(state, folder, identity):
    save(state, folder, identity)
    if "fold-2" in str(folder):
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save = save_and_die
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished cross-validation; look, do not touch."""
    runs = tmp_path_factory.mktemp("crossval")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.run(["crossval", *WORDS, "--name", "whole", "--runs", str(runs)]) == 0
    torch.set_num_threads(before)
    return runs / "whole"


@pytest.fixture
def half(whole: Path, tmp_path: Path) -> Path:
    """A copy whose last fold was never begun."""
    folder = Path(shutil.copytree(whole, tmp_path / "half"))
    shutil.rmtree(folder / "fold-3")
    for name in ("predictions.csv", "scores.csv", "summary.json", "report.html"):
        (folder / name).unlink()
    Crossval(folder).mark(3, "waiting")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ── what it writes ────────────────────────────────────────────────────────────────────────────────


def test_every_face_is_there_once_with_the_answer_of_the_fold_that_held_it_out(whole: Path):
    pooled = read_predictions(whole / "predictions.csv")
    places = {row["id"]: int(row["fold"]) for row in table(whole / "folds.csv")}
    assert sorted(pooled.ids) == sorted(places)
    assert len(pooled) == 175  # 140 of train and a quarter as many of validation
    answers = dict(zip(pooled.ids, pooled.probabilities.tolist(), strict=True))
    for fold in (1, 2, 3):
        own = read_predictions(whole / f"fold-{fold}" / "eval" / "val" / "predictions.csv")
        assert {name for name, place in places.items() if place == fold} == set(own.ids)
        assert [answers[name] for name in own.ids] == own.probabilities.tolist()
        trained = Run(whole / f"fold-{fold}").recipe().data
        assert (trained.folds, trained.fold) == (3, fold)
        assert not set(open_data(trained).train.ids) & set(own.ids)


def test_scores_hold_one_row_a_fold_and_agree_with_scikit_learn(whole: Path):
    found = table(whole / "scores.csv")
    assert [row["fold"] for row in found] == ["1", "2", "3"]
    for row in found:
        run = Run(whole / f"fold-{row['fold']}")
        own = read_predictions(run.evaluation("val") / "predictions.csv")
        assert float(row["accuracy"]) == pytest.approx(accuracy_score(own.labels, own.predicted))
        f1 = f1_score(own.labels, own.predicted, average="macro", labels=range(7), zero_division=0)
        assert float(row["macro_f1"]) == pytest.approx(f1)
        metrics = json.loads((run.evaluation("val") / "metrics.json").read_text())
        assert float(row["loss"]) == metrics["loss"]
        assert float(row["ece"]) == pytest.approx(metrics["ece"])
        assert int(row["best_epoch"]) == run.facts()["best_epoch"]
        assert int(row["n"]) + int(row["trained_on"]) == 175
        assert float(row["accuracy_low"]) < float(row["accuracy"]) < float(row["accuracy_high"])


def test_the_summary_names_its_intervals_and_the_page_shows_them(whole: Path):
    summary = json.loads((whole / "summary.json").read_text())
    values = [float(row["accuracy"]) for row in table(whole / "scores.csv")]
    assert summary["over_folds"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert summary["over_folds"]["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert "Nadeau and Bengio 2003" in summary["intervals"]["corrected"]
    assert "too narrow" in summary["intervals"]["plain"]
    assert summary["pooled"]["accuracy"]["low"] < summary["pooled"]["accuracy"]["value"]
    page = (whole / "report.html").read_text()
    assert "Nadeau and Bengio 2003" in page
    assert "Bengio and Grandvalet 2004" in page
    assert "fold 3:" in page
    assert "Mean ± sd" in page


def test_the_plan_says_what_was_dealt(whole: Path):
    plan = json.loads((whole / "crossval.json").read_text())
    assert plan["states"] == ["finished"] * 3
    assert plan["recipe"]["data"]["folds"] == 3
    assert plan["faces"] == 175
    assert sum(plan["classes"].values()) == 175
    assert set(plan["first_fold_sha256"]) == {"train", "val"}  # test was not looked at


def test_people_stay_together_and_are_resampled_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lines: list[list[object]] = [["path", "label", "who"]]
    random = np.random.default_rng(0)
    for number in range(48):
        pixels = random.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append([f"{number}.png", "ab"[number % 2], f"=p{number // 4}"])
    fakes.table(tmp_path / "train.csv", lines)
    words = ["--data", str(tmp_path), "--group-col", "who", "--folds", "2", "--epochs", "1"]
    words += ["--img-size", "24", "--workers", "0", "--runs", str(tmp_path / "runs"), "--quiet"]
    assert cli.run(["crossval", "tinyvgg", *words]) == 0
    assert "by group" not in capsys.readouterr().out  # quiet: the table alone
    folder = tmp_path / "runs" / "tinyvgg-crossval"
    where: dict[str, set[str]] = {}
    for row in table(folder / "folds.csv"):
        where.setdefault(row["group"], set()).add(row["fold"])
    assert len(where) == 12
    assert all(len(folds) == 1 for folds in where.values())
    assert all(group.startswith("'=") for group in where)  # no spreadsheet runs it
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["groups"] == 12
    assert summary["intervals"]["pooled"] == "bootstrap by group"


# ── stopped and resumed ───────────────────────────────────────────────────────────────────────────


def test_killed_in_the_second_fold_and_resumed_it_is_the_same_to_the_bit(
    whole: Path, tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
):
    words = ["crossval", *WORDS, "--name", "killed", "--runs", str(tmp_path)]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False
    )
    assert child.returncode == -9, child.stderr
    folder = tmp_path / "killed"
    states = json.loads((folder / "crossval.json").read_text())["states"]
    assert states == ["finished", "started", "waiting"]
    assert len(rows(folder / "fold-2")) == 1
    before = (folder / "fold-1" / "weights" / "best.safetensors").stat()
    assert cli.run(["crossval", "--resume", "--runs", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "fold 1 of 3: trained before" in said
    assert "resumed from" in said
    after = (folder / "fold-1" / "weights" / "best.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    for fold in ("fold-1", "fold-2", "fold-3"):
        assert digest(folder / fold) == digest(whole / fold)
        assert rows(folder / fold) == rows(whole / fold)


def test_a_fold_killed_before_it_wrote_its_recipe_begins_again(
    half: Path, whole: Path, one_thread: None
):
    (half / "fold-3").mkdir()
    (half / "fold-3" / ".lock").touch()
    done = adafer.crossval(resume=half)
    assert done.finished
    assert done.predictions.read_bytes() == (whole / "predictions.csv").read_bytes()
    assert not (half / "fold-3-2").exists()


def test_resuming_what_is_finished_trains_nothing(whole: Path, tmp_path: Path, monkeypatch):
    folder = Path(shutil.copytree(whole, tmp_path / "again"))
    monkeypatch.setattr(study, "train", lambda *_, **__: pytest.fail("trained again"))
    done = adafer.crossval(resume=folder)
    assert done.finished
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()


def test_the_time_is_that_of_all_folds_and_the_rest_is_left_for_a_resume(
    half: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["crossval", "--resume", str(half), "--time", "0"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the time is over in fold 3 of 3" in said
    assert f"adafer crossval --resume {half}" in said.replace("- ", "-")
    assert not (half / "summary.json").exists()
    assert not (half / "fold-3").exists()
    assert latest_crossval(half.parent).path == half


def test_without_a_folder_it_is_kept_where_the_recipes_runs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "_train_folds", lambda *_: False)
    started = adafer.crossval("grefel", 2, toy_faces=70)
    assert started.path == Path("outputs/grefel-crossval")
    assert adafer.crossval(resume="").path == started.path


@pytest.mark.parametrize("word", [("--lr", "0.5"), ("--folds", "4"), ("--seed", "9")])
def test_a_resume_that_would_make_the_folds_differ_is_refused(
    half: Path, word: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    said = refused(capsys, ["crossval", "--resume", str(half), *word], 2)
    assert said.startswith(f"adafer: {word[0]} was ")
    assert "leave it out" in said


def test_a_resume_on_other_faces_is_refused(half: Path):
    plan = json.loads((half / "crossval.json").read_text())
    plan["recipe"]["data"]["toy_seed"] = 5
    (half / "crossval.json").write_text(json.dumps(plan))
    with pytest.raises(DataError, match="are not those that"):
        adafer.crossval(resume=half)


def test_a_fold_measured_on_other_faces_is_found(whole: Path, tmp_path: Path):
    folder = Path(shutil.copytree(whole, tmp_path / "mixed"))
    shutil.copy(folder / "fold-1/eval/val/predictions.csv", folder / "fold-2/eval/val")
    with pytest.raises(DataError, match="not measured on the faces of fold 2"):
        adafer.crossval(resume=folder)


def test_a_signal_names_the_fold_and_the_way_on(half: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> Run:
        raise Interrupted(15)

    monkeypatch.setattr(study, "train", interrupted)
    with pytest.raises(AdaferError, match=r"fold 3 of 3 and saved; .*crossval --resume") as caught:
        adafer.crossval(resume=half)
    assert caught.value.exit_code == 143


# ── refused ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--folds", "1"], 2, "give 2 or more"),
        (["--folds", "200"], 3, "give --folds"),
        (["--folds", "five"], 2, "--folds takes"),
        (["--fold", "2"], 2, "--fold"),
        (["--group-column", "person"], 3, "correct or leave out --group-column"),
        (["--group-col", "a", "--group-column", "b"], 2, "are one setting"),
        (["--config", "no.yaml"], 2, "recipe.yaml"),
        (["--resume", "nowhere"], 3, "expected crossval.json"),
        (["--resume"], 3, "no cross-validation to resume"),
    ],
)
def test_wrong_words_are_answered_and_leave_nothing(
    words: list[str], code: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs = tmp_path / "runs"
    said = refused(capsys, ["crossval", *words, "--toy-faces", "80", "--runs", str(runs)], code)
    assert sentence in said
    assert not runs.exists()


def test_a_failing_fold_is_named_and_its_name_stays_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    random = np.random.default_rng(0)
    for number in range(24):
        picture = Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8))
        for split in ("train", "test"):
            place = tmp_path / "faces" / split / ("happy", "sad")[number % 2] / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            picture.save(place)
    words = ["crossval", "tinyvgg", "--data", str(tmp_path / "faces"), "--folds", "2"]
    words += ["--img-size", "24", "--workers", "0", "--runs", str(tmp_path / "runs")]
    said = refused(capsys, words, 3)
    assert said.startswith("adafer: fold 1 of 2: train holds 12 faces of test too")
    assert "--leaks drop" in said
    assert not list((tmp_path / "runs").iterdir())


# ── read by others ────────────────────────────────────────────────────────────────────────────────


def test_label_errors_are_looked_for_among_all_faces(
    whole: Path, half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("cleanlab")
    assert cli.run(["label-errors", str(whole), "--output", str(tmp_path / "suspects")]) == 0
    found = json.loads((tmp_path / "suspects" / "label_errors.json").read_text())
    assert found["faces"] == 175
    capsys.readouterr()
    said = refused(capsys, ["label-errors", str(half)], 3)
    assert "1 of 3 folds" in said
    assert f"adafer crossval --resume {half}" in said


def test_a_model_of_a_fold_is_measured_on_all_of_another_data_set(whole: Path, tmp_path: Path):
    run = Path(shutil.copytree(whole / "fold-1", tmp_path / "fold-1"))
    assert evaluate(run).n == len(read_predictions(run / "eval" / "val" / "predictions.csv"))
    assert evaluate(run, data="toy").n == 35


def test_a_damaged_plan_is_said(half: Path):
    (half / "crossval.json").write_text("{")
    with pytest.raises(DataError, match="no cross-validation in"):
        adafer.crossval(resume=half)
