"""Exact copies across splits: found, counted, and settled as the policy says."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.data.leaks import find_leaks, settle_leaks, without_near_copies
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

PREPROCESSING = Preprocessing(size=16, grey=True)


def dataset(split: str, seeds: list[int]) -> FaceDataset:
    pictures = tuple(
        np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8) for seed in seeds
    )
    listing = Listing(
        layout="made",
        split=split,
        class_names=("a", "b"),
        ids=tuple(f"{split}-{n}" for n in range(len(seeds))),
        labels=np.arange(len(seeds)) % 2,
        pictures=pictures,
    )
    return FaceDataset(listing, PREPROCESSING)


TRAIN = dataset("train", [0, 1, 2, 3, 1, 4])


def test_copies_are_counted_on_both_sides() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [1, 9]), dataset("test", [4, 4, 8])])
    assert leaks.counts == {"val": 1, "test": 2}
    assert leaks.train_indices == (1, 4, 5)


def test_no_copy_is_no_leak_under_any_policy() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [7, 8])])
    assert leaks.train_indices == ()
    assert settle_leaks(TRAIN, leaks, "stop") is TRAIN


def test_stop_says_what_to_do() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [1]), dataset("test", [9])])
    with pytest.raises(DataError, match=r"holds 1 face of val too.*--leaks drop"):
        settle_leaks(TRAIN, leaks, "stop")


def test_drop_takes_them_from_train_and_counts_them() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [1])])
    left = settle_leaks(TRAIN, leaks, "drop")
    assert left.listing.ids == ("train-0", "train-2", "train-3", "train-5")
    assert np.array_equal(left.pixels, TRAIN.pixels[np.array([0, 2, 3, 5])])
    assert left.listing.left_out == (("also in an evaluation split", 2),)
    assert len(TRAIN) == 6
    assert find_leaks(left, [dataset("val", [1])]).train_indices == ()


def test_allow_keeps_them() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [1])])
    assert settle_leaks(TRAIN, leaks, "allow") is TRAIN


def test_dropping_everything_is_an_error() -> None:
    leaks = find_leaks(TRAIN, [dataset("val", [0, 1, 2, 3, 4])])
    with pytest.raises(DataError, match="no face of train is left"):
        settle_leaks(TRAIN, leaks, "drop")


def test_a_copy_is_found_whatever_its_name_and_label() -> None:
    other = dataset("val", [3])
    renamed = replace(other.listing, ids=("x",), labels=np.array([0]))
    assert find_leaks(TRAIN, [FaceDataset(renamed, PREPROCESSING)]).counts == {"val": 1}


def mirrored(faces: FaceDataset, split: str) -> FaceDataset:
    turned = tuple(np.ascontiguousarray(p[..., 0][:, ::-1]) for p in faces.pixels)
    return FaceDataset(replace(faces.listing, split=split, pictures=turned), PREPROCESSING)


def test_mirrored_copies_are_counted_and_kept() -> None:
    leaks = find_leaks(TRAIN, [mirrored(dataset("val", [0, 1, 7]), "val")])
    assert (leaks.counts, leaks.mirrored) == ({"val": 0}, {"val": 2})
    assert settle_leaks(TRAIN, leaks, "drop") is TRAIN


def test_notes_say_what_was_found_and_what_was_not_looked_for() -> None:
    both = [dataset("val", [1]), mirrored(dataset("test", [3]), "test")]
    exact, turned, near = find_leaks(TRAIN, both).notes("drop")
    assert exact == "train holds 1 face of val too, pixel for pixel (--leaks drop)"
    assert turned == "train holds 1 face of test mirrored, which --leaks drop leaves there"
    assert near.endswith("not looked for here; --leaks drop-near leaves them out too")
    assert find_leaks(TRAIN, [dataset("val", [9])]).notes("stop") == ()


def changed(face: np.ndarray, number: int) -> np.ndarray:
    """A copy that is saved anew, cut by a pixel all around, or mirrored."""
    if number % 3 == 0:
        return cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0)
    if number % 3 == 1:
        return cv2.resize(face[1:-1, 1:-1], (48, 48), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(face[:, ::-1])


@pytest.mark.parametrize(("size", "grey"), [(48, True), (64, False)])
def test_near_copies_are_left_out_where_that_is_asked_for(size: int, grey: bool) -> None:
    source = open_data(DataSettings(toy_faces=120, img_size=48))
    seen = Preprocessing(size=size, grey=grey)
    train = FaceDataset(source.train, seen)
    small = FaceDataset(source.train, Preprocessing(size=48, grey=True))
    copied = {"val": [3, 10, 17, 40], "test": [5, 41, 42]}
    others = []
    for split, places in copied.items():
        pictures = tuple(changed(small.pixels[n][..., 0], n) for n in places)
        alien = source.validation.pictures[: len(places)]
        listing = source.validation.take(range(2 * len(places)))
        others.append(
            FaceDataset(replace(listing, split=split, pictures=(*pictures, *alien)), seen)
        )
    leaks = find_leaks(train, others)
    assert not leaks.train_indices
    left, leaks = without_near_copies(train, leaks, others)
    assert leaks.near == {"val": 4, "test": 3}
    gone = {train.listing.ids[n] for places in copied.values() for n in places}
    assert set(train.listing.ids) - set(left.listing.ids) == gone
    assert left.listing.left_out == (("a near copy is in an evaluation split", 7),)
    (told,) = leaks.notes("drop-near")
    assert told == (
        "train holds 4 faces of val and 3 faces of test re-encoded, cut, shifted or mirrored "
        "(--leaks drop-near)"
    )
    again, leaks = without_near_copies(left, find_leaks(left, others), others)
    assert again is left
    assert leaks.near == {"val": 0, "test": 0}
    assert leaks.notes("drop-near") == ()


def test_copies_of_a_validation_that_was_drawn_here_are_left_out_and_said(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with the same picture twice trains, whichever side the draw puts them on."""
    from command_line import TINY
    from PIL import Image

    from adafer import cli

    random = np.random.default_rng(0)
    for number in range(30):
        picture = Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8))
        for copy in range(2):
            folder = tmp_path / "faces" / "train" / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number}-{copy}.png")
    words = ["train", *TINY, "--data", str(tmp_path / "faces"), "--epochs", "1"]
    assert cli.run([*words, "--img-size", "24", "--runs", str(tmp_path / "runs")]) == 0
    assert "they are left out, as validation was drawn here" in " ".join(
        capsys.readouterr().out.split()
    )
