"""The examples run as they stand, with small settings, and print what they promise."""

import runpy
import sys
from pathlib import Path

import pytest

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
