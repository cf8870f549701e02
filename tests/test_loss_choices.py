"""A loss in a recipe: what it is told of the classes, which settings are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adafer.data.sampler import class_weights
from adafer.errors import WordsError
from adafer.losses.ldam import LDAMLoss, LogitAdjustedLoss
from adafer.progress import Silence
from adafer.readiness import prepare_training
from adafer.recipes import find_recipe

SMALL: Mapping[str, Any] = {
    "batch_size": 8,
    "img_size": 16,
    "workers": 0,
    "device": "cpu",
    "leaks": "allow",
    "label_order": "fer2013",
}
FACES = {"neutral": 12, "happiness": 6, "anger": 3}


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """A CSV of FER2013's classes in which four classes have no face."""
    numbers = {"anger": 0, "happiness": 3, "neutral": 6}
    random = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for name, count in FACES.items():
            for _ in range(count):
                pixels = " ".join(map(str, random.integers(0, 256, 48 * 48)))
                lines.append(f"{numbers[name]},{pixels},{usage}")
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def loss_of(data: Path, loss: str, **changes: Any) -> tuple[Any, dict[str, int]]:
    recipe = find_recipe("tinyvgg").changed(loss=loss, data=str(data), **SMALL, **changes)
    training = prepare_training(recipe, Silence())
    return training.loss(), training.train.listing.counts()


def test_ldam_is_told_the_faces_of_each_class_also_of_the_absent_ones(uneven: Path) -> None:
    loss, counts = loss_of(uneven, "ldam")
    assert isinstance(loss, LDAMLoss)
    assert loss.class_counts == tuple(counts.values())
    assert sorted(count for count in loss.class_counts if count) == sorted(FACES.values())
    assert 0 in loss.class_counts
    sampled, _ = loss_of(uneven, "ldam", balance="sampler")
    assert sampled.class_counts == loss.class_counts  # margins ask how many faces there are


def test_logit_adjustment_is_told_what_training_shows(uneven: Path) -> None:
    plain, counts = loss_of(uneven, "logit-adjustment")
    assert isinstance(plain, LogitAdjustedLoss)
    numbers = np.array(list(counts.values()))
    assert plain.class_frequencies == pytest.approx(numbers / 21)
    sampled, _ = loss_of(uneven, "logit-adjustment", balance="sampler", balance_power=0.5)
    shown = np.sqrt(numbers)
    assert sampled.class_frequencies == pytest.approx(shown / shown.sum())
    even, _ = loss_of(uneven, "logit-adjustment", balance="sampler", balance_power=1.0)
    assert sorted(set(np.round(even.class_frequencies, 9))) == pytest.approx([0, 1 / 3])


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "ldam", "logit-adjustment"])
def test_class_weights_reach_every_loss_only_where_they_are_asked_for(
    uneven: Path, name: str
) -> None:
    plain, counts = loss_of(uneven, name)
    assert plain.class_weights == ()
    weighted, _ = loss_of(uneven, name, balance="weights", balance_power=0.6)
    assert weighted.class_weights == pytest.approx(
        class_weights(np.array(list(counts.values())), 0.6)
    )
    sampled, _ = loss_of(uneven, name, balance="sampler")
    assert sampled.class_weights == ()


def test_weights_and_a_sampler_of_the_same_power_ask_for_the_same_adjustment(uneven: Path) -> None:
    sampled, _ = loss_of(uneven, "logit-adjustment", balance="sampler")
    weighted, _ = loss_of(uneven, "logit-adjustment", balance="weights")
    shown = np.array(weighted.class_frequencies) * np.array(weighted.class_weights)
    assert shown / shown.sum() == pytest.approx(np.array(sampled.class_frequencies))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "focal", "gamma": -1}, "--gamma must be 0 or more"),
        ({"loss": "focal", "gamma": "nan"}, "--gamma must be 0 or more"),
        ({"loss": "focal", "label_smoothing": 1.0}, "--label-smoothing"),
        ({"loss": "ldam", "ldam_margin": -0.5}, "--ldam-margin must be 0 or more"),
        ({"loss": "ldam", "ldam_scale": 0}, "--ldam-scale must be above 0"),
        ({"loss": "ldam", "drw": 1.5}, "--drw is a share"),
        ({"loss": "ldam", "drw_beta": 1.0}, "--drw-beta must be from 0 to below 1"),
        ({"loss": "ldam", "drw": 0.8, "balance": "weights"}, "give one of them"),
        ({"loss": "ldam", "drw": 0.8, "balance": "sampler"}, "give one of them"),
        ({"loss": "logit-adjustment", "tau": -1}, "--tau must be 0 or more"),
        ({"loss": "distillation", "alpha": 1.1}, "--alpha is a share"),
        ({"loss": "distillation", "temperature": 0}, "--temperature must be above 0"),
        ({"loss": "fokal"}, "did you mean 'focal'?"),
        ({"loss": "pondernet"}, "takes no steps"),
        ({"gamma": 2}, "no setting --gamma"),
        ({"cutmix": -0.1}, "--cutmix must be 0 or more"),
        ({"mix_probability": 1.1}, "--mix-probability is a share"),
        ({"weight_stats": "some"}, "off | head | all"),
    ],
)
def test_settings_that_cannot_train_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(WordsError) as caught:
        find_recipe("tinyvgg").changed(**changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["focal", "ldam", "logit-adjustment", "distillation"])
def test_the_recursive_model_keeps_to_the_losses_that_know_its_steps(name: str) -> None:
    with pytest.raises(WordsError, match="--loss ponder or pondernet"):
        find_recipe("act-graves").changed(loss=name)


def test_distillation_without_a_teacher_is_refused_before_anything_is_written() -> None:
    recipe = find_recipe("tinyvgg").changed(loss="distillation", toy_faces=112, **SMALL)
    with pytest.raises(WordsError, match="give --teacher RUN"):
        prepare_training(recipe, Silence())
