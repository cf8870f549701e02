"""The table from the research notes' names to ours, and the guide to fine-tuning, are true."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from adafer.engine.journal import COLUMNS
from adafer.models import build
from adafer.models.transfer import published
from adafer.recipes import find_recipe
from adafer.report.console import closing_block
from adafer.settings.model import TransferSettings
from adafer.synonyms import SYNONYMS

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/guides/from-the-notebooks.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs/guides/transfer.md").read_text(encoding="utf-8")


def rows(text: str, columns: int) -> list[list[str]]:
    """Cells of the rows of all tables that have so many columns, without their headings."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    tables = [found for found in cells if len(found) == columns]
    return [found for found in tables if "There" not in found and not set(found[0]) <= {"-"}]


def settings() -> list[list[str]]:
    return rows(TABLE.split("## Settings")[1].split("Others have another name")[0], 3)


@cache
def definitions(path: Path) -> set[str]:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}


# ── from-the-notebooks.md ─────────────────────────────────────────────────────────────────────────


def test_every_file_of_the_package_that_is_named_exists() -> None:
    named = set(re.findall(r"`(adafer/[\w/.]*)`", TABLE))
    assert {"adafer/models/", "adafer/models/recursive.py", "adafer/engine/train.py"} <= named
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("RecursiveFER", "adafer/models/recursive.py"),
        ("RecursiveBlock", "adafer/models/recursive.py"),
        ("HaltingUnit", "adafer/models/recursive.py"),
        ("TinyVGG", "adafer/models/tiny_vgg.py"),
        ("StepOutput", "adafer/contracts.py"),
        ("DifferentiablePonderLoss", "adafer/losses/ponder.py"),
        ("CrossEntropy", "adafer/losses"),
        ("RafDBDataset", "adafer/data/torch_dataset.py"),
        ("extract_dataset", "adafer/archive"),
        ("train_step", "examples/from_scratch.py"),
        ("test_step", "examples/from_scratch.py"),
    ],
)
def test_a_class_or_function_that_is_named_is_where_the_table_says(name: str, place: str) -> None:
    (line,) = [line for line in TABLE.splitlines() if f"`{name}`" in line and place[7:] in line][:1]
    assert line.startswith("| ")
    assert name in definitions(ROOT / place)


def test_the_settings_are_accepted_under_the_notes_names_and_have_the_values_shown() -> None:
    recipe = find_recipe("transfer-resnet50")
    flat = {
        key: value
        for part in (recipe.data, recipe.model, recipe.phases[0], recipe.train, recipe.loss)
        for key, value in vars(part).items()
    }
    assert set(SYNONYMS) - {"num_anchors"} <= {name.strip("`") for name, *_ in settings()}
    for there, here, value in settings():
        name = there.strip("`")
        ours = re.findall(r"`--([a-z-]+)`", here)[0].replace("-", "_")
        assert ours == (SYNONYMS[name].becomes if name in SYNONYMS else name)
        assert value == ("" if ours == "group_column" else str(flat[ours]))


@pytest.mark.parametrize(
    ("there", "value", "path", "ours"),
    [
        ("lr_backbone", 5e-4, ("phases", "lr_backbone_factor"), 0.5),
        ("use_mixup", False, ("train", "mixup"), 0.0),
        ("use_cutmix", True, ("train", "cutmix"), 1.0),
        ("use_class_weights", False, ("data", "balance"), "none"),
        ("grad_clip_norm", 2.0, ("train", "clip"), 2.0),
        ("model_type", "vit_base_patch16_224", ("model", "backbone"), "vit_base_patch16_224"),
    ],
)
def test_a_setting_of_the_notes_becomes_ours(
    there: str, value: object, path: tuple[str, str], ours: object
) -> None:
    part, name = path
    told = find_recipe("transfer-resnet50").changed(**{there: value}).to_dict()[part]
    assert (told[0] if part == "phases" else told)[name] == ours


def test_the_labels_at_the_end_of_a_training_are_those_of_the_table() -> None:
    lines = closing_block(
        best_macro_f1=0.5,
        best_accuracy=0.5,
        best_epoch=1,
        sizes={"train": 1},
        epoch_seconds=[1.0],
        total_seconds=1.0,
    )
    assert len(lines) == 6
    for line in lines:
        assert f"`{line.split(':')[0]}`" in TABLE


def test_the_columns_that_are_named_are_those_of_results_csv() -> None:
    assert {"train_loss", "train_acc", "val_loss", "epoch_time"} <= set(COLUMNS)
    training = (ROOT / "adafer/training.py").read_text(encoding="utf-8")
    for key in ("Train/Loss", "Train/Accuracy", "ACT/Average_Steps", "ACT/Steps_Per_Class"):
        assert f"`{key}`" in TABLE
        assert f'"{key}' in training


# ── transfer.md ───────────────────────────────────────────────────────────────────────────────────


def test_the_stages_of_the_guide_are_those_of_the_model() -> None:
    recipe = find_recipe("transfer-resnet50")
    with torch.device("meta"):
        model = build(recipe.model, 7, recipe.data.img_size)
    counted = {
        name: sum(value.numel() for value in stage.parameters())
        for name, stage in model.stages()  # type: ignore[operator]
    }
    shown = re.findall(r"^ {6}(\w+) +([\d,]+) +(\S+) +(1\.00e-0\d)$", GUIDE, re.M)
    assert {name: int(number.replace(",", "")) for name, number, *_ in shown} == counted
    rates = {name: (first, second) for name, _, first, second in shown}
    assert rates.pop("classifier") == ("1.00e-03", "1.00e-03")
    assert set(rates.values()) == {("frozen", "1.00e-04")}


@pytest.mark.parametrize("backbone", ["efficientnet_b0", "mobilevit_s"])
def test_the_small_backbones_have_the_size_that_the_guide_shows(backbone: str) -> None:
    (row,) = [row for row in rows(GUIDE, 6) if row[0] == f"`{backbone}`"]
    recipe = find_recipe("transfer-efficientnet").changed(backbone=backbone)
    assert isinstance(recipe.model, TransferSettings)
    with torch.device("meta"):
        model = build(recipe.model, 7, 224)
    assert int(row[1].replace(",", "")) == sum(value.numel() for value in model.parameters())
    assert int(row[2]) == published(backbone).input_size[-1]
    # Four bytes a parameter, and little else, are the file.
    assert float(row[3].split()[0]) == pytest.approx(4e-6 * int(row[1].replace(",", "")), rel=0.02)


def test_the_weights_come_from_where_the_guide_says() -> None:
    assert published("resnet50").hf_hub_id == "timm/resnet50.a1_in1k"
    assert "hf download timm/resnet50.a1_in1k" in GUIDE
    assert published("efficientnet_b0").license == "apache-2.0"
    assert published("mobilevit_s").license == "cvnets-license"
