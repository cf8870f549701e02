"""One small finished run for every test that publishes, and a hub for each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import Hub
from published_runs import NAME, client_of_a_new_hub, finished_run

from adafer.export.release import Release, prepare_release


@pytest.fixture(scope="session")
def run_to_publish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained, measured and exported run; look, do not touch."""
    return finished_run(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def release(run_to_publish: Path) -> Release:
    """That run, ready to go out."""
    return prepare_release(run_to_publish, NAME)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A new and empty hub, at which jane is logged in."""
    with client_of_a_new_hub(tmp_path / "cache", monkeypatch) as hub:
        yield hub
