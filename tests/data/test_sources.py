"""Several data sets as one: classes by name, synthetic faces capped, everything said."""

from pathlib import Path

import fakes
import numpy as np
import pytest

from adafer.data import open_data
from adafer.errors import DataError, WordsError
from adafer.settings.data import DataSettings


def opened(*, data: str, **named: object):
    return open_data(DataSettings(data=data, toy_faces=120, **named))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_synthetic_faces_are_at_most_their_share_of_the_whole(tmp_path: Path, share: float):
    faces = str(fakes.imagefolder(tmp_path, ("happiness", "sadness", "anger")))
    real = len(opened(data=faces).train)
    source = opened(
        data=faces, synthetic=("toy",), synthetic_fraction=share, unknown_classes="drop"
    )
    found = source.composition(source.train)
    made = len(source.train) - real
    assert made == min(int(share / (1 - share) * real + 1e-9), 120)
    assert found["synthetic_fraction"] == pytest.approx(made / len(source.train), abs=1e-6)
    assert found["synthetic_fraction"] <= share
    assert [s["train"] for s in found["sources"]] == [real, made]
    assert [s["synthetic"] for s in found["sources"]] == [False, True]


def test_validation_and_test_stay_those_of_the_first_source(tmp_path: Path):
    faces = str(fakes.imagefolder(tmp_path, ("happiness", "sadness", "anger")))
    alone = opened(data=faces)
    joined = opened(data=faces, synthetic=("toy",), unknown_classes="drop")
    assert joined.validation.ids == alone.validation.ids
    assert joined.test().ids == alone.test().ids


def test_classes_meet_by_name_and_an_unknown_one_is_refused(tmp_path: Path):
    faces = str(fakes.imagefolder(tmp_path, ("happiness", "sadness", "anger")))
    with pytest.raises(DataError, match="neutral"):
        _ = opened(data=faces, also=("toy",)).train
    joined = opened(data=faces, also=("toy",), unknown_classes="drop").train
    names = np.array(joined.class_names)[joined.labels]
    origin = np.array(joined.attributes["source"])
    assert set(names[origin == "toy"]) == {"happiness", "sadness", "anger"}
    assert len(set(joined.ids)) == len(joined)


def test_faces_without_votes_get_their_label_as_all_votes(tmp_path: Path):
    faces = str(fakes.imagefolder(tmp_path, ("happiness", "sadness", "anger")))
    joined = opened(data=faces, also=("toy",), unknown_classes="drop").train
    own = np.array(joined.attributes["source"]) != "toy"
    assert np.array_equal(joined.votes[own].argmax(1), joined.labels[own])
    assert (joined.votes[own].max(1) == 1).all()
    assert any("no votes" in note for note in joined.notes)


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_share_that_is_none_is_refused(share: float):
    with pytest.raises(WordsError, match="synthetic_fraction"):
        _ = opened(data="toy", synthetic=("toy",), synthetic_fraction=share).train


def test_the_same_seed_chooses_the_same_synthetic_faces():
    named = {"data": "toy", "synthetic": ("toy",), "synthetic_fraction": 0.3}
    one, two = (opened(**named).train.ids for _ in range(2))
    assert one == two
    assert one != opened(**named, split_seed=1).train.ids
