import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, spearmanr

from adafer.data import toy
from adafer.data.toy.expression import PROTOTYPES, Expression, expressed
from adafer.data.toy.reader import ANNOTATORS, Drawn, majority
from adafer.errors import WordsError
from adafer.labels import EMOTIONS
from adafer.settings.data import DataSettings

ROOT = Path()


def small(**changes: object) -> DataSettings:
    return DataSettings(toy_faces=40, **changes)


@pytest.fixture(scope="module")
def many() -> list[Drawn]:
    return [toy.drawn(DataSettings(), "train", index) for index in range(700)]


def test_a_face_drawn_alone_is_the_face_in_the_split():
    settings = small()
    listing = toy.read(ROOT, "train", settings)
    for index in (0, 7, 39):
        alone = toy.drawn(settings, "train", index)
        assert np.array_equal(alone.pixels, listing.pictures[index])
        assert np.array_equal(alone.votes, listing.votes[index])
        assert alone.label == listing.labels[index]


def test_more_faces_begin_with_the_fewer():
    few = toy.read(ROOT, "train", DataSettings(toy_faces=5))
    more = toy.read(ROOT, "train", DataSettings(toy_faces=9))
    assert more.ids[:5] == few.ids
    assert all(np.array_equal(a, b) for a, b in zip(few.pictures, more.pictures[:5], strict=True))


