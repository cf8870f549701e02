"""The command line with `--train-csv` and `--val-csv`, and the folder that runs are kept in."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import digest, files_of, refused
from fakes import fer_csv, pixels

import adafer
from adafer import cli
from adafer.errors import WordsError
from adafer.recipe import Recipe
from adafer.recipes import RECIPES, find_recipe, run_folders
from adafer.run import Run, latest_run

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ["--width", "4", "--workers", "0", "--device", "cpu", "--epochs", "1"]
PAIR = ["--train-csv", "train.csv", "--val-csv", "val.csv"]


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with train.csv and val.csv of eight classes, in which the command is given."""
    root = fer_csv(tmp_path / "faces")
    (root / "test.csv").unlink()
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pair with its finished run in `outputs`; look, do not touch."""
    root = fer_csv(tmp_path_factory.mktemp("pair"))
    (root / "test.csv").unlink()
    before = Path.cwd()
    os.chdir(root)
    try:
        words = ["--output_dir", "outputs", "--num_classes", "8", "--num_workers", "0", "--quiet"]
        words += ["--batch_size", "8", "--lr", "1e-4", "--weight_decay", "1e-2", "--width", "4"]
        words += ["--train_csv", "train.csv", "--val_csv", "val.csv", "--epochs", "1"]
        assert cli.run(["train", "tinyvgg", *words]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def trained_pair(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    return copy


# ── training ──────────────────────────────────────────────────────────────────────────────────────


def test_the_words_of_the_script_train_and_are_kept(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"train.csv", "val.csv", "outputs"}
    run = Run(finished / "outputs" / "tinyvgg")
    recipe = run.recipe()
    data, phase = recipe.data, recipe.phases[0]
    assert (data.train_csv, data.val_csv, data.data) == ("train.csv", "val.csv", "toy")
    assert (data.num_classes, data.batch_size, data.workers) == (8, 8, 0)
    assert (phase.epochs, phase.lr, phase.weight_decay) == (1, 1e-4, 1e-2)
    assert recipe.runs == "runs"  # where this one run lies is no part of the experiment
    page = (run.path / "report.html").read_text()
    assert "train.csv and val.csv · validation split · 8 faces · 8 classes" in page
    facts = run.facts()["data"]
    assert facts["source"] == "train.csv and val.csv"
    assert facts["layout"] == "fer-csv"
    assert set(facts["train"].values()) == {2}
    assert set(facts["val"].values()) == {1}
    with (run.path / "eval/val/predictions.csv").open() as file:
        assert next(csv.DictReader(file))["id"] == "val.csv:2"
    assert json.loads((run.path / "label_map.json").read_text())["contempt"] == 7


def test_python_trains_the_same_and_a_tree_of_the_two_files_too(
    faces: Path, tmp_path: Path
) -> None:
    words = [*PAIR, *SMALL, "--quiet"]
    assert cli.run(["train", "tinyvgg", *words, "--runs", str(tmp_path / "a")]) == 0
    python = adafer.train(
        "tinyvgg", train_csv=faces / "train.csv", val_csv=faces / "val.csv", epochs=1, width=4,
        workers=0, device="cpu", runs=tmp_path / "b",
    )  # fmt: skip
    tree = tmp_path / "FERPlus-master"
    shutil.copytree(faces, tree / "data")
    words = ["--data", str(tree), *SMALL, "--quiet", "--runs", str(tmp_path / "c")]
    assert cli.run(["train", "tinyvgg", *words]) == 0
    weights = {digest(tmp_path / x / "tinyvgg") for x in "abc"}
    assert weights == {digest(python.path)}


def test_faces_in_both_files_stop_it_and_can_be_left_out(
    faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (faces / "val.csv").open("a") as file:
        file.write(f"3,{pixels(35)}\n")
    said = refused(capsys, ["train", "tinyvgg", *PAIR, *SMALL], 3)
    assert "first train.csv:8 of train, which is val.csv:10" in said
    assert "--leaks drop" in said
    assert files_of(faces) == {"train.csv", "val.csv"}
    assert cli.run(["train", "tinyvgg", *PAIR, *SMALL, "--leaks", "drop", "--quiet"]) == 0
    facts = Run(faces / "runs/tinyvgg").facts()["data"]
    assert sum(facts["train"].values()) == 14
    assert facts["leaks"]["val"] == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("train.csv", f"emotion,pixels\n0,{pixels(count=2303)}\n", "line 2: 2,303 pixel values"),
        ("val.csv", f"emotion,pixels\n0,{pixels()}\n8,{pixels()}\n", "line 3: label '8'"),
        ("val.csv", f"label,face\n0,{pixels()}\n", "no column with the pixels"),
        ("train.csv", "", "empty file"),
        ("val.csv", "emotion,pixels\n", "no rows below its header"),
    ],
)
def test_wrong_files_are_named_and_nothing_is_written(
    name: str, content: str, sentence: str, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (faces / name).write_text(content)
    said = refused(capsys, ["train", "tinyvgg", *PAIR, *SMALL], 3)
    assert said.startswith(f"adafer: {name}: ")
    assert sentence in said
    assert files_of(faces) == {"train.csv", "val.csv"}


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--train-csv", "train.csv", "--val-csv", "./train.csv"], 3, "is both --train-csv and"),
        (["--train-csv", "nothing.csv"], 3, "nothing.csv: no such file"),
        (["--val-csv", "val.csv"], 2, "--val-csv needs --train-csv"),
        ([*PAIR, "--data", "."], 2, "both name the faces; give one of them"),
        ([*PAIR, "--num-classes", "7"], 2, "--num-classes 7, but train.csv and val.csv has 8"),
        (["--train-csv", "train.csv", "--val-csv="], 2, "--val-csv is empty"),
        (["--train-csv", ""], 2, "--train-csv is empty"),
        ([*PAIR, "--num-anchors", "10"], 2, "does not know '--num-anchors'"),
    ],
)
def test_wrong_words_are_one_sentence_and_nothing_is_written(
    words: list[str],
    code: int,
    sentence: str,
    faces: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sentence in refused(capsys, ["train", "tinyvgg", *words, *SMALL], code)
    assert files_of(faces) == {"train.csv", "val.csv"}


def test_anchors_have_the_name_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = find_recipe("grefel")
    assert recipe.changed(num_anchors="4") == recipe.changed(anchors_per_class=4)
    with pytest.raises(WordsError, match="--num-anchors and --anchors-per-class are one setting"):
        recipe.changed(num_anchors=4, anchors_per_class=4)
    assert cli.run(["train", "grefel", "--help"]) == 0
    said = capsys.readouterr().out
    flags = ("train-csv", "val-csv", "output-dir", "batch-size", "num-workers", "epochs", "lr")
    for flag in (*flags, "weight-decay", "num-classes", "num-anchors"):
        assert f"--{flag} " in said


# ── a finished run ────────────────────────────────────────────────────────────────────────────────


def test_validation_is_found_again_and_test_is_not_there(
    trained_pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = trained_pair / "outputs/tinyvgg/eval/val/predictions.csv"
    before = table.read_bytes()
    assert cli.run(["evaluate", "outputs/tinyvgg"]) == 0
    assert "8 faces of train.csv and val.csv, split val (fer-csv)" in capsys.readouterr().out
    assert table.read_bytes() == before
    said = refused(capsys, ["evaluate", "outputs/tinyvgg", "--split", "test"], 3)
    assert "bring no test faces" in said
    assert said.endswith("`adafer evaluate RUN --split test --data SOURCE`")
    assert "test_uses" not in Run(trained_pair / "outputs/tinyvgg").facts()


def test_other_data_stands_instead_of_the_pair(trained_pair: Path, tmp_path: Path) -> None:
    other = fer_csv(tmp_path / "other")
    (trained_pair / "train.csv").unlink()
    (trained_pair / "val.csv").unlink()
    words = ["evaluate", "outputs/tinyvgg", "--split", "test", "--data", str(other)]
    assert cli.run(words) == 0
    folder = trained_pair / "outputs/tinyvgg/eval/test-other"
    assert json.loads((folder / "metrics.json").read_text())["n"] == 8
    page = (folder / "report.html").read_text()
    kicker = page[page.index("test split") - 200 : page.index("test split")]
    assert str(other) in kicker
    assert "train.csv" not in kicker


def test_a_run_goes_on_where_its_files_were_moved_to(
    trained_pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = trained_pair / "moved"
    moved.mkdir()
    for name in ("train.csv", "val.csv"):
        (trained_pair / name).rename(moved / name)
    more = ["train", "--resume", "outputs/tinyvgg", "--epochs"]
    assert "train.csv: no such file" in refused(capsys, [*more, "2"], 3)
    place = ["--train-csv", "moved/train.csv", "--val-csv", "moved/val.csv"]
    assert cli.run([*more, "2", *place, "--quiet"]) == 0
    assert Run(trained_pair / "outputs/tinyvgg").recipe().data.train_csv == "moved/train.csv"
    assert cli.run([*more, "3", "--data", "moved", "--quiet"]) == 0  # the folder holds the same
    assert Run(trained_pair / "outputs/tinyvgg").recipe().data.train_csv == ""
    with (moved / "val.csv").open("a") as file:
        file.write(f"3,{pixels(99)}\n")
    assert "data_hashes.val" in refused(capsys, [*more, "4"], 1)


# ── one source at a time ──────────────────────────────────────────────────────────────────────────


def test_naming_a_source_replaces_the_other_kind() -> None:
    plain = find_recipe("tinyvgg")
    pair = plain.changed(train_csv="a.csv", val_csv="b.csv")
    assert pair.data.source == "a.csv and b.csv"
    folder = pair.changed(data="faces")
    assert (folder.data.train_csv, folder.data.val_csv, folder.data.source) == ("", "", "faces")
    back = plain.changed(data="faces", layout="ferplus").changed(train_csv="a.csv")
    assert (back.data.data, back.data.layout, back.data.source) == ("toy", "auto", "a.csv")
    assert pair.changed(val_csv="c.csv").data.train_csv == "a.csv"
    with pytest.raises(WordsError, match="both name the faces"):
        plain.changed(data="faces", train_csv="a.csv")


def test_a_trained_model_meets_other_data_without_what_was_said_of_its_own() -> None:
    recipe = find_recipe("tinyvgg").changed(
        train_csv="a.csv", val_csv="b.csv", num_classes=8, layout="fer-csv", folds=5, fold=2
    )
    assert recipe.measured_on(None) is recipe
    assert recipe.measured_on("faces") == find_recipe("tinyvgg").changed(data="faces")
    assert recipe.measured_on("toy") == find_recipe("tinyvgg")


# ── where runs are kept ───────────────────────────────────────────────────────────────────────────


def test_a_recipe_names_the_folder_of_its_runs_and_a_word_goes_before_it(
    faces: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(find_recipe("tinyvgg"), name="scripted", runs="outputs")
    monkeypatch.setitem(RECIPES, "scripted", recipe)
    assert set(run_folders()) == {Path("runs"), Path("outputs")}
    words = ["train", "scripted", *PAIR, *SMALL, "--quiet"]
    assert cli.run(words) == 0
    assert cli.run([*words, "--output-dir", "mine"]) == 0
    assert {path.name for path in faces.iterdir() if path.is_dir()} == {"outputs", "mine"}
    capsys.readouterr()
    assert cli.run(["evaluate"]) == 0
    assert capsys.readouterr().out.startswith("latest run: outputs/scripted")
    assert cli.run(["train", "--resume", "--epochs", "2", "--quiet"]) == 0
    assert Run(faces / "outputs/scripted").recipe().phases[0].epochs == 2
    saved = ["train", "--config", "outputs/scripted/recipe.yaml", "--quiet"]
    assert cli.run(saved) == 0
    assert (faces / "outputs/scripted-2/run.json").is_file()


def test_the_run_written_to_last_is_found_among_several_folders(tmp_path: Path) -> None:
    for number, name in enumerate(("a/old", "b/new", "a/older")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text("")
        (folder / "run.json").write_text("{}")
        moment = (1_000, 3_000, 500)[number]
        os.utime(folder / "run.json", (moment, moment))
    places = (tmp_path / "a", tmp_path / "b", tmp_path / "none")
    assert latest_run(*places).path == tmp_path / "b/new"
    assert latest_run(places[0]).path == tmp_path / "a/old"


def test_a_recipe_written_before_there_was_such_a_folder_still_reads() -> None:
    values = find_recipe("tinyvgg").to_dict()
    del values["runs"]
    assert Recipe.from_dict(values) == find_recipe("tinyvgg")
    for wrong in ("", "  ", None, 3):
        with pytest.raises(WordsError, match="name a folder"):
            Recipe.from_dict({**values, "runs": wrong})
