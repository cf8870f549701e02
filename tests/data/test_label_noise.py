"""Labels flipped on purpose."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from adafer.data import toy
from adafer.data.label_noise import flipped
from adafer.data.listing import Listing
from adafer.settings.data import DataSettings


def faces() -> Listing:
    return toy.read(Path(), "train", DataSettings(toy_faces=300))


def test_the_share_is_exact_and_every_other_class_is_drawn_alike() -> None:
    plain = faces()
    assert flipped(plain, 0.0, 0) is plain
    counts = np.zeros((7, 7), int)
    for seed in range(60):
        noisy = flipped(plain, 0.2, seed)
        assert int((noisy.labels != plain.labels).sum()) == 60
        np.add.at(counts, (plain.labels, noisy.labels), 1)
    off = counts[~np.eye(7, dtype=bool)]
    assert off.sum() == 3600
    assert abs(off - 3600 / 42).max() < 5 * np.sqrt(3600 / 42)


def test_votes_of_the_two_classes_change_places() -> None:
    plain = faces()
    assert plain.votes is not None
    noisy = flipped(plain, 0.5, 3)
    for row in np.flatnonzero(noisy.labels != plain.labels):
        old, new = plain.labels[row], noisy.labels[row]
        swapped = plain.votes[row].copy()
        swapped[[old, new]] = swapped[[new, old]]
        assert np.array_equal(noisy.votes[row], swapped)
    kept = noisy.labels == plain.labels
    assert np.array_equal(noisy.votes[kept], plain.votes[kept])
    assert "150 of 300 training labels" in noisy.notes[-1]


def test_the_same_seed_flips_the_same_faces_and_nothing_of_the_original() -> None:
    plain = faces()
    before = plain.labels.copy()
    one, two, other = flipped(plain, 0.2, 1), flipped(plain, 0.2, 1), flipped(plain, 0.2, 2)
    assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.labels, other.labels)
    assert np.array_equal(plain.labels, before)
    without = flipped(replace(plain, votes=None), 0.2, 1)
    assert without.votes is None
    assert np.array_equal(without.labels, one.labels)
