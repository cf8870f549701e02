"""The detector on real faces: where it finds eyes, nose and mouth."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adafer import image
from adafer.faces import FaceDetector

pytestmark = pytest.mark.real

MODELS = Path(__file__).parents[1] / "../shared/models"


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    found = sorted(MODELS.glob("face_detection_yunet*.onnx"))
    if not found:
        pytest.skip("no face detector beside the checkout")
    return FaceDetector(found[0])


@pytest.fixture(scope="module")
def faces(real_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Forty real FER+ faces of 48 pixels."""
    out = tmp_path_factory.mktemp("faces")
    script = real_faces.parent / "materialize.py"
    words = [sys.executable, str(script), "ferplus", str(out), "--limit", "40"]
    subprocess.run(words, check=True, capture_output=True)
    found = [image.read(path) for path in sorted(out.rglob("*.png"))[:40]]
    assert len(found) == 40
    return found


def test_it_finds_nearly_every_face_and_its_points_in_their_order(detector, faces) -> None:
    found = [detector.find(face) for face in faces]
    assert sum(map(bool, found)) >= 38
    points = np.stack([each[0].points for each in found if each])  # (n, 5, 2)
    left_eye, right_eye, nose, left_mouth, right_mouth = points.mean(0)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert (points > -5).all()
    assert (points < 53).all()


def test_a_larger_picture_of_a_face_has_its_points_farther_apart(detector, faces) -> None:
    apart = []
    for face in [face for face in faces if detector.find(face)]:
        larger = Image.fromarray(face).resize((192, 192), Image.Resampling.BICUBIC)
        expected = (detector.find(face)[0].points + 0.5) * 4 - 0.5
        other = detector.find(np.array(larger))
        if other:
            apart.append(np.abs(other[0].points - expected).mean() / 4)
    assert float(np.median(apart)) < 1  # pixel of the small face


def test_a_mirrored_face_has_mirrored_points(detector, faces) -> None:
    apart = []
    for face in [face for face in faces if detector.find(face)]:
        other = detector.find(np.ascontiguousarray(face[:, ::-1]))
        if other:
            points = detector.find(face)[0].points[[1, 0, 2, 4, 3]]
            apart.append(np.abs(other[0].points - mirrored(points)).mean())
    assert float(np.median(apart)) < 1


def mirrored(points: np.ndarray) -> np.ndarray:
    return np.stack([47 - points[:, 0], points[:, 1]], 1)


@pytest.mark.parametrize("shape", [(48, 48, 3), (30, 700), (1, 1, 3)])
def test_nothing_is_found_where_nothing_is(detector, shape) -> None:
    assert detector.find(np.full(shape, 128, np.uint8)) == []
