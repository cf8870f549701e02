"""The house rules that a machine can check; the list of floors is the documentation."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adafer"

FLOORS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"words"},
    {"studies", "launched"},
    {"experiment", "export", "explain"},
    {"readiness"},
    {"training", "evaluation", "launch"},
    {"progress"},
    {"predictor", "preparation"},
    {"recipes", "bundle", "run"},
    {"recipe"},
    {"losses"},
    {"data", "models", "engine"},
    {"contracts"},
    {"report"},
    {"analysis"},
    {"trajectory"},
    {
        "metrics",
        "predictions_file",
        "faces",
        "pictures",
        "flags",
        "objections",
        "synonyms",
        "tokens",
    },
    {"kaggle"},
    {"labels", "image", "predictions", "settings", "responsible_use", "plain_values", "archive"},
    {"hub_models"},
    {"errors"},
]
"""Top first. A module imports lower floors only; names on one floor are blind to each other."""

NO_TORCH = [
    "labels",
    "image",
    "predictions",
    "metrics",
    "report",
    "recipe",
    "recipes",
    "run",
    "cli",
    "trajectory",
    "analysis",
    "kaggle",
    "tokens",
]
FORBIDDEN_NAMES = {"utils", "misc", "common", "helpers", "base", "core", "managers", "trainer"}
FORBIDDEN_LOADS = re.compile(
    r"torch\.load\(|pickle\.loads?\(|allow_pickle=True|weights_only=False|trust_remote_code=True"
    r"|joblib\.load"
)
ENGINE_WORDS = re.compile(r"\b(act|halt\w*|anchors?|grefel|transfer)\b", re.IGNORECASE)
WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'torch':
            raise ImportError('torch is blocked')
sys.meta_path.insert(0, Refuse())
"""
LONGEST_FILE, LONGEST_FUNCTION, ROOT_ENTRIES = 400, 60, 20


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("adafer."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("adafer.")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_lower_floors_only(path: Path) -> None:
    if path.parent == PACKAGE and path.name == "__init__.py":
        return
    own = room(path)
    for other in imported_rooms(path) - {own}:
        assert floor(other) > floor(own), f"{own} may not import {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short_and_well_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert path.stem not in FORBIDDEN_NAMES
    assert not FORBIDDEN_LOADS.search(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_the_engine_knows_none_of_the_systems() -> None:
    for path in (PACKAGE / "engine").glob("*.py"):
        found = ENGINE_WORDS.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name} says {found and found[0]!r}"


@pytest.mark.parametrize("name", NO_TORCH)
def test_the_ground_floor_imports_without_torch(name: str) -> None:
    program = f"{WITHOUT_TORCH}\nimport adafer.{name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_setting_is_read_somewhere() -> None:
    settings = {
        node.target.id
        for path in (PACKAGE / "settings").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if node.target.id.islower()
    }
    readers = [p.read_text(encoding="utf-8") for p in modules() if room(p) not in ("settings",)]
    text = "\n".join(readers)
    unread = {name for name in settings if not re.search(rf"\.{name}\b", text)}
    assert not unread


def test_the_root_stays_small() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert len({entry.split("/")[0] for entry in listed}) <= ROOT_ENTRIES


def test_no_function_hides_an_import() -> None:
    """Imports sit on top, but for extras, quick help, a back end's choice and what takes long."""
    allowed = {"cli.py", "__init__.py", "predictor.py", "trackers.py", "transfer.py", "split.py"}
    for path in modules():
        if path.name in allowed or path.parent.name == "commands":
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                hidden = [
                    n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)
                ]
                assert not hidden, f"{path.name}: {function.name} imports inside"


def test_what_takes_seconds_to_import_waits_until_it_is_needed() -> None:
    program = """
import sys
import adafer.experiment
slow = {"timm", "torchvision", "sklearn", "torch._dynamo"}
print(*slow & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "", done.stderr
