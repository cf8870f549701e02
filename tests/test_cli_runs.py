"""The command line: what a training leaves on the disk, and what can be done with it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from command_line import EPOCHS, ONE_THREAD, TINY, digest, files_of, refused, rows

from adafer import cli, evaluation
from adafer.data.listing import Listing
from adafer.engine.journal import COLUMNS
from adafer.recipe import Recipe
from adafer.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


# ── training ──────────────────────────────────────────────────────────────────────────────────────


def test_a_training_writes_exactly_the_run_folder(trained: Path) -> None:
    found = files_of(trained)
    states = {name for name in found if name.startswith("state/")}
    evaluation = {"metrics.json", "predictions.csv", "per_class.csv"}
    evaluation |= {"confusion_matrix.csv", "confusion_matrix.png"}
    assert found - states - {".lock"} == {
        "recipe.yaml",
        "run.json",
        "results.csv",
        "label_map.json",
        "history.png",
        "report.html",
        "weights/best.safetensors",
        "weights/last.safetensors",
        "weights/config.json",
        *(f"eval/val/{name}" for name in evaluation),
    }
    assert len({name.split("/")[1] for name in states}) == 2  # two checkpoints are kept
    lines = (trained / "results.csv").read_text().splitlines()
    terms = ("loss_classification", "loss_ponder", "loss_steps")
    assert tuple(lines[0].split(",")) == (*COLUMNS, *terms)
    assert len(lines) == 4
    facts = Run(trained).facts()
    assert facts["exit_reason"] == "finished"
    assert facts["command"][:2] == ["adafer", "train"]
    assert "test_uses" not in facts
    metrics = json.loads((trained / "eval/val/metrics.json").read_text())
    assert metrics["n"] == 35
    assert {"accuracy", "macro_f1", "weighted_f1", "balanced_accuracy", "ece"} <= set(metrics)
    assert {"mean_steps", "spearman_steps_entropy"} <= set(metrics)


def test_the_saved_recipe_holds_what_was_asked_for(trained: Path) -> None:
    recipe = Run(trained).recipe()
    assert recipe.name == "act-graves"
    assert recipe.data.toy_faces == 140
    assert recipe.phases[0].epochs == 3
    assert recipe.model.max_steps == 3  # type: ignore[union-attr]


def test_a_saved_recipe_repeats_its_run_to_the_bit(trained: Path, tmp_path: Path) -> None:
    words = ["--config", str(trained / "recipe.yaml"), "--runs", str(tmp_path), "--quiet"]
    assert cli.run(["train", *words]) == 0
    assert digest(tmp_path / "act-graves") == digest(trained)
    assert rows(tmp_path / "act-graves") == rows(trained)


def test_underscores_are_accepted_and_another_seed_gives_another_model(
    trained: Path, tmp_path: Path
) -> None:
    words = [word.replace("-", "_").replace("__", "--") for word in [*TINY, *EPOCHS]]
    assert "--toy_faces" in words
    words += ["--seed", "1", "--name", "other", "--runs", str(tmp_path), "--quiet"]
    assert cli.run(["train", *words]) == 0
    assert digest(tmp_path / "other") != digest(trained)


def test_a_dry_run_prints_a_complete_recipe_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", "act-naive", "--lr", "1e-3", "--dry-run"]) == 0
    recipe = Recipe.from_yaml(capsys.readouterr().out)
    assert recipe.name == "act-naive"
    assert recipe.phases[0].lr == 1e-3
    assert list(tmp_path.iterdir()) == []


def test_another_loss_is_kept_whether_named_for_a_recipe_or_a_file(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in (["act-graves"], ["--config", str(trained / "recipe.yaml")]):
        assert cli.run(["train", *source, "--loss", "pondernet", "--dry-run"]) == 0
        recipe = Recipe.from_yaml(capsys.readouterr().out)
        assert recipe.loss_name == "pondernet"
        assert recipe.model.halting == "ponder"  # type: ignore[union-attr]


def test_pondernet_trains_and_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    words = ["train", *TINY, "--epochs", "1", "--loss", "pondernet", "--name", "first"]
    words += ["--runs", str(tmp_path), "--quiet"]
    (tmp_path / "first").mkdir()
    assert cli.run(words) == 0
    assert files_of(tmp_path / "first") == set()
    assert Run(tmp_path / "first-2").recipe().loss_name == "pondernet"
    assert (tmp_path / "first-2/report.html").is_file()


def test_a_baseline_without_steps_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tinyvgg", "--toy-faces", "140", "--epochs", "1", "--width", "4", "--workers", "0"]
    assert cli.run(["train", *words, "--runs", str(tmp_path)]) == 0
    assert "mean steps" not in capsys.readouterr().out
    assert rows(tmp_path / "tinyvgg")[0]["mean_steps"] == ""
    assert json.loads((tmp_path / "tinyvgg/eval/val/metrics.json").read_text())["n"] == 35


# ── going on ──────────────────────────────────────────────────────────────────────────────────────


def test_a_finished_run_is_extended_and_its_first_rows_stay(copied: Path) -> None:
    before = rows(copied)
    words = ["--resume", "--runs", str(copied.parent), "--epochs", "4", "--quiet"]
    assert cli.run(["train", *words]) == 0
    after = rows(copied)
    assert [row["epoch"] for row in after] == ["1", "2", "3", "4"]
    figures = ("train_loss", "val_loss", "val_acc")
    assert [[row[name] for name in figures] for row in after[:3]] == [
        [row[name] for name in figures] for row in before
    ]
    assert Run(copied).recipe().phases[0].epochs == 4
    assert len(Run(copied).facts()["resumed"]) == 1


def test_a_finished_run_without_more_epochs_stays_as_it_is(copied: Path, trained: Path) -> None:
    assert cli.run(["train", "--resume", str(copied), "--quiet"]) == 0
    assert digest(copied) == digest(trained)
    assert rows(copied) == rows(trained)


@pytest.mark.parametrize(
    ("change", "named"),
    [(["--seed", "5"], "train.seed"), (["--batch-size", "16"], "data.batch_size")],
)
def test_a_resumed_run_may_not_change_what_shaped_it(
    copied: Path, trained: Path, change: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--resume", str(copied), "--epochs", "4", *change]
    said = refused(capsys, words, 1)
    assert f"{named}: " in said
    assert "start a new run" in said
    assert digest(copied) == digest(trained)
    assert (copied / "recipe.yaml").read_text() == (trained / "recipe.yaml").read_text()


def test_a_second_process_in_the_same_run_folder_is_refused(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = f"""
from pathlib import Path
from adafer.engine.lock import run_lock
with run_lock(Path({str(copied)!r})):
    print("holds it", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds it\n"
        words = ["train", "--resume", str(copied), "--epochs", "4"]
        said = refused(capsys, words, 1)
        other.communicate("\n")
    assert str(other.pid) in said
    assert len(rows(copied)) == 3
    assert cli.run([*words, "--quiet"]) == 0  # the lock went with its process
    assert len(rows(copied)) == 4


def test_after_a_signal_in_mid_epoch_a_resumed_run_equals_the_unbroken_one(
    trained: Path, tmp_path: Path
) -> None:
    words = ["train", *TINY, *EPOCHS, "--runs", str(tmp_path)]
    program = f"""{ONE_THREAD}
import os, signal, sys
from adafer import cli
from adafer.progress import Console
def stepped(self, epoch, done, total, loss):
    if (epoch, done) == (2, 2):
        os.kill(os.getpid(), signal.SIGTERM)
Console.stepped = stepped
sys.exit(cli.run({words!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    run = tmp_path / "act-graves"
    assert done.returncode == 128 + 15, done.stderr
    assert "SIGTERM was received; saved" in done.stdout
    assert len(rows(run)) == 1
    assert not (run / "report.html").exists()
    assert digest(run) != digest(trained)
    assert cli.run(["train", "--resume", str(run), "--quiet"]) == 0
    assert digest(run, "last") == digest(trained, "last")
    assert digest(run, "best") == digest(trained, "best")
    assert rows(run) == rows(trained)


# ── after training ────────────────────────────────────────────────────────────────────────────────


def test_every_use_of_the_test_split_is_counted(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(copied)]) == 0
    assert "test_uses" not in Run(copied).facts()
    for count in (1, 2):
        assert cli.run(["evaluate", str(copied), "--split", "test"]) == 0
        uses = Run(copied).facts()["test_uses"]
        assert len(uses) == count
        assert uses[-1]["n"] == 35
    assert (copied / "eval/test/metrics.json").is_file()
    assert str(copied / "report.html") in capsys.readouterr().out.replace("\n", "")


def test_an_evaluation_elsewhere_leaves_the_runs_own_tables(copied: Path, tmp_path: Path) -> None:
    before = (copied / "eval/val/metrics.json").read_bytes()
    page = (copied / "report.html").read_bytes()
    words = ["evaluate", str(copied), "--max-steps", "1", "--output", str(tmp_path / "out")]
    assert cli.run(words) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["mean_steps"] == 1
    assert (copied / "eval/val/metrics.json").read_bytes() == before
    assert (copied / "report.html").read_bytes() == page


def test_what_is_to_be_known_of_the_data_is_said_and_stands_on_the_page(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluation.listing_of

    def noted(*given: Any) -> Listing:
        return replace(whole(*given), notes=("its landmarks are not those of the model",))

    monkeypatch.setattr(evaluation, "listing_of", noted)
    assert cli.run(["evaluate", str(copied)]) == 0
    assert "note: its landmarks are not those of the model" in capsys.readouterr().out
    assert "its landmarks are not those of the model" in (copied / "report.html").read_text()


def test_evaluating_again_gives_the_same_table(copied: Path) -> None:
    before = (copied / "eval/val/predictions.csv").read_bytes()
    assert cli.run(["evaluate", str(copied)]) == 0
    assert (copied / "eval/val/predictions.csv").read_bytes() == before


def test_a_report_is_written_again_from_the_tables(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "report.html").unlink()
    assert cli.run(["report", str(copied)]) == 0
    assert (copied / "report.html").stat().st_size > 10_000
    said = refused(capsys, ["report", str(copied), "--split", "test"], 3)
    assert "--split test" in said


def test_predict_answers_each_picture_and_names_those_it_cannot_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.picture(tmp_path / "a.png", 90, side=60)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    fakes.picture(tmp_path / "c.png", 160, side=60)
    assert cli.run(["predict", str(trained), str(tmp_path), "--json"]) == 3
    said = capsys.readouterr()
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(answer["source"]).name for answer in answers] == ["a.png", "c.png"]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-6 for answer in answers)
    assert all(1 <= answer["steps"] <= 3 for answer in answers)
    assert said.err.count("adafer: ") == 1
    assert "b.png" in said.err


def test_the_exported_file_answers_as_the_run_does(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", str(copied)]) == 0
    fakes.picture(tmp_path / "a.png", 90, side=60)
    capsys.readouterr()
    answers = []
    for model in (copied, copied / "export/model.onnx"):
        assert cli.run(["predict", str(model), str(tmp_path / "a.png"), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["label"] == answers[1]["label"]
    assert answers[0]["steps"] == answers[1]["steps"]
    assert answers[0]["probability"] == pytest.approx(answers[1]["probability"], abs=1e-4)


def test_models_and_recipes_name_the_same_systems(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes"]) == 0
    recipes = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert cli.run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipes
    assert all(line.endswith(" parameters") for line in lines)
