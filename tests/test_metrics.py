"""Figures against scikit-learn, SciPy and numbers worked out by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, rankdata, spearmanr
from sklearn import metrics as sk

from adafer.errors import DataError
from adafer.metrics import (
    adaptive_ece,
    prediction_depth,
    reliability,
    score,
    spearman,
    spearman_within,
    vote_entropy,
)
from adafer.predictions import Predictions

NEAR = {"rel": 1e-12, "abs": 1e-12}


def table(faces=400, classes=7, depth=6, seed=0, absent=(), **changes):
    random = np.random.default_rng(seed)
    present = [c for c in range(classes) if c not in absent]
    probabilities = random.dirichlet(np.full(classes, 0.4), faces)
    labels = np.where(
        random.random(faces) < 0.6, probabilities.argmax(1), random.choice(present, faces)
    )
    labels = np.where(np.isin(labels, absent), present[0], labels)
    values = {
        "class_names": tuple(f"class {c}" for c in range(classes)),
        "ids": tuple(f"face-{i}" for i in range(faces)),
        "labels": labels.astype(np.int64),
        "probabilities": probabilities,
        "steps": random.integers(1, depth + 1, faces),
        "ponder_cost": random.random(faces) * depth,
        "votes": random.multinomial(10, probabilities) / 10,
        "step_correct": random.random((faces, depth)) < 0.7,
        "loss": 0.5,
    }
    return Predictions(**(values | changes))


@pytest.mark.parametrize(
    ("faces", "classes", "absent"), [(400, 7, ()), (60, 9, (2, 8)), (5, 2, ())]
)
def test_figures_equal_scikit_learn(faces, classes, absent):
    p = table(faces, classes, absent=absent)
    s = score(p, bootstrap=0)
    every = list(range(classes))
    here = {"labels": every, "zero_division": 0}
    assert s.accuracy == pytest.approx(sk.accuracy_score(p.labels, p.predicted), **NEAR)
    macro = sk.f1_score(p.labels, p.predicted, average="macro", **here)
    assert s.macro_f1 == pytest.approx(macro, **NEAR)
    weighted = sk.f1_score(p.labels, p.predicted, average="weighted", **here)
    assert s.weighted_f1 == pytest.approx(weighted, **NEAR)
    present = sorted(set(p.labels.tolist()))
    recalls = sk.recall_score(p.labels, p.predicted, average=None, labels=present)
    assert s.balanced_accuracy == pytest.approx(recalls.mean(), **NEAR)
    assert s.nll == pytest.approx(sk.log_loss(p.labels, p.probabilities, labels=every), **NEAR)
    assert (s.confusion == sk.confusion_matrix(p.labels, p.predicted, labels=every)).all()


def test_figures_equal_an_independent_computation():
    p = table()
    s = score(p, bootstrap=0)
    for c, item in enumerate(s.per_class):
        hits = sum(a == b == c for a, b in zip(p.labels, p.predicted, strict=True))
        named, there = int((p.predicted == c).sum()), int((p.labels == c).sum())
        assert item.precision == pytest.approx(hits / named, **NEAR)
        assert item.recall == pytest.approx(hits / there, **NEAR)
        assert item.f1 == pytest.approx(2 * hits / (named + there), **NEAR)
        assert item.mean_steps == pytest.approx(p.steps[p.labels == c].mean(), **NEAR)
        assert (item.support, item.predicted) == (there, named)
    errors = [
        sum((q - (c == y)) ** 2 for c, q in enumerate(row))
        for row, y in zip(p.probabilities, p.labels, strict=True)
    ]
    assert s.brier == pytest.approx(sum(errors) / len(errors), **NEAR)


def test_balanced_accuracy_equals_scikit_learn_where_every_class_is_there():
    p = table()
    expected = sk.balanced_accuracy_score(p.labels, p.predicted)
    assert score(p, bootstrap=0).balanced_accuracy == pytest.approx(expected, **NEAR)


def test_an_absent_class_counts_as_zero_in_macro_f1_and_not_in_balanced_accuracy():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    p = Predictions(
        class_names=("a", "b", "c"),
        ids=("x", "y"),
        labels=np.array([0, 1]),
        probabilities=probabilities,
    )
    s = score(p, bootstrap=0)
    assert s.macro_f1 == pytest.approx(2 / 3)
    assert s.balanced_accuracy == s.accuracy == 1


def test_calibration_by_hand():
    # Two bins: (0.6, 0.667] with confidence 0.65, half right; (0.867, 0.933] with 0.9, all right.
    confidence = np.array([0.65, 0.65, 0.9, 0.9])
    correct = np.array([True, False, True, True])
    bins = [item for item in reliability(confidence, correct) if item.count]
    assert [(item.count, item.accuracy) for item in bins] == [(2, 0.5), (2, 1.0)]
    assert bins[0].confidence == pytest.approx(0.65)
    assert adaptive_ece(confidence, correct) == pytest.approx((0.15 + 0.1) / 2)
    p = Predictions(
        class_names=("a", "b"),
        ids=tuple("wxyz"),
        labels=np.array([0, 1, 0, 0]),
        probabilities=np.stack([confidence, 1 - confidence], 1),
    )
    assert score(p, bootstrap=0).ece == pytest.approx((0.15 + 0.1) / 2)


def test_bins_are_closed_above():
    bins = reliability(np.array([0.2, 1.0, 0.0]), np.array([True, True, True]))
    assert [i for i, item in enumerate(bins) if item.count] == [0, 2, 14]


def test_equal_confidences_share_their_accuracy():
    correct = np.arange(100) < 70
    assert adaptive_ece(np.full(100, 0.7), correct) == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 1000))
def test_order_of_the_faces_is_no_matter(seed):
    p = table(faces=40, classes=3, seed=seed)
    order = np.random.default_rng(seed).permutation(len(p))
    q = Predictions(
        class_names=p.class_names,
        ids=tuple(p.ids[i] for i in order),
        labels=p.labels[order],
        probabilities=p.probabilities[order],
        steps=p.steps[order],
        ponder_cost=p.ponder_cost[order],
        votes=p.votes[order],
        step_correct=p.step_correct[order],
        loss=p.loss,
    )
    first, second = (flat(score(x, bootstrap=20).to_json()) for x in (p, q))
    assert first == pytest.approx(second, rel=1e-9, abs=1e-12, nan_ok=True)


def flat(values, name=""):
    if isinstance(values, dict):
        return {k: v for key in values for k, v in flat(values[key], f"{name}/{key}").items()}
    if isinstance(values, list):
        return {k: v for i, x in enumerate(values) for k, v in flat(x, f"{name}/{i}").items()}
    return {name: values} if isinstance(values, int | float) else {}


def test_intervals_agree_with_resampling_face_by_face():
    p = table(faces=300, classes=4)
    random = np.random.default_rng(1)
    accuracies, f1s, steps = [], [], []
    for _ in range(1500):
        drawn = random.integers(0, len(p), len(p))
        truth, answer = p.labels[drawn], p.predicted[drawn]
        accuracies.append((truth == answer).mean())
        f1s.append(sk.f1_score(truth, answer, average="macro", labels=range(4), zero_division=0))
        steps.append(p.steps[drawn].mean())
    s = score(p, bootstrap=4000)
    for name, draws in (("accuracy", accuracies), ("macro_f1", f1s), ("mean_steps", steps)):
        spread = float(np.std(draws))
        low, high = np.quantile(draws, (0.025, 0.975))
        assert s.intervals[name] == pytest.approx((low, high), abs=0.25 * spread)
        assert s.intervals[name][0] < getattr(s, name) < s.intervals[name][1]


def test_intervals_repeat_with_the_seed():
    p = table()
    assert score(p, seed=3).intervals == score(p, seed=3).intervals
    assert score(p, seed=3).intervals != score(p, seed=4).intervals
    assert score(p, bootstrap=0).intervals == {}


def test_step_figures_by_hand():
    p = Predictions(
        class_names=("a", "b"),
        ids=tuple("vwxyz"),
        labels=np.array([0, 0, 0, 1, 1]),
        probabilities=np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.1, 0.9]]),
        steps=np.array([1, 1, 4, 3, 1]),
        step_correct=np.array(
            [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]], dtype=bool
        ),
    )
    s = score(p, bootstrap=0)
    assert s.mean_steps == 2
    assert s.sd_steps == pytest.approx(math.sqrt((1 + 1 + 4 + 1 + 1) / 5))
    assert s.step_counts == (3, 0, 1, 1)
    assert s.accuracy_by_step == (0.4, 0.8, 0.6, 0.8)
    assert s.steps_by_outcome == ((1, 4), (None, 2))
    assert prediction_depth(p.step_correct).tolist() == [1, 2, 0, 4, 1]
    expected = spearmanr([1, 1, 3, 1], [1, 2, 4, 1]).statistic
    assert s.spearman_steps_depth == pytest.approx(expected)


def test_rank_correlation_equals_scipy():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 6, 200), random.integers(0, 9, 200) / 3
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    groups = random.integers(0, 3, 200)
    found = [spearmanr(first[groups == g], second[groups == g]).statistic for g in range(3)]
    weights = [(groups == g).sum() - 3 for g in range(3)]
    expected = np.tanh(np.average(np.arctanh(found), weights=weights))
    assert spearman_within(first, second, groups) == pytest.approx(expected)


def test_rank_correlation_of_a_constant_is_nothing():
    assert spearman(np.ones(9), np.arange(9)) is None
    assert spearman(np.array([1]), np.array([2])) is None
    assert spearman_within(np.arange(6), np.arange(6), np.array([0, 0, 0, 1, 1, 1])) is None
    within = spearman_within(np.arange(8), np.arange(8), np.zeros(8, np.int64))
    assert within is not None
    assert math.isfinite(within)


def test_entropy_of_votes_equals_scipy_and_knows_ties():
    votes = np.random.default_rng(0).multinomial(10, np.full(8, 1 / 8), 50) / 10
    assert vote_entropy(votes) == pytest.approx(entropy(votes, axis=1), abs=1e-6)
    shuffled = np.array([[0.1, 0.2, 0.7], [0.7, 0.1, 0.2], [0.2, 0.7, 0.1]], np.float32)
    assert len(set(vote_entropy(shuffled).tolist())) == 1
    assert vote_entropy(np.array([[1.0, 0.0]])).tolist() == [0]


def test_ranks_average_ties():
    values = np.array([3, 1, 3, 2, 3])
    assert spearman(values, rankdata(values)) == pytest.approx(1)


@pytest.mark.parametrize("faces", [1, 2, 5])
@pytest.mark.parametrize("classes", [2, 30])
def test_json_never_holds_nan(faces, classes):
    p = table(faces, classes)
    text = json.dumps(score(p, bootstrap=10).to_json(), allow_nan=False)
    values = json.loads(text)
    named = {"accuracy", "macro_f1", "weighted_f1", "balanced_accuracy", "ece", "mean_steps", "n"}
    assert named | {"spearman_steps_entropy"} <= set(values)
    assert values["n"] == faces
    assert len(values["confusion_matrix"]) == classes


def test_a_constant_number_of_steps_correlates_with_nothing():
    s = score(table(steps=np.full(400, 3)), bootstrap=0)
    assert s.spearman_steps_entropy is None
    assert s.to_json()["spearman_steps_entropy"] is None


def test_a_model_without_steps_has_no_step_figures():
    s = score(table(steps=None, ponder_cost=None, step_correct=None))
    assert s.mean_steps is s.step_counts is s.accuracy_by_step is s.spearman_steps_entropy is None
    assert "mean_steps" not in s.intervals


def test_what_cannot_be_scored_is_refused():
    p = table(faces=4)
    with pytest.raises(DataError, match="no face to score"):
        score(table(faces=4, ids=(), labels=p.labels[:0], probabilities=p.probabilities[:0]))
    with pytest.raises(DataError, match="outside 0-6"):
        score(table(faces=4, labels=np.array([0, 1, 2, 7])))
    rows = p.probabilities.copy()
    rows[2] = np.nan
    with pytest.raises(DataError, match="'face-2' is no distribution"):
        score(table(faces=4, probabilities=rows))
    with pytest.raises(DataError, match="no distribution"):
        score(table(faces=4, probabilities=p.probabilities * 3))
    with pytest.raises(DataError, match="do not fit"):
        score(table(faces=4, labels=p.labels[:3]))
