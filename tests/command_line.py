"""What the tests of the command line share: a tiny training, and ways to look at what it left."""

import csv
import hashlib
from pathlib import Path

import pytest
from safetensors.torch import load_file

from adafer import cli

TINY = [
    *("--toy-faces", "140", "--channels", "16", "--stem-channels", "8", "--max-steps", "3"),
    *("--batch-size", "32", "--workers", "0", "--device", "cpu"),
]
EPOCHS = ["--epochs", "3"]
HEAVY = ("torch", "cv2", "matplotlib", "sklearn", "numpy", "onnx", "PIL", "rich")
ONE_THREAD = "import torch; torch.set_num_threads(1); "


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
