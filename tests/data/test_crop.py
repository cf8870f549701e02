"""The middle of a face, cut out for evaluation, and the crops of fine-tuning."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from adafer.data import toy
from adafer.data.augment import Augmentation
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader
from adafer.data.sampler import cuts
from adafer.errors import WordsError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SETTINGS = DataSettings(toy_faces=70, batch_size=8, workers=0)
CROPPED = Preprocessing(28, grey=True, crop=0.875)  # of 32 pixels


def dataset(preprocessing: Preprocessing, points: bool = False) -> FaceDataset:
    listing = toy.read(Path(), "train", SETTINGS)
    if points:
        given = np.tile(np.array([[[20.0, 24.0]]], np.float32), (len(listing), 1, 1))
        listing = replace(listing, landmarks=given, mirror_points=(0,))
    return FaceDataset(listing, preprocessing)


def test_a_face_is_resized_by_114_percent_and_its_middle_cut_out() -> None:
    whole = Preprocessing(256, grey=False)
    cut = Preprocessing(224, grey=False, crop=0.875)
    picture = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    assert cut.whole == 256
    assert np.array_equal(cut.resized(picture), whole.resized(picture)[16:240, 16:240])
    assert Preprocessing.from_json(cut.to_json()) == cut
    old = {key: value for key, value in cut.to_json().items() if key != "crop"}
    assert Preprocessing.from_json(old) == replace(cut, crop=1.0)
    with pytest.raises(WordsError, match="--crop"):
        Preprocessing(224, grey=False, crop=0.4)


def test_evaluation_is_deterministic_and_sees_the_middle() -> None:
    faces = dataset(CROPPED, points=True)
    plain = dataset(Preprocessing(32, grey=True))
    loader = Loader(faces, replace(SETTINGS, augment="transfer"), seed=3, train=False)
    first, again = list(loader(0)), list(loader(5))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.images, other.images)
    images = torch.cat([batch.images for batch in first])
    whole = torch.cat([b.images for b in Loader(plain, SETTINGS, seed=0, train=False)(0)])
    assert torch.equal(images, whole[:, :, 2:30, 2:30])
    landmarks = torch.cat([batch.landmarks for batch in first])
    assert torch.allclose(landmarks, torch.from_numpy(faces.landmarks) - 2)
    assert np.array_equal(faces.faces([3])[0, ..., :1], faces.pixels[3][2:30, 2:30])


@pytest.mark.parametrize("level", ["none", "light", "strong", "transfer"])
def test_training_faces_leave_at_the_size_that_the_model_sees(level: str) -> None:
    settings = replace(SETTINGS, augment=level)
    for batch in Loader(dataset(CROPPED), settings, seed=0, train=True)(0):
        assert batch.images.shape[1:] == (3, 28, 28)
    if level != "transfer":
        for batch in BatchedLoader(dataset(CROPPED), settings, seed=0)(0):
            assert batch.images.shape[1:] == (3, 28, 28)


def test_points_follow_the_crops_of_fine_tuning() -> None:
    side, found = 64, 0
    augmentation = Augmentation("transfer", 0, grey=False, size=48)
    for index in range(60):
        face = np.full((side, side, 3), 60, np.uint8)
        cv2.circle(face, (22, 30), 3, (250, 250, 250), -1)
        varied, points = augmentation.with_points(
            face, np.array([[22.0, 30.0]], np.float32), (0,), 1, index
        )
        assert varied.shape == (48, 48, 3)
        bright = np.argwhere(varied[..., 1] > 0.8 * varied.max())[:, ::-1]
        if varied.max() > 170 and len(bright) >= 9:  # not painted over
            found += 1
            assert np.abs(bright.mean(0) - points[0]).max() < 1.0
    assert found > 40


def test_the_area_that_is_kept_is_three_quarters_to_all() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 3, (64, 1, 1))
    augmentation = Augmentation("transfer", 0, grey=True, size=64)
    points = np.array([[0.0, 0.0], [63.0, 0.0], [0.0, 63.0]], np.float32)
    areas = []
    for index in range(300):
        _, moved = augmentation.with_points(ramp, points, (0, 1, 2), 0, index)
        zoom = abs(np.linalg.det(np.stack([moved[1] - moved[0], moved[2] - moved[0]]) / 63))
        areas.append(1 / zoom)
    assert 0.73 < min(areas) < 0.78
    assert 0.97 < max(areas) < 1.03


@pytest.mark.parametrize(
    ("faces", "batch", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (5, 1, [1, 1, 1, 2]), (8, 4, [4, 4])],
)
def test_a_last_single_face_joins_the_batch_before(
    faces: int, batch: int, sizes: list[int]
) -> None:
    assert [cut.stop - cut.start for cut in cuts(faces, batch)] == sizes
