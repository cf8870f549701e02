"""The fast path: same family, same distribution, numbers that depend on the face alone."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from adafer.data import open_data
from adafer.data.augment import RANGES, Augmentation
from adafer.data.batched import NUMBERS, BatchedLoader, affine_matrices, face_numbers, vary
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SETTINGS = DataSettings(toy_faces=300, batch_size=64, workers=0)


def faces_of(*, grey: bool, size: int = 48) -> FaceDataset:
    return FaceDataset(open_data(SETTINGS).train, Preprocessing(size=size, grey=grey))


@pytest.fixture(scope="module")
def grey() -> FaceDataset:
    return faces_of(grey=True)


def plain_numbers(count: int, epoch: int = 0) -> np.ndarray:
    return face_numbers(0, epoch, np.arange(count), np.zeros(count, np.intp))


def test_the_numbers_are_uniform_and_unrelated():
    drawn = plain_numbers(20_000).astype(np.float64)
    assert drawn.shape == (20_000, NUMBERS)
    for column in drawn.T:
        assert ks_2samp(column, np.linspace(0, 1, 20_001)).pvalue > 1e-4
    linked = np.corrcoef(drawn.T) - np.eye(NUMBERS)
    assert np.abs(linked).max() < 0.03
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.03


def test_every_part_of_the_key_changes_the_numbers():
    base = face_numbers(1, 2, np.array([3]), np.array([0]))
    others = [(2, 2, 3, 0), (1, 3, 3, 0), (1, 2, 4, 0), (1, 2, 3, 1), (2, 1, 3, 0)]
    for seed, epoch, index, repeat in others:
        found = face_numbers(seed, epoch, np.array([index]), np.array([repeat]))
        assert not np.isclose(found, base).any()


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("level", ["light", "strong"])
def test_both_paths_agree_in_distribution(level: str, colour: bool):
    """Statistics of 1,500 varied faces: each mean within five standard errors of the other."""
    data = faces_of(grey=not colour)
    count, epochs = 300, 5
    augmentation = Augmentation(level, 0, grey=not colour)
    one = np.concatenate(
        [
            np.stack([augmentation(data.pixels[i], e, i) for i in range(count)])
            for e in range(epochs)
        ]
    ).astype(np.float64)
    images = torch.from_numpy(data.pixels[:count]).permute(0, 3, 1, 2).float()
    two = np.concatenate(
        [
            vary(images, None, plain_numbers(count, e), level)[0].permute(0, 2, 3, 1).numpy()
            for e in range(epochs)
        ]
    ).astype(np.float64)
    figures = {
        "mean": lambda x: x.mean((1, 2, 3)),
        "spread": lambda x: x.std((1, 2, 3)),
        "edges down": lambda x: np.abs(np.diff(x, axis=1)).mean((1, 2, 3)),
        "edges across": lambda x: np.abs(np.diff(x, axis=2)).mean((1, 2, 3)),
        "black": lambda x: (x == 0).mean((1, 2, 3)),
        "asymmetry": lambda x: x[:, :, :24].mean((1, 2, 3)) - x[:, :, 24:].mean((1, 2, 3)),
        "corner": lambda x: x[:, :8, :8].mean((1, 2, 3)),
    }
    for name, figure in figures.items():
        a, b = figure(one), figure(two)
        error = np.sqrt((a.var() + b.var()) / len(a))
        # a level of 255 is within the rounding of two implementations
        assert abs(a.mean() - b.mean()) < 5 * error + 0.3, name


@pytest.mark.parametrize("level", ["light", "strong"])
def test_turns_scales_and_shifts_are_drawn_alike(level: str):
    """Geometry of both paths, read from where three points go: Kolmogorov and Smirnov."""
    side, count = 64, 1500
    points = np.array([[32.0, 32.0], [52.0, 32.0], [32.0, 52.0]], np.float32)
    face = np.zeros((side, side, 1), np.uint8)
    augmentation = Augmentation(level, 3, grey=True)
    order = (0, 1, 2)
    one = np.stack(
        [augmentation.with_points(face, points, order, 0, i)[1] for i in range(count)]
    ).astype(np.float64)
    matrices, _ = affine_matrices(plain_numbers(count), side, RANGES[level])
    two = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]

    def geometry(moved: np.ndarray) -> dict[str, np.ndarray]:
        right, down = moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]
        mirrored = right[:, 0] < 0
        right = np.where(mirrored[:, None], right * [-1, 1], right)
        return {
            "turn": np.arctan2(-down[:, 0], down[:, 1]),
            "width": np.hypot(*right.T),
            "height": np.hypot(*down.T),
            "down": moved[:, 0, 1],
            "mirrored": mirrored.astype(float),
        }

    ours, theirs = geometry(two), geometry(one)
    for name in ours:
        assert ks_2samp(ours[name], theirs[name]).pvalue > 1e-3, name


def test_landmarks_follow_the_pixels_and_change_sides_in_a_mirror():
    side, count = 64, 40
    places = np.array([[20, 24], [43, 24], [32, 44]])
    images = torch.zeros(count, 3, side, side)
    for channel, (x, y) in enumerate(places):
        images[:, channel, y - 2 : y + 3, x - 2 : x + 3] = 255.0
    numbers = plain_numbers(count)
    numbers[:, 7] = 1.0  # colours stay
    landmarks = torch.from_numpy(places.astype(np.float32)).expand(count, 3, 2)
    moved, points = vary(images, landmarks, numbers, "light", (1, 0, 2))
    _, mirrored = affine_matrices(numbers, side, RANGES["light"])
    assert 0 < mirrored.sum() < count
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for face in range(count):
        # the blob of what was the left eye is now where the mirrored face's right eye is named
        order = (1, 0, 2) if mirrored[face] else (0, 1, 2)
        for point, channel in enumerate(order):
            weight = moved[face, channel]
            centre = torch.stack([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
            assert torch.linalg.vector_norm(centre - points[face, point]) < 1.0


def test_unknown_landmarks_stay_unknown():
    landmarks = torch.full((4, 5, 2), float("nan"))
    _, points = vary(
        torch.zeros(4, 1, 16, 16), landmarks, plain_numbers(4), "strong", (1, 0, 2, 4, 3)
    )
    assert points.isnan().all()


def test_a_batch_is_the_same_from_any_start_and_order_is_the_loaders(grey: FaceDataset):
    fast = BatchedLoader(grey, SETTINGS, seed=4)
    whole, rest = list(fast(2)), list(fast(2, 3))
    for one, other in zip(whole[3:], rest, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)
    usual = Loader(grey, SETTINGS, seed=4, train=True)
    assert [b.ids for b in usual(2)] == [b.ids for b in whole]
    assert fast.batches_per_epoch == usual.batches_per_epoch == len(whole)


def test_a_face_is_varied_alike_in_any_batch(grey: FaceDataset):
    images = torch.from_numpy(grey.pixels[:20]).permute(0, 3, 1, 2).float()
    numbers = plain_numbers(20)
    together, _ = vary(images, None, numbers, "strong")
    for face in (0, 7, 19):
        alone, _ = vary(images[face : face + 1], None, numbers[face : face + 1], "strong")
        assert (alone[0] - together[face]).abs().max() <= 1  # a rounded grey level


def test_without_variation_both_paths_give_the_same_images(grey: FaceDataset):
    settings = DataSettings(toy_faces=300, batch_size=64, workers=0, augment="none")
    one = next(Loader(grey, settings, seed=0, train=True)(0))
    two = next(BatchedLoader(grey, settings, seed=0)(0))
    torch.testing.assert_close(one.images, two.images.expand_as(one.images), atol=1e-5, rtol=1e-5)
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.votes, two.votes)


def test_a_training_with_whole_batches_is_resumed_exactly(tmp_path):
    from command_line import TINY, digest

    from adafer import cli

    words = ["train", *TINY, "--augment-engine", "batch", "--runs", str(tmp_path), "--quiet"]
    assert cli.run([*words, "--epochs", "2", "--name", "whole"]) == 0
    assert cli.run([*words, "--epochs", "2", "--name", "cut", "--time", "1e-9"]) == 0
    assert cli.run(["train", "--resume", str(tmp_path / "cut"), "--quiet"]) == 0
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
