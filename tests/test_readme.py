"""What README and docs say is so: commands, flags, files, numbers, code."""

import importlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import adafer
from adafer import cli
from adafer.commands.data import WORDS as DATA_WORDS
from adafer.data import LAYOUTS, READERS
from adafer.data.toy import read as draw
from adafer.engine.journal import COLUMNS
from adafer.models import build
from adafer.models.halting import HALTING
from adafer.recipes import RECIPES
from adafer.responsible_use import MEANING, STATEMENT
from adafer.settings.data import DataSettings
from adafer.settings.model import RecursiveSettings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
TINY = "toy_faces=112, channels=16, stem_channels=8, max_steps=3, batch_size=32, workers=0"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[list[str]]:
    """The words of every line of code that calls adafer, without what explains it."""
    text = text_of(page)
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^ {4}(adafer .*)", text, re.MULTILINE)
    lines += [found for found in re.findall(r"`([^`]+)`", text) if found.startswith("adafer ")]
    called = [re.split(r"\s#|\s{3,}|;", line)[0] for line in lines]
    starts = [
        re.search(r"(?:^|&& )(?:uv run (?:--no-sync )?)?adafer (.*)", line) for line in called
    ]
    return [shlex.split(start[1]) for start in starts if start]


@cache
def help_of(*words: str) -> str:
    """What a command's help prints where there is no terminal."""
    program = "import sys; from adafer import cli; sys.exit(cli.run(sys.argv[1:]))"
    given = [sys.executable, "-c", program, *words, "--help"]
    return subprocess.run(given, capture_output=True, text=True, check=True).stdout


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z0-9-]*", text))


@EACH_PAGE
def test_every_command_and_flag_exists(page: Path) -> None:
    for words in commands(page):
        command = words[0].rstrip(",.")
        if command in ("--help", "--version", "COMMAND"):
            continue
        assert command in cli.COMMANDS, words
        known = {"train": RECIPES, "lr-find": RECIPES, "data": DATA_WORDS}.get(command, ())
        named = [word for word in words[1:2] if word in known]
        if "--loss" in words:
            named += ["--loss", words[words.index("--loss") + 1]]
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= flags_in(help_of(command, *named)) | {"--help"}, words


@EACH_PAGE
def test_every_flag_that_is_spoken_of_exists(page: Path) -> None:
    known = {"--help", "--version", "--torch-backend", "--no-config", "--no-sync"}
    alone = [[command] for command in cli.COMMANDS]
    below = [["data", word] for word in DATA_WORDS]
    losses = [["train", "tinyvgg", "--loss", name] for name in ("ldam", "distillation", "focal")]
    recipes = [["train", name] for name in ("transfer-resnet50", "tinyvgg", "grefel")]
    for words in (*alone, *below, *losses, *recipes, ["train", "--loss", "pondernet"]):
        known |= flags_in(help_of(*words))
    assert set(re.findall(r"`(--[a-z][a-z0-9-]*)", text_of(page))) <= known


@EACH_PAGE
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", text_of(page))
    assert not [link for link in links if not (page.parent / link.split("#")[0]).exists()]


@EACH_PAGE
def test_a_page_names_no_host_of_packages_and_no_place_of_a_machine(page: Path) -> None:
    found = re.search(r"pypi|download\.pytorch|/(?:home|work|root)/", text_of(page), re.IGNORECASE)
    assert not found


def test_the_two_commands_stand_in_the_readme_as_they_are() -> None:
    text = text_of(README)
    assert "\npip install uv && uv run adafer train\n" in text
    assert "\npip install uv && uv run pytest\n" in text


