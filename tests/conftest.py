"""Put this folder on the path, so that every test can import `fakes`, and name the real faces."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

REAL_FACES = Path(__file__).parents[1] / "../shared/data/ferplus"


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder with the real FER+ faces and votes."""
    if not (REAL_FACES / "train.csv").is_file():
        pytest.skip("the real FER+ faces are not beside the checkout")
    return REAL_FACES
