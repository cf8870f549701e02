"""The examples run as they stand, with small settings, and print what they promise."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
EMOTIONS = {"neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"}


def run(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 115
    assert f"python examples/{path.name}" in text


def test_train_on_toy_prints_the_steps_of_every_emotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "1", "--channels", "16", "--runs", str(tmp_path)]
    run("train_on_toy.py", words, monkeypatch)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"trained; read {tmp_path / 'adafer' / 'report.html'}"
    assert {line.split()[0] for line in lines} <= EMOTIONS
    assert sum(int(line.split()[1]) for line in lines) == 28  # a quarter of the training faces
    assert all(1 <= float(line.split()[3]) <= 5 for line in lines)


def test_evaluate_and_export_gives_the_same_answer_from_the_exported_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "1", "--runs", str(tmp_path)]
    run("evaluate_and_export.py", words, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["T = 1", "T = 2", "T = 4"]
    assert "1.00 steps" in lines[0]
    answers = [line.rsplit(": ", 1)[1] for line in lines[-2:]]
    assert answers[0] == answers[1]


def test_from_scratch_trains_both_models_from_the_same_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("from_scratch.py", ["--faces", "112", "--epochs", "1"], monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in ("TinyVGG", "ResNet-18")] == ["TinyVGG", "ResNet-18"]
    assert sum("of the test faces named as labelled" in line for line in lines) == 2


def test_transfer_prints_what_learned_and_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "2", "--backbone", "test_resnet"]
    run("transfer.py", [*words, "--runs", str(tmp_path)], monkeypatch)
    printed = capsys.readouterr().out
    assert "layer4" in printed
    assert "frozen" in printed
    assert (tmp_path / "transfer-resnet50" / "export" / "model.onnx").is_file()


def test_act_naive_counts_every_validation_face_and_draws_the_quick_and_the_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "1", "--channels", "16", "--runs", str(tmp_path)]
    run("act_naive.py", words, monkeypatch)
    printed = capsys.readouterr().out
    by_steps = re.findall(r"^ ?(\d+) steps: +(\d+) faces, mean probability (\S+)", printed, re.M)
    assert sum(int(faces) for _, faces, _ in by_steps) == 28
    assert all(1 / 7 <= float(probability) <= 1 for _, _, probability in by_steps)
    means = re.findall(r"^(\w+) +(\d\.\d\d|10\.00) steps$", printed, re.M)
    assert {name for name, _ in means} <= EMOTIONS
    total = sum(int(steps) * int(faces) for steps, faces, _ in by_steps)
    assert 1 <= total / 28 <= 10
    with Image.open(tmp_path / "act-naive" / "quick-and-slow.png") as picture:
        assert picture.width > 10 * 72  # ten faces in a row


def test_act_graves_mixes_the_steps_with_weights_that_sum_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "1", "--channels", "16", "--runs", str(tmp_path)]
    run("act_graves.py", [*words, "--dear", "fear", "--factor", "9"], monkeypatch)
    printed = capsys.readouterr().out
    costs = re.findall(r"^(\w+) +(\d\.\d\d) +(\d\.\d\d)$", printed, re.M)
    assert {name for name, *_ in costs} == EMOTIONS
    assert all(1 <= float(cost) <= 7 for _, *pair in costs for cost in pair)
    inside = re.findall(r"p = (\S+), counts (\S+)$", printed, re.M)
    steps = sum(float(weight) > 0 for _, weight in inside)
    assert sum(float(weight) for _, weight in inside) == pytest.approx(1, abs=0.003)
    # Graves 2016, eq. 7-9: p at each step but the last, the rest R at the last, and N + R.
    for score, weight in inside[: steps - 1]:
        assert weight == score
    told = float(re.search(r"N \+ R = (\S+)", printed)[1])  # type: ignore[index]
    rest = 1 - sum(float(score) for score, _ in inside[: steps - 1])
    assert told == pytest.approx(steps + rest, abs=0.004)
    recipe = yaml.safe_load((tmp_path / "dear" / "recipe.yaml").read_text())
    assert recipe["loss"]["ponder_class_weights"] == [0.2] * 6 + [9.0]


def test_every_system_has_an_example() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py"))
    shown = set(re.findall(r'"(act-naive|act-graves|adafer|transfer-resnet50)"', text))
    assert shown == {"act-naive", "act-graves", "adafer", "transfer-resnet50"}
    assert "TinyVGGSettings()" in text
    assert 'backbone="resnet18"' in text


def test_grefel_trains_both_models_and_shows_what_the_correction_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--faces", "112", "--epochs", "1", "--runs", str(tmp_path)]
    run("grefel.py", words, monkeypatch)
    plain, whole, _, *rows = capsys.readouterr().out.splitlines()
    assert (plain.split()[0], whole.split()[0]) == ("plain", "whole")
    assert {row.split()[0] for row in rows} == EMOTIONS
    for place in (1, 4, 6):  # each of the three columns sums to 1
        shares = [float(row.replace(",", "").split()[place].rstrip("%")) for row in rows]
        assert sum(shares) == pytest.approx(100, abs=1)
