"""Simulated /kaggle trees with drawn faces, for the tests of Kaggle."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from fakes import table
from PIL import Image

from adafer.data.listing import pixels_of
from adafer.data.toy import read
from adafer.labels import RAFDB_ORDER
from adafer.settings.data import DataSettings

NOTEBOOK = Path(__file__).parents[1] / "examples" / "kaggle.ipynb"
SMALL = {
    "epochs": 2, "channels": 16, "stem_channels": 8, "max_steps": 2, "batch_size": 32,
    "workers": 0, "device": "cpu", "precision": "fp32",
}  # fmt: skip

STAND_IN = '''
"""Kaggle's module of secrets, as far as it is used: one secret is there."""


class BackendError(Exception):
    pass


class UserSecretsClient:
    def get_secret(self, label):
        if label == "WANDB_API_KEY":
            return "KEY"
        raise BackendError("Response: {'secret': 'never-to-be-seen'}")
'''
NO_NETWORK = """
import socket, sys

sys.ps1 = "> "  # somebody watches, as in a notebook

def refuse(*given, **named):
    raise OSError("there is no network here")

socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
"""


def drawn(count: int) -> list[tuple[str, str, Any]]:
    """Split, class name and pixels of faces that the project draws."""
    settings = DataSettings(toy_faces=count)
    faces = []
    for split in ("train", "test"):
        listing = read(Path(), split, settings)
        for picture, label in zip(listing.pictures, listing.labels, strict=True):
            faces.append((split, listing.class_names[label], pixels_of(picture)))
    return faces


def save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def plain(root: Path, count: int = 112) -> Path:
    """An ImageFolder: train/happiness/00001.png."""
    for number, (split, name, pixels) in enumerate(drawn(count)):
        save(root / split / name / f"{number:05d}.png", pixels)
    return root


def kaggle_rafdb(root: Path, count: int = 112) -> Path:
    """RAF-DB as on Kaggle: DATASET/train/4/train_00001_aligned.png, lists of labels beside it."""
    rows: dict[str, list[list[object]]] = {name: [["image", "label"]] for name in ("train", "test")}
    for number, (split, name, pixels) in enumerate(drawn(count)):
        label, file = RAFDB_ORDER.index(name) + 1, f"{split}_{number:05d}_aligned.png"
        save(root / "DATASET" / split / str(label) / file, pixels)
        rows[split].append([file, label])
    for split, listed in rows.items():
        table(root / f"{split}_labels.csv", listed)
    return root


def zipped(folder: Path, archive: Path) -> Path:
    """Pack a folder and remove it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = Path(shutil.make_archive(str(archive.with_suffix("")), "zip", folder))
    shutil.rmtree(folder)
    return made


def locked(folder: Path) -> Path:
    """Take away the right to write, everywhere below (root writes all the same)."""
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    return folder


def unlocked(folder: Path) -> None:
    """Give it back, so that pytest can clear up."""
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        place.chmod(0o755)


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file and folder below: what writing would change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in (folder, *sorted(folder.rglob("*")))
    }


def cells(until: str = "") -> str:
    """Code of the notebook as a program, up to a cell and with it."""
    code = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            code.append("".join(cell["source"]))
        if until and cell["id"] == until:
            break
    return "\n\n".join(code)


def surroundings(root: Path, **changes: object) -> dict[str, str]:
    """Environment of a process on the simulated Kaggle; its secrets' module is on the path."""
    modules = root / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "kaggle_secrets.py").write_text(STAND_IN)
    path = os.pathsep.join(filter(None, (str(modules), os.environ.get("PYTHONPATH", ""))))
    kept = {name: value for name, value in os.environ.items() if name != "WANDB_API_KEY"}
    return kept | {
        "ADAFER_KAGGLE_ROOT": str(root),
        "ADAFER_CHANGES": json.dumps(SMALL | changes),
        "ADAFER_NAME": "first",
        "KAGGLE_KERNEL_RUN_TYPE": "Batch",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": path,
    }
