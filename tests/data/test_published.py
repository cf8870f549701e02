"""Counts that others have published, against the totals that they have published too."""

import pytest

from adafer.data import READERS
from adafer.data.published import counted_by, published
from adafer.labels import EMOTIONS


@pytest.mark.parametrize(
    ("layout", "split", "classes", "labels", "total"),
    [
        ("rafdb", "train", 7, "votes", 12271),
        ("rafdb", "test", 7, "votes", 3068),
        ("rafdb-kaggle", "train", 7, "votes", 12271),
        ("fer-csv", "train", 7, "votes", 28709),
        ("fer-csv", "val", 7, "votes", 3589),
        ("fer-csv", "test", 7, "votes", 3589),
        ("fer-csv", "test", 8, "votes", 3137),
        ("ferplus", "train", 8, "majority", 25045),
        ("ferplus", "train", 8, "votes", 28555),
        ("ferplus", "val", 8, "votes", 3191),
        ("ferplus", "test", 8, "majority", 3137),
        ("ferplus-csv", "train", 8, "majority", 25057),
        ("ferplus-csv", "val", 8, "votes", 3199),
        ("ferplus-csv", "test", 8, "votes", 3152),
        ("affectnet", "train", 8, "votes", 287651),
        ("affectnet", "val", 8, "votes", 4000),
        ("affectnet-npy", "val", 8, "votes", 3999),
        ("affectnet-npy", "train", 7, "votes", 283901),
        ("affectnet-txt", "val", 7, "votes", 3500),
    ],
)
def test_classes_sum_to_the_published_total(layout, split, classes, labels, total):
    counts = published(layout, split, classes, labels)
    assert sum(counts.values()) == total
    assert set(counts) == set(EMOTIONS[:classes])
    assert counted_by(layout, split, classes, labels)


def test_the_three_splits_of_fer2013_sum_to_its_published_classes():
    splits = [published("fer-csv", split, 7) for split in ("train", "val", "test")]
    totals = {name: sum(counts[name] for counts in splits) for name in splits[0]}
    assert totals == {
        "anger": 4953,
        "disgust": 547,
        "fear": 5121,
        "happiness": 8989,
        "sadness": 6077,
        "surprise": 4002,
        "neutral": 6198,
    }


@pytest.mark.parametrize("layout", ["csv", "imagefolder", "toy", "yolo"])
def test_layouts_of_any_data_set_have_no_published_counts(layout):
    assert layout in READERS
    assert published(layout, "train") is counted_by(layout, "train") is None


def test_splits_that_are_not_published_have_no_counts():
    assert published("rafdb", "val") is None
    assert published("affectnet", "test") is None
