"""The command line: what it answers, and with which exit code."""

import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from command_line import HEAVY, TINY, files_of, refused

from adafer import cli
from adafer.recipes import find_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


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
    assert "Peak learning rate of AdamW; the head" in text


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
        (["recipes", "resnot"], "did you mean"),
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
