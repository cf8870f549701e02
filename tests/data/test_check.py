"""Facts and findings about data sets whose every fault was put there."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from fakes import picture
from PIL import Image
from scipy.stats import entropy

from adafer.data.check import MISSING, Copies, agreement, count_copies, look, split_facts
from adafer.data.duplicates import KINDS, Duplicates
from adafer.data.findings import DataCheck, find_faults
from adafer.data.listing import Listing
from adafer.errors import DataError

NAMES = ("calm", "glad")


def face(seed, side=24):
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def listing(pictures, split="train", labels=None, **more):
    count = len(pictures)
    return Listing(
        layout="made",
        split=split,
        class_names=NAMES,
        ids=tuple(f"{split}{n}" for n in range(count)),
        labels=np.arange(count) % 2 if labels is None else np.array(labels),
        pictures=tuple(pictures),
        **more,
    )


def test_broken_pictures_are_named_with_their_reason_and_the_rest_is_kept(tmp_path):
    good = picture(tmp_path / "good.png", 40, 30)
    empty = tmp_path / "empty.png"
    empty.touch()
    words = tmp_path / "words.jpg"
    words.write_text("no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    seen = look(listing([empty, good, words, cut, face(0)]), 16)
    assert [name for name, _ in seen.broken] == ["train0", "train2", "train3"]
    assert "empty file" in seen.broken[0][1]
    assert "not an image" in seen.broken[1][1]
    assert "truncated" in seen.broken[2][1]
    assert seen.listing.ids == ("train1", "train4")
    assert seen.pixels.shape == (2, 16, 16, 1)
    assert (seen.pixels[0] == 40).all()
    assert seen.sides.tolist() == [[30, 30], [24, 24]]


def test_a_split_without_a_readable_picture_is_an_error(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"no picture of train can be read .*empty file"):
        look(listing([tmp_path / "empty.png"]), 16)


def test_a_box_outside_of_its_picture_is_a_broken_picture():
    boxes = np.array([[0, 0, 12, 12], [50, 50, 60, 60]])
    seen = look(listing([face(0), face(1)], boxes=boxes), 8)
    assert seen.sides.tolist() == [[12, 12]]
    assert "outside" in seen.broken[0][1]


def test_sizes_colour_and_plain_pictures_are_counted():
    tinted = np.stack([face(1)] * 3, -1)
    tinted[0, 0, 0] ^= 255
    pictures = [face(0), tinted, np.stack([face(2)] * 3, -1), face(3, 12), np.full((24, 24), 9)]
    facts = split_facts(look(listing([p.astype(np.uint8) for p in pictures]), 16))
    assert facts.sides == {"24x24": 4, "12x12": 1}
    assert (facts.colour, facts.small, facts.plain) == (1, 1, ("train4",))
    assert facts.counts == {"calm": 3, "glad": 2}


def test_equal_originals_have_equal_digests_whatever_their_number_of_channels():
    one = face(5)
    seen = look(listing([one, np.stack([one] * 3, -1), one.T.copy(), one[:12]]), 16)
    first, same, turned, part = seen.originals
    assert first == same
    assert len({first, turned, part}) == 3


def test_votes_are_summed_up_as_scipy_does():
    votes = np.array([[1, 0], [0.5, 0.5], [0.25, 0.75], [0, 1]], np.float32)
    facts = split_facts(look(listing([face(n) for n in range(4)], votes=votes), 8))
    assert facts.votes.entropy == pytest.approx(entropy(votes, base=2, axis=1).mean())
    assert (facts.votes.unanimous, facts.votes.unclear) == (2, 1)


def test_agreement_is_that_of_all_pairs_of_different_members():
    groups = np.array([0, 0, 0, 1, 2, 2, 1, 3])
    labels = np.array([1, 1, 0, 1, 0, 0, 2, 1])
    found = agreement(groups, labels)
    shares = []
    for group in (0, 1, 2):
        pairs = list(permutations(labels[groups == group].tolist(), 2))
        shares.append(sum(a == b for a, b in pairs) / len(pairs))
    assert (found.groups, found.faces, found.disagreeing) == (3, 7, 2)
    assert found.same_label == pytest.approx(sum(shares) / 3)


def test_agreement_without_copies_is_unknown():
    assert agreement(np.arange(3), np.zeros(3, np.int64)).same_label is None


SPLITS = ("train", "train", "train", "val", "val", "test")
# train0 is also val3 pixel for pixel; val4 is near train1 and near test5; train2 stands alone.
FOUND = Duplicates(
    copy_of=np.array([0, 1, 2, 0, 4, 5]),
    first=np.array([1, 4]),
    second=np.array([4, 5]),
    kinds=np.array([2, 2]),
    similarity=np.array([0.95, 0.96], np.float32),
)


def copies(found=FOUND, labels=(0, 1, 0, 1, 1, 1)) -> Copies:
    return count_copies(found, SPLITS, np.array(labels), (b"a", b"b", b"c", b"a", b"d", b"e"))


def test_copies_are_counted_for_each_pair_of_splits():
    counted = {(o.split, o.other): o.faces for o in copies().overlaps}
    assert list(counted["val", "train"].items()) == [
        ("exact", 1),
        ("mirrored", 0),
        ("near", 1),
        ("mirrored near", 0),
    ]
    assert counted["test", "val"]["near"] == 1
    assert sum(counted["test", "train"].values()) == 0  # only by way of val
    assert sum(counted["train", "train"].values()) == 0
    assert copies().links == dict(zip(KINDS, (1, 0, 2, 0), strict=True))
    assert (copies().same_original, copies().largest) == (1, 3)
    assert copies().identical.disagreeing == 1
    assert (copies().clustered.groups, copies().clustered.disagreeing) == (2, 1)


def checked(splits, max_bad=0.0, near=True, counted=None):
    faults = find_faults(splits, counted or copies(), max_bad=max_bad, near=near)
    return DataCheck(
        source="made",
        layout="made",
        class_names=NAMES,
        img_size=8,
        max_bad=max_bad,
        near=near,
        splits=tuple(splits),
        copies=counted or copies(),
        findings=faults,
    )


def facts(split, count, **more):
    return split_facts(look(listing([face(n) for n in range(count)], split, **more), 8))


NO_COPIES = count_copies(
    replace(
        FOUND,
        copy_of=np.arange(6),
        first=np.array([], int),
        second=np.array([], int),
        kinds=np.array([], int),
    ),
    SPLITS,
    np.zeros(6, np.int64),
    (b"",) * 6,
)


def test_a_leak_stops_and_says_what_to_do():
    found = checked([facts("train", 3), facts("val", 2), facts("test", 1)])
    stops = [item.words for item in found.findings if item.level == "stop"]
    assert stops == ["train holds 1 face of val too, pixel for pixel; train with --leaks drop."]
    assert found.stops
    assert "would stop" in found.verdict
    warnings = [item.words for item in found.findings if item.about == "near leak"]
    assert any("of 1 face of val (1 near)" in words and "100.0 %" in words for words in warnings)


def test_data_without_faults_says_so():
    found = checked([facts(s, 2) for s in ("train", "val", "test")], counted=NO_COPIES)
    assert not found.stops
    assert found.verdict == "Nothing speaks against training on this data."
    assert [item.about for item in found.findings] == ["balance"]


@pytest.mark.parametrize(("max_bad", "level"), [(0.0, "stop"), (0.24, "stop"), (0.25, "warning")])
def test_broken_files_stop_above_the_limit_only(max_bad, level):
    train = replace(facts("train", 3), broken=(("x", "empty file"),))
    found = checked([train, facts("val", 2), facts("test", 1)], max_bad, counted=NO_COPIES)
    assert [item.level for item in found.findings if item.about == "broken files"] == [level]


def test_missing_files_count_as_the_reader_counts_them():
    train = facts("train", 3, left_out=((MISSING, 1), ("no vote", 5)))
    assert (train.missing, train.left_out, train.unusable) == (1, {"no vote": 5}, 0.25)


def test_counts_are_compared_with_the_published_ones():
    wrong = replace(facts("train", 4), published={"calm": 2, "glad": 3}, source="someone")
    right = replace(wrong, published={"calm": 2, "glad": 2})
    for train, level in ((wrong, "warning"), (right, "note")):
        found = checked([train, facts("val", 2), facts("test", 1)], counted=NO_COPIES)
        words = [item for item in found.findings if item.about == "counts"]
        assert [item.level for item in words] == [level]
        assert ("glad 2 instead of 3" in words[0].words) == (level == "warning")


def test_a_carved_validation_is_added_to_train_before_counts_are_compared():
    train = replace(facts("train", 3), published={"calm": 3, "glad": 2}, source="someone")
    carved = facts("val", 2, carved=True)
    found = checked([train, carved, facts("test", 1)], counted=NO_COPIES)
    words = [item.words for item in found.findings if item.about == "counts"]
    assert words == ["train with its carved validation holds what a complete copy holds (someone)."]


def test_a_class_that_a_split_lacks_is_named():
    test = facts("test", 1, labels=[0])
    found = checked([facts("train", 3), facts("val", 2), test], counted=NO_COPIES)
    assert "test has no face of glad." in [item.words for item in found.findings]


def test_a_large_colour_picture_is_compared_as_the_model_sees_it(tmp_path):
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    seen = look(listing([tmp_path / "a.png"]), 16)
    assert seen.sides.tolist() == [[60, 90]]
    assert seen.colour.tolist() == [True]
    assert seen.pixels.shape == (1, 16, 16, 1)
