"""Divisions: by class, by group, by both; the same for any order of the listing."""

from dataclasses import replace

import numpy as np
import pytest

from adafer.data.listing import Listing
from adafer.data.split import by_folds, by_fractions, carve, shared_groups, stratified_choice
from adafer.errors import DataError, WordsError

WAYS = ("stratified", "group", "stratified-group")


def listing_of(count: int = 300, *, groups: int | None = 60, seed: int = 0) -> Listing:
    random = np.random.default_rng(seed)
    people = None if groups is None else random.integers(0, groups, count)
    labels = random.choice(3, count, p=[0.6, 0.3, 0.1])
    return Listing(
        layout="csv",
        split="train",
        class_names=("a", "b", "c"),
        ids=tuple(f"face{n:04d}" for n in range(count)),
        labels=labels.astype(np.int64),
        pictures=tuple(np.zeros((2, 2), np.uint8) for _ in range(count)),
        groups=None if people is None else tuple(f"person{n}" for n in people),
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_face_is_in_one_fold_and_folds_are_of_like_size(way: str):
    places = by_folds(listing_of(), 5, way, 0)
    sizes = np.bincount(places, minlength=5)
    assert sizes.sum() == 300
    assert sizes.min() > 40
    assert sizes.max() < 80


@pytest.mark.parametrize("way", ["group", "stratified-group"])
def test_no_group_is_in_two_folds_or_parts(way: str):
    faces = listing_of()
    assert shared_groups(faces.groups, by_folds(faces, 5, way, 3)) == 0
    parts = by_fractions(faces, (0.7, 0.15, 0.15), way, 3)
    assert shared_groups(faces.groups, parts) == 0
    assert np.bincount(parts).tolist() == pytest.approx([210, 45, 45], abs=20)


def test_by_class_alone_tears_groups_apart():
    faces = listing_of()
    assert shared_groups(faces.groups, by_folds(faces, 5, "stratified", 0)) > 30


@pytest.mark.parametrize("way", ["stratified", "stratified-group"])
def test_classes_are_spread_evenly(way: str):
    faces = listing_of(900, groups=300)
    places = by_folds(faces, 3, way, 0)
    for label in range(3):
        counts = np.bincount(places[faces.labels == label], minlength=3)
        assert counts.max() - counts.min() <= (1 if way == "stratified" else 12)


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_the_listing_is_no_matter_and_the_seed_is(way: str):
    faces = listing_of()
    turned = faces.take(np.arange(300)[::-1])
    assert np.array_equal(by_folds(faces, 4, way, 1), by_folds(turned, 4, way, 1)[::-1])
    assert not np.array_equal(by_folds(faces, 4, way, 1), by_folds(faces, 4, way, 2))


def test_more_folds_than_groups_are_refused():
    with pytest.raises(WordsError, match="give 2 to 4 folds"):
        by_folds(listing_of(40, groups=4), 5, "group", 0)


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.0, 0.0), (0.9,), (0.4, 0.3, 0.2, 0.1)])
def test_fractions_that_are_none_are_refused(fractions: tuple[float, ...]):
    with pytest.raises(WordsError, match=r"fractions"):
        by_fractions(listing_of(), fractions, "stratified", 0)


def test_validation_carved_from_faces_with_groups_shares_none():
    faces = listing_of()
    train, held = carve(faces, 0.1, 0)
    assert not set(train.groups) & set(held.groups)
    assert len(train) + len(held) == 300
    assert 10 <= len(held) <= 60
    assert "by group, none on both sides" in held.notes[0]


def test_one_group_cannot_be_divided():
    faces = replace(listing_of(20), groups=("me",) * 20)
    with pytest.raises(DataError, match="one group"):
        carve(faces, 0.1, 0)


def test_a_choice_has_exactly_so_many_faces_and_each_class_its_share():
    faces = listing_of(1000, groups=None)
    chosen = stratified_choice(faces.ids, faces.labels, 137, 0)
    assert chosen.sum() == 137
    for label in range(3):
        share = (faces.labels == label).mean() * 137
        assert chosen[faces.labels == label].sum() == pytest.approx(share, abs=1)
    assert stratified_choice(faces.ids, faces.labels, 2000, 0).all()
