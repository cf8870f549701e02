"""Exact copies across splits: found, counted, and settled as the policy says."""

from dataclasses import replace

import numpy as np
import pytest

from adafer.data.dataset import FaceDataset
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import Preprocessing

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
    assert np.array_equal(left.pixels, TRAIN.pixels[[0, 2, 3, 5]])
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
