import os
import pickle  # noqa: TID251  the way in which a process hands objects to another
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adafer.data import toy
from adafer.data.augment import Augmentation, Face
from adafer.settings.data import DataSettings

LEVELS = ("light", "strong")


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    listing = toy.read(Path(), "train", DataSettings(toy_faces=12))
    return list(listing.pictures)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("grey", [True, False])
def test_a_face_gets_the_same_variation_in_any_order_and_alone(
    faces: list[Face], level: str, grey: bool
):
    channels = slice(0, 1) if grey else slice(0, 3)
    inputs = [np.ascontiguousarray(face[..., channels]) for face in faces]
    varied = Augmentation(level, 5, grey=grey)
    forward = [varied(face, 2, index) for index, face in enumerate(inputs)]
    backward = [varied(inputs[index], 2, index) for index in reversed(range(len(inputs)))]
    alone = Augmentation(level, 5, grey=grey)(inputs[7], 2, 7)
    assert all(np.array_equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert np.array_equal(forward[7], alone)


@pytest.mark.parametrize("level", LEVELS)
def test_seed_epoch_index_and_repeat_all_change_the_variation(faces: list[Face], level: str):
    results = {
        Augmentation(level, seed, grey=False)(faces[0], epoch, index, repeat).tobytes()
        for seed, epoch, index, repeat in [
            (0, 0, 0, 0),
            (1, 0, 0, 0),
            (0, 1, 0, 0),
            (0, 0, 1, 0),
            (0, 0, 0, 1),
            (2**64 - 1, 10**6, 10**9, 10**3),
        ]
    }
    assert len(results) == 6


def test_a_copy_sent_to_another_process_varies_alike(faces: list[Face]):
    varied = Augmentation("strong", 3, grey=False)
    varied(faces[1], 0, 1)
    sent = pickle.loads(pickle.dumps(varied))
    assert np.array_equal(sent(faces[2], 4, 2), varied(faces[2], 4, 2))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay_and_the_given_face_is_not_touched(
    faces: list[Face], level: str, channels: int
):
    face = np.ascontiguousarray(faces[0][..., :channels])
    before = face.copy()
    varied = Augmentation(level, 0, grey=channels == 1)
    for index in range(30):
        result = varied(face, 0, index)
        assert result.shape == face.shape
        assert result.dtype == np.uint8
    assert np.array_equal(face, before)


def test_none_changes_nothing(faces: list[Face]):
    assert np.array_equal(Augmentation("none", 0, grey=False)(faces[0], 1, 2), faces[0])


@pytest.mark.parametrize("level", LEVELS)
def test_half_of_the_faces_are_mirrored(level: str):
    face = np.zeros((48, 48, 1), np.uint8)
    face[:, 30:] = 200  # bright on the right
    varied = Augmentation(level, 0, grey=True)
    mirrored = sum(
        float(result[:, :24].mean()) > float(result[:, 24:].mean())
        for result in (varied(face, 0, index) for index in range(600))
    )
    assert abs(mirrored / 600 - 0.5) < 0.08  # four standard deviations


def test_strong_shows_holes_of_the_stated_size_on_half_of_the_faces_and_light_none():
    face = np.full((40, 40, 1), 200, np.uint8)
    for level, share in (("light", 0.0), ("strong", 0.5)):
        varied = Augmentation(level, 0, grey=True)
        holes = [int((varied(face, 0, index) == 0).sum()) for index in range(600)]
        hit = [area for area in holes if area]
        assert abs(len(hit) / 600 - share) <= (0.08 if share else 0.0)
        assert all(4 * 4 <= area <= 2 * 12 * 12 for area in hit)


def test_a_grey_face_in_three_channels_stays_grey(faces: list[Face]):
    grey = np.repeat(faces[0][..., 1:2], 3, axis=-1)
    varied = Augmentation("strong", 0, grey=False)
    for index in range(50):
        result = varied(grey, 0, index)
        assert (result == result[..., :1]).all()


def test_importing_it_asks_the_network_for_nothing_and_warns_of_nothing():
    script = (
        "import socket, urllib.request\n"
        "def refuse(*_, **__): raise SystemExit('the network was asked')\n"
        "socket.getaddrinfo = refuse\n"
        "urllib.request.OpenerDirector.open = refuse\n"
        "import adafer.data.augment\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("level", LEVELS)
def test_landmarks_follow_the_pixels_and_change_sides_in_a_mirror(level: str):
    side = 64
    places = np.float32([[20, 24], [43, 24], [32, 44], [25, 50], [39, 50]])
    order = (1, 0, 2, 4, 3)
    augmentation = Augmentation(level, 1, grey=True)
    rows, columns = np.mgrid[:side, :side]
    mirrored = 0
    for index in range(40):
        face = np.zeros((side, side, 1), np.uint8)
        moved = augmentation.with_points(face, places, order, 0, index)[1]
        flipped = moved[0, 0] > moved[1, 0]
        assert not flipped  # the eye on the left stays the first one
        centres = []
        for x, y in places.astype(int):
            blob = np.zeros((side, side, 1), np.uint8)
            blob[y - 2 : y + 3, x - 2 : x + 3] = 255
            # holes and grey levels would move the centre: the brightest part counts
            weight = augmentation(blob, 0, index)[..., 0].astype(float)
            weight = np.where(weight > np.median(weight) + 60, weight, 0)
            centres.append(
                None
                if weight.sum() < 255 * 18
                else np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
            )
        if centres[0] is None or centres[1] is None:
            continue
        swapped = centres[0][0] > centres[1][0]
        mirrored += swapped
        for point, source in enumerate(order if swapped else range(5)):
            if centres[source] is not None:
                assert np.hypot(*(centres[source] - moved[point])) < 1.0
    assert 5 < mirrored < 35


def test_points_do_not_change_the_pixels_and_unknown_ones_stay_unknown(faces: list[Face]):
    augmentation = Augmentation("strong", 3, grey=False)
    points = np.float32([[10, 12], [np.nan, np.nan], [30, 40]])
    for index, face in enumerate(faces):
        varied, moved = augmentation.with_points(face, points, (2, 1, 0), 4, index)
        assert np.array_equal(varied, augmentation(face, 4, index))
        assert np.isnan(moved[1]).all()
        assert np.isfinite(moved[[0, 2]]).all()


def test_points_that_leave_the_face_are_kept():
    face = np.zeros((48, 48, 1), np.uint8)
    corners = np.float32([[0, 0], [47, 0], [0, 47], [47, 47]])
    outside = 0
    for index in range(50):
        _, moved = Augmentation("strong", 0, grey=True).with_points(
            face, corners, (1, 0, 3, 2), 0, index
        )
        assert moved.shape == (4, 2)
        outside += int(((moved < 0) | (moved > 47)).any())
    assert outside > 20
