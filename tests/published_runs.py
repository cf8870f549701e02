"""A small finished run to publish, and the hub's client pointed at the stand-in."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hub_stand_in import JANE, Hub, running_hub
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from adafer import cli

NAME = "jane/fer-small"


def finished_run(runs: Path) -> Path:
    """Train a floor baseline on a few drawn faces, measure it on test, export it."""
    words = ["train", "tinyvgg", "--toy-faces", "112", "--epochs", "2", "--width", "8"]
    words += ["--batch-size", "32", "--workers", "0", "--device", "cpu", "--quiet"]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.run([*words, "--runs", str(runs)]) == 0
    run = runs / "tinyvgg"
    assert cli.run(["evaluate", str(run), "--split", "test"]) == 0
    assert cli.run(["export", str(run)]) == 0
    torch.set_num_threads(before)
    return run


@contextmanager
def client_of_a_new_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A new hub, the client's cache and endpoint, jane logged in, and no waiting between tries."""
    with running_hub() as hub:
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        if hasattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
        monkeypatch.setattr(_http, "time", types.SimpleNamespace(sleep=lambda seconds: None))
        monkeypatch.setenv("HF_TOKEN", JANE)
        yield hub


def files_below(folder: Path) -> list[Path]:
    """Every file and link in a folder."""
    return [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