def test_the_file_tree_of_the_readme_is_the_package() -> None:
    (tree,) = re.findall(r"^adafer/\n(.*?)^```", text_of(README), re.MULTILINE | re.DOTALL)
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    there = {
        path.name
        for path in (ROOT / "adafer").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert shown == there - {"__init__.py"}


def test_the_systems_of_the_readme_are_the_recipes_with_their_parameters() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| \w+ \| ([\d,]+) \|", text_of(README), re.MULTILINE)
    counted = {}
    for recipe in RECIPES.values():
        with torch.device("meta"):
            module = build(recipe.model, 7, recipe.data.img_size)
        counted[recipe.name] = sum(value.numel() for value in module.parameters())
    assert {name: int(number.replace(",", "")) for name, number in rows} == counted


@pytest.mark.parametrize(
    "script", ["tables.py", "steps_study.py", "grefel.py", "label_noise.py", "near_copies.py"]
)
def test_the_tables_of_results_are_those_of_the_result_files(script: str) -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / script), "--check"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def measured(folder: Path, seed: int, accuracy: float) -> None:
    """A run folder with a measured test split, as far as the table of results reads it."""
    (folder / "eval/test").mkdir(parents=True)
    metrics = {"n": 1200, "accuracy": accuracy, "macro_f1": 0.5, "mean_steps": None}
    (folder / "eval/test/metrics.json").write_text(json.dumps(metrics))
    recipe = {"name": "tinyvgg", "data": {"data": "/secret/place/faces", "roots": ["/secret"]}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    facts = {
        "command": ["adafer", "train", "--data", "/secret/place/faces"],
        "data": {"layout": "ferplus", "source": "/secret/place/faces"},
        "finished": f"2026-11-1{seed}T10:00:00+00:00",
        "parameters": 8487,
        "seed": seed,
        "test_uses": [{"data": "/secret/place/faces", "n": 1200}],
    }
    (folder / "run.json").write_text(json.dumps(facts))
    row = dict.fromkeys(COLUMNS, "") | {"epoch": "1", "train_acc": "0.5", "val_acc": "0.4"}
    row |= {"val_macro_f1": "0.3", "train_loss": "1.0", "val_loss": "2.0"}
    lines = [",".join(values) for values in (row, row.values())]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    (folder / "eval/test/confusion_matrix.csv").write_text("label,a\na,1\n")


def test_the_table_gives_mean_and_spread_over_seeds_and_keeps_no_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tables = importlib.import_module("tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    assert tables.table(tables.results(tmp_path / "results")) == "No results yet."
    for seed, accuracy in ((1, 0.80), (2, 0.82), (3, 0.84)):
        measured(tmp_path / f"run-{seed}", seed, accuracy)
        kept = tables.keep(tmp_path / f"run-{seed}", "test", "")
        texts = {"metrics.json", "run.json", "recipe.yaml", "results.csv", "confusion_matrix.csv"}
        assert {path.name for path in kept.iterdir()} == {*texts, "curves.png"}
        assert all("secret" not in text_of(kept / name) for name in texts)
    _, _, row, *others = tables.table(tables.results(tmp_path / "results")).splitlines()
    published = [name for name, recipe in RECIPES.items() if hasattr(recipe.model, "pretrained")]
    assert len(others) == len(published)
    assert all("pretrained: not run" in other for other in others)
    assert row == (
        "| `tinyvgg` | ferplus | 1,200 test faces | 8,487 | 82.0 ± 2.0 | 50.0 ± 0.0 | – | 3 "
        "| 2026-11-13 |"
    )


@pytest.mark.parametrize("name", ["README.md", "docs/concepts/responsible-use.md"])
def test_the_words_of_responsible_use_are_there(name: str) -> None:
    text = " ".join(text_of(ROOT / name).replace("> ", "").split())
    assert STATEMENT.removesuffix(".") in text
    assert MEANING.removeprefix("It ").removesuffix(".") in text
    assert "Article 5(1)(f)" in text
    assert "Article 50(3)" in text
    assert "non-commercial" in text


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", text_of(README), re.MULTILINE | re.DOTALL)
    assert code.count("epochs=5") == 1
    assert len([line for line in code.splitlines() if line]) == 5
    (tmp_path / "faces").mkdir()
    faces = draw(Path(), "test", DataSettings(toy_faces=56)).pictures[:3]
    for number, face in enumerate(faces):
        Image.fromarray(face).save(tmp_path / f"faces/{number}.png")  # type: ignore[arg-type]
    script = tmp_path / "script.py"
    script.write_text(code.replace("epochs=5", f"epochs=1, {TINY}"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [Path(line[0]).name for line in lines] == ["0.png", "1.png", "2.png"]
    for _, label, probability, steps in lines:
        assert label in adafer.load("runs/act-graves").class_names
        assert 1 / 7 <= float(probability) <= 1
        assert 1 <= int(steps) <= 3


# ── docs ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_steps_at_the_start_are_those_that_the_rules_give() -> None:
    text = text_of(ROOT / "docs/concepts/halting.md")
    rows = re.findall(r"^\| ([+-]?[\d.]+) \| ([\d.]+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.M)
    assert len(rows) == 8
    rules: list[tuple[str, RecursiveSettings]] = [
        ("graves", RecursiveSettings()),
        ("graves", RecursiveSettings(remainder="multiplicative")),
        ("ponder", RecursiveSettings()),
    ]
    for bias, probability, *counts in rows:
        scores = torch.full((10, 1), float(bias)).sigmoid()
        assert f"{float(scores[0]):.3f}" == probability
        taken = [int(HALTING[rule](scores, settings).steps) for rule, settings in rules]
        assert taken == list(map(int, counts)), f"b = {bias}"


def test_every_halting_rule_is_explained() -> None:
    text = text_of(ROOT / "docs/concepts/halting.md")
    assert set(re.findall(r"^### `(\w+)`", text, re.M)) == set(HALTING)


@pytest.mark.parametrize(
    ("remainder", "weights", "cost"),
    [("additive", [0.3, 0.4, 0.2, 0.1], 4.1), ("multiplicative", [0.3, 0.28, 0.084, 0.336], 2.456)],
)
def test_the_worked_example_of_the_two_remainders_is_right(
    remainder: str, weights: list[float], cost: float
) -> None:
    text = text_of(ROOT / "docs/concepts/halting.md")
    scores = torch.tensor([[0.3], [0.4], [0.2], [0.5]], dtype=torch.float64)
    settings = RecursiveSettings(remainder=remainder)  # type: ignore[arg-type]
    halt = HALTING["graves"](scores, settings)
    assert halt.weights[:, 0].tolist() == pytest.approx(weights)
    assert float(halt.cost) == pytest.approx(cost)
    assert f"{remainder} weights are {', '.join(f'{w:g}' for w in weights)}" in " ".join(
        text.split()
    )


def gradient(rule: str, value: Callable[..., torch.Tensor]) -> list[float]:
    scores = torch.tensor([[0.3], [0.4], [0.2], [0.5]], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(value(HALTING[rule](scores, RecursiveSettings())).sum(), scores)
    return found[:, 0].tolist()


def test_what_the_unit_learns_from_is_as_the_page_says() -> None:
    outputs = torch.tensor([[0.0], [1.0], [4.0], [9.0]], dtype=torch.float64)
    answer = gradient("graves", lambda halt: halt.weights * outputs)
    assert all(value != 0 for value in answer[:3])
    assert answer[3] == 0
    assert gradient("graves", lambda halt: halt.cost) == [-1, -1, -1, 0]
    assert gradient("naive", lambda halt: halt.cost) == [-1, -1, -1, 0]
    scores = torch.full((4, 1), 0.3, requires_grad=True)
    assert not HALTING["naive"](scores, RecursiveSettings()).weights.requires_grad


def test_the_guide_to_data_names_every_layout() -> None:
    text = text_of(ROOT / "docs/guides/data.md")
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.M)
    assert [name for name in rows if name in READERS] == [*LAYOUTS, "toy"]
