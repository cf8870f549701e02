"""What `datasets` prepares in these tests goes to a folder of theirs, not to the user's cache."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all tests: a folder of the same files is prepared once."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(autouse=True)
def _own_hub_cache(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set before the import, which reads it, and after."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(hub_cache))
    if "datasets" in sys.modules:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", hub_cache)
