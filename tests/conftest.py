"""Put this folder on the path, so that every test can import `fakes`, and name the real faces."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adafer import cli

sys.path.insert(0, str(Path(__file__).parent))

from command_line import EPOCHS, TINY  # found on the path that was just added

REAL_FACES = Path(__file__).parents[1] / "../shared/data/ferplus"


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder with the real FER+ faces and votes."""
    if not (REAL_FACES / "train.csv").is_file():
        pytest.skip("the real FER+ faces are not beside the checkout")
    return REAL_FACES


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread here and in other processes: weights are compared to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three epochs; look, do not touch."""
    runs = tmp_path_factory.mktemp("runs")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.run(["train", *TINY, *EPOCHS, "--runs", str(runs), "--quiet"]) == 0
    torch.set_num_threads(before)
    return runs / "act-graves"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to work on."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "act-graves"))