def test_the_same_settings_give_the_same_faces_in_another_process():
    script = (
        "import hashlib; from adafer.data import toy; from adafer.settings.data import *;"
        "faces = [toy.drawn(DataSettings(), 'val', i).pixels.tobytes() for i in range(5)];"
        "print(hashlib.sha256(b''.join(faces)).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    here = [toy.drawn(DataSettings(), "val", index).pixels.tobytes() for index in range(5)]
    assert there == hashlib.sha256(b"".join(here)).hexdigest()


def test_splits_and_seeds_show_other_faces():
    pictures = {
        toy.drawn(DataSettings(toy_seed=seed), split, 0).pixels.tobytes()
        for split in ("train", "val", "test")
        for seed in (0, 1)
    }
    assert len(pictures) == 6


def test_sizes_of_the_splits():
    sizes = {split: len(toy.read(ROOT, split, small())) for split in ("train", "val", "test")}
    assert sizes == {"train": 40, "val": 10, "test": 10}


@pytest.mark.parametrize(("img_size", "side"), [(24, 48), (48, 48), (96, 96), (49, 49)])
def test_faces_are_drawn_at_the_size_of_the_model_but_not_below_48(img_size: int, side: int):
    picture = toy.drawn(small(img_size=img_size), "train", 3).pixels
    assert picture.shape == (side, side, 3)
    assert picture.dtype == np.uint8


def test_a_larger_drawing_shows_the_same_face():
    for index in range(6):
        face = toy.drawn(DataSettings(img_size=48), "train", index)
        large = toy.drawn(DataSettings(img_size=96), "train", index)
        assert np.array_equal(face.votes, large.votes) or face.emotions == large.emotions
        halved = large.pixels.reshape(48, 2, 48, 2, 3).mean((1, 3))
        assert np.corrcoef(face.pixels.ravel(), halved.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("classes", [7, 8])
def test_every_class_comes_up_and_has_its_name(classes: int):
    listing = toy.read(ROOT, "train", DataSettings(toy_faces=2 * classes, toy_classes=classes))
    assert listing.class_names == EMOTIONS[:classes]
    assert listing.votes.shape == (2 * classes, classes)
    clear = toy.read(
        ROOT, "train", DataSettings(toy_faces=classes, toy_classes=classes, toy_ambiguity=0)
    )
    assert set(clear.labels.tolist()) == set(range(classes))


def test_votes_are_shares_of_ten_and_the_label_has_most(many: list[Drawn]):
    votes = np.stack([face.votes for face in many])
    labels = np.array([face.label for face in many])
    assert np.allclose(votes.sum(1), 1, atol=1e-6)
    assert np.allclose(votes * ANNOTATORS, np.rint(votes * ANNOTATORS), atol=1e-5)
    assert (votes[np.arange(len(votes)), labels] == votes.max(1)).all()


def test_a_tie_goes_to_the_emotion_that_weighs_more():
    votes = np.array([5, 5, 0])
    assert majority(votes, np.array([0.4, 0.6, 0.0])) == 1
    assert majority(votes, np.array([0.6, 0.4, 0.0])) == 0
    assert majority(votes, np.array([0.5, 0.5, 0.0])) == 0
    assert majority(np.array([4, 5, 1]), np.array([1.0, 0.0, 0.0])) == 1


def test_the_share_of_blends_is_the_dial(many: list[Drawn]):
    blends = np.array([face.blend for face in many])
    assert abs((blends > 0).mean() - 0.35) < 0.06  # three standard deviations of 700 draws
    assert ((blends == 0) | ((blends >= 0.2) & (blends <= 0.5))).all()
    assert all(face.emotions[0] != face.emotions[1] for face in many if face.blend)
    assert not any(toy.drawn(small(toy_ambiguity=0), "train", i).blend for i in range(20))
    assert all(toy.drawn(small(toy_ambiguity=1), "train", i).blend for i in range(20))


def test_disagreement_of_the_annotators_follows_the_blend(many: list[Drawn]):
    blends = np.array([face.blend for face in many])
    disagreement = entropy(np.stack([face.votes for face in many]), axis=1)
    assert spearmanr(blends, disagreement).statistic > 0.6
    unanimity = np.array([face.votes.max() for face in many])
    assert unanimity[blends == 0].mean() > 0.93
    assert unanimity[blends > 0.3].mean() < 0.75


def test_chances_of_the_answers_are_the_blend_of_a_full_expression(many: list[Drawn]):
    names = EMOTIONS[:7]
    strong = [face for face in many if face.blend and face.intensity > 0.85]
    assert strong
    for face in strong:
        second = face.chances[names.index(face.emotions[1])]
        assert abs(second - face.blend) < 0.06


def test_an_expression_without_blend_is_its_prototype_up_to_personal_strength():
    class Even:  # every draw is the same: the first prototype, strength 1, no twitch
        generator = np.random.default_rng(0)

        def uniform(self, low: float, high: float) -> float:
            return low

    dice = Even()
    dice.generator = type(
        "Still", (), {"uniform": lambda *_: np.ones(17), "normal": lambda *_: np.zeros(17)}
    )()
    for name, prototypes in PROTOTYPES.items():
        assert expressed(dice, (name, name), 0.0, 1.0) == prototypes[0]
        half = expressed(dice, (name, "neutral"), 0.5, 1.0)
        assert half == Expression(*(0.5 * action for action in prototypes[0]))


def test_no_two_emotions_share_a_prototype_but_parts_are_shared():
    everything = [row for rows in PROTOTYPES.values() for row in rows]
    assert len(set(everything)) == len(everything)
    bared = {name for name, rows in PROTOTYPES.items() if any(row.teeth > 0.6 for row in rows)}
    assert {"happiness", "anger", "disgust", "fear"} <= bared


@pytest.mark.parametrize("split", ["valid", "", "TRAIN", "../test"])
def test_an_unknown_split_is_refused(split: str):
    with pytest.raises(WordsError, match="choose one of train, val, test"):
        toy.read(ROOT, split, small())


@pytest.mark.parametrize("faces", [0, -5])
@pytest.mark.parametrize("split", ["train", "test"])
def test_no_faces_cannot_be_drawn(faces: int, split: str):
    with pytest.raises(WordsError, match="--toy-faces"):
        toy.read(ROOT, split, DataSettings(toy_faces=faces))


@pytest.mark.parametrize("ambiguity", [-0.1, 1.5, float("nan")])
def test_an_ambiguity_that_is_no_share_is_refused(ambiguity: float):
    with pytest.raises(WordsError, match="--toy-ambiguity"):
        toy.read(ROOT, "train", small(toy_ambiguity=ambiguity))


@pytest.mark.parametrize("classes", [0, 1, 6, 9])
def test_a_number_of_classes_that_is_not_drawn_is_refused(classes: int):
    with pytest.raises(WordsError, match="--toy-classes"):
        toy.read(ROOT, "train", small(toy_classes=classes))


def test_a_negative_seed_is_refused():
    with pytest.raises(WordsError, match="--toy-seed"):
        toy.read(ROOT, "train", small(toy_seed=-1))
