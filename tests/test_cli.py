"""The command line: what it answers, with which exit code, and what it leaves on the disk."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
import torch
from safetensors.torch import load_file

from adafer import cli
from adafer.engine.journal import COLUMNS
from adafer.recipe import Recipe
from adafer.recipes import find_recipe
from adafer.run import Run

TINY = [
    *("--toy-faces", "140", "--channels", "16", "--stem-channels", "8", "--max-steps", "3"),
    *("--batch-size", "32", "--workers", "0", "--device", "cpu"),
]
EPOCHS = ["--epochs", "3"]
HEAVY = ("torch", "cv2", "matplotlib", "sklearn", "numpy", "onnx", "PIL", "rich")
ONE_THREAD = "import torch; torch.set_num_threads(1); "


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread here and in other processes: weights are compared to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three epochs; look, do not touch."""
    runs = tmp_path_factory.mktemp("runs")
    assert cli.run(["train", *TINY, *EPOCHS, "--runs", str(runs), "--quiet"]) == 0
    return runs / "act-graves"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to work on."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "act-graves"))


def digest(run: Path, which: str = "last") -> str:
    """Hash of the weights; the file's own would also hold the order of its header."""
    found = hashlib.sha256()
    for name, value in sorted(load_file(run / f"weights/{which}.safetensors").items()):
        found.update(
            f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.numpy().tobytes()
        )
    return found.hexdigest()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "epoch_time"} for row in csv.DictReader(file)]


def refused(capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> str:
    """Run words that cannot work and return the one sentence that they are answered with."""
    assert cli.run(words) == code
    said = capsys.readouterr().err.strip()
    assert said.startswith("adafer: ")
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ── help ──────────────────────────────────────────────────────────────────────────────────────────


def test_help_teaches_and_loads_nothing_heavy() -> None:
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY!r}:
            raise ImportError(name + ' is blocked')
sys.meta_path.insert(0, Refuse())
from adafer import cli
codes = [cli.run([])]
for command in cli.COMMANDS:
    print('=== ' + command)
    codes.append(cli.run([command, '--help']))
print('=== end')
codes.append(cli.run(['recipes']))
codes.append(cli.run(['train', 'tinyvgg', '--dry-run']))
assert codes == [0] * len(codes), codes
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    about, *helps = done.stdout.split("=== ")
    assert all(f"\n  {command} " in about for command in cli.COMMANDS)
    assert "not what a person feels" in " ".join(about.split())
    assert len(helps) == len(cli.COMMANDS) + 1
    for text in helps[:-1]:
        command = text.split()[0]
        assert "examples:" in text
        assert f"\n  adafer {command}" in text.split("examples:")[1]


def test_the_help_of_train_explains_every_setting_of_its_recipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["train", "tinyvgg", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--width" in text
    assert "--halting" not in text
    assert cli.run(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--halting graves|naive|ponder|confidence|none Rule that decides" in text
    assert "Peak learning rate of AdamW. (0.002)" in text


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "adafer 0.1.0\n"


# ── wrong words: exit code 2 ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["tarin"], "did you mean 'train'?"),
        (["xyzzy"], "`adafer --help` lists them"),
        (["train", "act-grave"], "did you mean 'act-graves'?"),
        (["train", "--epohcs", "3"], "did you mean --epochs?"),
        (["train", "--max_stepz=3"], "did you mean --max-steps?"),
        (["train", "--epochs", "many"], "--epochs takes a whole number, not 'many'"),
        (["train", "--epochs"], "expected one argument"),
        (["train", "--halting", "gravez"], "--halting takes graves | naive"),
        (["train", "--loss", "pondernett"], "did you mean 'pondernet'?"),
        (["train", "tinyvgg", "--loss", "ponder"], "choose --loss cross-entropy"),
        (["train", "--layout", "imagefoldr"], "did you mean imagefolder?"),
        (["train", "--toy-faces", "140", "--name", "../x"], "is no folder name"),
        (["train", "--track", "wnadb"], "invalid choice: 'wnadb'"),
        (["train", "--config", "nowhere.yaml"], "give a run's recipe.yaml"),
        (["train", "--pretrained"], "leave --pretrained out"),
        (["train", "--ponder-class-weights", "2,1", "--toy-faces", "140"], "2 values for 7"),
        (["train", "--epochs", "3", "tinyvgg"], "`adafer train tinyvgg ...`"),
        (["train", "tinyvgg", "--config", "saved.yaml"], "leave 'tinyvgg' out"),
        (["recipes", "resnet18"], "there are act-graves"),
        (["evaluate"], "required: RUN"),
        (["evaluate", "runs/x", "--spilt", "val"], "did you mean --split?"),
        (["predict", "runs/x"], "required: PICTURE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_answered_with_the_way_out(
    words: list[str],
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "saved.yaml").write_text(find_recipe("act-naive").to_yaml())
    monkeypatch.chdir(tmp_path)
    assert hint in refused(capsys, words, 2)
    assert files_of(tmp_path) == {"saved.yaml"}


def test_a_traceback_appears_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "act-grave", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


# ── wrong data: exit code 3, and no folder left behind ────────────────────────────────────────────


def broken(root: Path, case: str) -> Path:
    """A data set with one fault."""
    if case == "no such path":
        return root / "nowhere"
    if case == "empty folder":
        return root
    if case == "one class":
        return fakes.imagefolder(root, ["happy"])
    if case == "empty split":
        fakes.csv_splits(root)
        fakes.table(root / "val.csv", [["image_path", "emotion"]])
        return root
    if case == "label out of range":
        fakes.fer2013(root)
        with (root / "fer2013.csv").open("a") as file:
            file.write(f"7,Training,{fakes.pixels()}\n")
        return root
    if case == "missing column":
        fakes.table(root / "train.csv", [["image_path", "mood"], ["a.png", "happy"]])
        return root
    fakes.imagefolder(root)
    next((root / "train").rglob("*.png")).write_bytes(b"not a picture")
    return root


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("no such path", "no such path"),
        ("empty folder", "none of the known layouts"),
        ("one class", "one class only"),
        ("empty split", "val has no faces"),
        ("label out of range", "not a number from 0 to 6"),
        ("missing column", "no column with the label"),
        ("not a picture", "not an image"),
    ],
)
def test_wrong_data_is_one_sentence_and_leaves_no_run(
    case: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    data = broken(tmp_path / "data", case)
    words = ["train", *TINY, "--data", str(data), "--runs", str(tmp_path / "runs")]
    assert sentence in refused(capsys, words, 3)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["evaluate", "report", "export"])
def test_a_folder_that_is_no_run_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, [command, str(tmp_path / "nothing")], 3)
    assert list(tmp_path.iterdir()) == []


def test_resuming_where_no_run_is_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, ["train", "--resume", "--runs", str(tmp_path)], 3)
    assert "no run to resume" in said


# ── wrong machine: exit code 4; a failure: exit code 1 ────────────────────────────────────────────


def test_a_device_that_is_not_there_is_the_wrong_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *TINY, "--device", "cuda:99", "--runs", str(tmp_path / "runs")]
    refused(capsys, words, 4)
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["train", *TINY, "--runs", str(tmp_path / "file" / "runs")]
    assert "choose a folder with --runs" in refused(capsys, words, 1)


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
        "report.html",
        "weights/best.safetensors",
        "weights/last.safetensors",
        "weights/config.json",
        *(f"eval/val/{name}" for name in evaluation),
    }
    assert len({name.split("/")[1] for name in states}) == 2  # two checkpoints are kept
    lines = (trained / "results.csv").read_text().splitlines()
    assert tuple(lines[0].split(",")) == COLUMNS
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
