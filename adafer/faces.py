"""Find faces in a picture and five points of each: eyes, nose, corners of the mouth.

The detector is YuNet (Wu et al. 2023, doi 10.1007/s11633-023-1423-y), run by OpenCV from an ONNX
file that the user gives; nothing is downloaded.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adafer.errors import DataError

FROM_SIDE, TO_SIDE = 224, 640
"""Longer side that pictures are enlarged to at least, and reduced to at most, in pixels: YuNet
misses faces of a few dozen pixels and spends time in proportion to the area."""

WHERE = "the ONNX file of YuNet, from OpenCV's model zoo (face_detection_yunet)"


@dataclass(frozen=True, kw_only=True)
class FoundFace:
    """A face in a picture; x runs right and y down, in pixels of the picture."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    points: NDArray[np.float32]  # (5, 2) eyes, nose, mouth corners; left ones first
    score: float  # 0 to 1


class FaceDetector:
    """YuNet: `FaceDetector(path).find(pixels)` lists the faces of a picture, surest first."""

    name = "yunet"
    points = 5

    def __init__(self, path: str | Path, min_score: float = 0.6) -> None:
        """Load the model; raises DataError if the file is missing or is no such model."""
        self.path = Path(path).expanduser()
        level = cv2.utils.logging.getLogLevel()  # it warns of a target that nobody asked for
        if not self.path.is_file():
            raise DataError(f"no face detector '{self.path}': no such file; give {WHERE}")
        try:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
            data = np.frombuffer(self.path.read_bytes(), np.uint8)
            self._model = cv2.FaceDetectorYN.create(
                "onnx", data, np.empty(0, np.uint8), (FROM_SIDE, FROM_SIDE), min_score
            )
            self.find(np.zeros((FROM_SIDE, FROM_SIDE, 3), np.uint8))
        except (cv2.error, OSError):
            raise DataError(f"'{self.path}' is no face detector; give {WHERE}") from None
        finally:
            cv2.utils.logging.setLogLevel(level)

    def find(self, pixels: NDArray[np.uint8]) -> list[FoundFace]:
        """Faces of a picture (H, W, 3) RGB or (H, W) grey."""
        height, width = pixels.shape[:2]
        scale = min(max(1.0, FROM_SIDE / max(height, width)), TO_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        colour = cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        resized = cv2.resize(cv2.cvtColor(pixels, colour), size, interpolation=method)
        self._model.setInputSize(size)
        _, rows = self._model.detect(resized)
        if rows is None:
            return []
        across, down = size[0] / width, size[1] / height
        found = [_face(row, across, down) for row in np.asarray(rows, np.float64)]
        return sorted(found, key=lambda face: -face.score)


def _face(row: NDArray[np.float64], across: float, down: float) -> FoundFace:
    left, top, width, height = row[:4]
    # The middle of a pixel stays the middle of what it became.
    points = (row[4:14].reshape(5, 2) + 0.5) / (across, down) - 0.5
    return FoundFace(
        box=(left / across, top / down, (left + width) / across, (top + height) / down),
        points=points.astype(np.float32),
        score=float(row[14]),
    )
