"""The statistics of folds against hand-computed numbers and independent formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from adafer.analysis.crossval import (
    FoldScore,
    crossvalidated,
    fold_score,
    out_of_fold,
    over_folds,
    resampled,
    wilson,
)
from adafer.errors import DataError
from adafer.metrics import score
from adafer.predictions import Predictions

T4 = 2.7764451051977987
"""0.975 quantile of Student's t with four degrees of freedom, from a table."""


def table(faces: int, seed: int = 0, start: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    return Predictions(
        class_names=("a", "b", "c"),
        ids=tuple(f"face{number}" for number in range(start, start + faces)),
        labels=random.integers(0, 3, faces),
        probabilities=random.dirichlet([1, 1, 1], faces),
    )


def fold(number: int, predictions: Predictions, units: list[str] | None = None) -> FoldScore:
    return fold_score(
        predictions, units, fold=number, trained_on=400, loss=None, best_epoch=2, seconds=1.5
    )


def test_mean_deviation_and_both_intervals_by_hand():
    spread = over_folds([0.6, 0.7, 0.65, 0.75, 0.8], 0.25)
    sd = math.sqrt((0.1**2 + 0 + 0.05**2 + 0.05**2 + 0.1**2) / 4)
    assert spread.mean == pytest.approx(0.7)
    assert spread.sd == pytest.approx(sd)
    assert spread.plain == pytest.approx([0.7 - T4 * sd / 5**0.5, 0.7 + T4 * sd / 5**0.5])
    wide = T4 * sd * math.sqrt(1 / 5 + 1 / 4)
    assert spread.corrected == pytest.approx([0.7 - wide, 0.7 + wide])


def test_the_corrected_interval_of_five_folds_is_half_as_wide_again():
    """Nadeau and Bengio: 1/K + 1/(K-1) instead of 1/K, so 1.5 times for five folds."""
    spread = over_folds([0.5, 0.52, 0.48, 0.51, 0.49], 1 / 4)
    wide, narrow = (high - low for low, high in (spread.corrected, spread.plain))
    assert wide / narrow == pytest.approx(1.5)


def test_an_interval_of_shares_stays_between_none_and_all():
    spread = over_folds([0.1, 0.9], 1.0)
    assert spread.corrected == (0.0, 1.0)
    loss = over_folds([1.0, 3.0], 1.0, share=False)
    assert loss.corrected[0] == 0.0
    assert loss.corrected[1] > 3


def test_wilson_by_its_own_formula():
    z, right, faces = 1.959963984540054, 8, 20
    share = right / faces
    middle = (share + z * z / (2 * faces)) / (1 + z * z / faces)
    half = z / (1 + z * z / faces) * math.sqrt(
        share * (1 - share) / faces + z * z / (4 * faces**2)
    )  # fmt: skip
    found = wilson(right, faces)
    assert (found.value, found.low, found.high) == pytest.approx(
        (share, middle - half, middle + half)
    )
    none = wilson(0, 10)
    assert none.low == pytest.approx(0, abs=1e-12)
    assert none.high is not None
    assert none.high > 0.2  # none of ten is no proof of none


def test_shares_are_those_of_scikit_learn():
    faces = table(300)
    found = resampled(faces)
    right, said = faces.labels, faces.predicted
    assert found["accuracy"].value == pytest.approx(accuracy_score(right, said))
    assert found["macro_f1"].value == pytest.approx(f1_score(right, said, average="macro"))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(right, said))


def test_resampling_faces_gives_the_interval_of_a_share():
    """Normal approximation: 1.96 standard errors on both sides."""
    faces = table(2000)
    found = resampled(faces, replicates=4000)["accuracy"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    error = math.sqrt(found.value * (1 - found.value) / 2000)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.05)


def test_faces_shown_four_times_tell_no_more_than_once():
    """By group, copies of a face leave the interval as it is; by face they make it narrower."""
    faces = table(150)
    times = np.repeat(np.arange(150), 4)
    copies = Predictions(
        class_names=faces.class_names,
        ids=tuple(f"copy{number}" for number in range(600)),
        labels=faces.labels[times],
        probabilities=faces.probabilities[times],
    )
    units = [faces.ids[number] for number in times]
    once, grouped, alone = resampled(faces), resampled(copies, units), resampled(copies)
    for name in once:
        assert grouped[name].low == pytest.approx(once[name].low)
        assert grouped[name].high == pytest.approx(once[name].high)
    wide, narrow = (
        (found["accuracy"].high or 0) - (found["accuracy"].low or 0) for found in (grouped, alone)
    )
    assert wide > 1.7 * narrow


def test_one_group_alone_has_no_interval():
    found = resampled(table(30), ["one"] * 30)["accuracy"]
    assert found.value is not None
    assert found.low is found.high is None


def test_folds_are_put_together_face_by_face():
    tables = [table(100, seed, 100 * seed) for seed in range(5)]
    pooled = out_of_fold(tables)
    found = crossvalidated([fold(n, t) for n, t in enumerate(tables, 1)], pooled, None)
    assert found.faces == 500
    assert found.pooled["accuracy"].value == pytest.approx(score(pooled).accuracy)
    assert found.spreads["accuracy"].mean == pytest.approx(score(pooled).accuracy)  # equal sizes
    assert found.spreads["loss"].mean == pytest.approx(np.mean([score(t).nll for t in tables]))
    plain = over_folds([score(t).ece for t in tables], 0.25)
    assert found.spreads["ece"] == plain
    assert found.to_json()["per_fold"][3]["fold"] == 4


def test_by_group_the_fold_has_no_interval_that_takes_faces_as_independent():
    faces = table(100)
    alone, grouped = fold(1, faces), fold(1, faces, [f"p{n // 20}" for n in range(100)])
    assert alone.accuracy == wilson(int((faces.predicted == faces.labels).sum()), 100)
    assert grouped.accuracy != alone.accuracy
    assert grouped.accuracy.value == alone.accuracy.value


def test_a_face_in_two_folds_and_other_classes_are_refused():
    with pytest.raises(DataError, match="10 faces are held out by two folds"):
        out_of_fold([table(50), table(50, start=40)])
    with pytest.raises(DataError, match="other classes"):
        out_of_fold([table(5), replace(table(5, start=5), class_names=("a", "b", "d"))])


def test_depths_that_differ_are_left_out_of_the_whole():
    deep = replace(table(4), step_correct=np.ones((4, 3), bool), steps=np.array([1, 2, 3, 1]))
    other = replace(table(4, start=4), step_correct=np.ones((4, 2), bool), steps=np.ones(4, int))
    pooled = out_of_fold([deep, other])
    assert pooled.step_correct is None
    assert pooled.steps is not None
    assert pooled.steps.tolist() == [1, 2, 3, 1, 1, 1, 1, 1]
