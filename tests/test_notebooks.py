"""The notebooks run from their first cell to their last, as they are stored."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def run(path: Path) -> dict[str, Any]:
    """Run every code cell in one namespace and return it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}:{cell['id']}", "exec"), names)
    return names


@EACH
def test_a_notebook_is_stored_clean_and_explains_itself(path: Path) -> None:
    book = read(path)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name) for name in ids)
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert len(book["cells"]) - len(code) >= len(code) - 1
    assert "not what a person feels" in "".join(book["cells"][0]["source"])


def test_the_lesson_from_scratch_trains_both_models_and_catches_the_classic_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES / "from_scratch.ipynb")
    printed = capsys.readouterr().out
    assert "refused: rebuild the optimizer for this model" in printed
    assert "TinyVGG: 0." in printed
    assert "ResNet-18: 0." in printed
    assert "3591 of 11180103" in printed  # 512 features and a bias for each of seven classes
    assert "first layer unchanged: True" in printed
    for results in (names["results_0"], names["results_1"]):
        assert set(results) == {"train_loss", "train_acc", "test_loss", "test_acc"}
        assert all(len(values) == 2 for values in results.values())
        assert results["train_loss"][1] < results["train_loss"][0]


def functions(source: str) -> dict[str, str]:
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.dump(node) for node in found}


def test_the_lesson_from_scratch_is_the_same_as_script_and_as_notebook() -> None:
    script = functions((EXAMPLES / "from_scratch.py").read_text(encoding="utf-8"))
    cells = read(EXAMPLES / "from_scratch.ipynb")["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lesson = functions("\n".join(code))
    assert set(lesson) == {"collate", "loader", "train_step", "test_step", "train"}
    assert lesson == {name: script[name] for name in lesson}


def test_the_lesson_of_fine_tuning_leaves_a_calibrated_explained_exported_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES / "transfer.ipynb")
    folder = tmp_path / "runs" / "transfer"
    for name in ("report.html", "history.png", "explain/faces/explain.html", "export/model.onnx"):
        assert (folder / name).is_file(), name
    table = (EXAMPLES.parent / "docs/guides/from-the-notebooks.md").read_text(encoding="utf-8")
    artefacts = table.split("## Artefacts")[1].split("\n## ")[0]
    named = re.findall(
        r"`((?:weights/|export/|eval/val/)?\w+\.(?:json|csv|png|safetensors|onnx))`", artefacts
    )
    assert {"results.csv", "weights/best.safetensors", "eval/val/per_class.csv"} <= set(named)
    assert not [name for name in named if not (folder / name).is_file()]
    assert list((folder / "explain/faces/panels/gradcam").glob("*.png"))
    assert "frozen" in capsys.readouterr().out
    told = json.loads((folder / "weights" / "config.json").read_text())
    assert told["files"]["best"]["temperature"] == names["found"].temperature.value
