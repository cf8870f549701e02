"""Groups, paired tests, confused pairs, suspected labels: by hand and by planted truths."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import cross_val_predict

from adafer.analysis.groups import by_group, holm
from adafer.analysis.label_errors import suspected_label_errors
from adafer.analysis.mistakes import confused_pairs, top_losses
from adafer.analysis.paired import differences, shared_faces
from adafer.errors import DataError
from adafer.predictions import Predictions


def table(labels, answers, *, classes: int = 3, sure: float = 0.8, **named) -> Predictions:
    labels, answers = np.asarray(labels), np.asarray(answers)
    probabilities = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    probabilities[np.arange(len(labels)), answers] = sure
    return Predictions(
        class_names=tuple("abcdefgh"[:classes]),
        ids=named.pop("ids", tuple(f"face {n}" for n in range(len(labels)))),
        labels=labels.astype(np.int64),
        probabilities=probabilities,
        **named,
    )


def half_right(count: int, chance: np.ndarray, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    right = random.random(count) < chance
    return table(labels, np.where(right, labels, (labels + 1) % 3))


def test_a_gap_of_ten_points_between_groups_is_found():
    groups = np.array(["x", "y"] * 1500)
    found = by_group(half_right(3000, np.where(groups == "x", 0.8, 0.7), 0), {"group": groups})[0]
    assert found.accuracy_gap.value == pytest.approx(0.1, abs=0.04)
    assert found.accuracy_gap.low > 0
    assert found.p < 0.01


def test_without_a_gap_the_alarm_is_rare():
    groups = np.array(["x", "y"] * 150)
    alarms = [
        by_group(half_right(300, np.full(300, 0.7), seed), {"g": groups})[0].p < 0.05
        for seed in range(60)
    ]
    assert sum(alarms) <= binomtest(0, 60).proportion_ci().high * 60 + 4


def test_small_groups_are_shown_and_not_tested():
    groups = ["x"] * 100 + ["y"] * 95 + ["z"] * 5
    found = by_group(half_right(200, np.full(200, 0.7), 1), {"g": groups})[0]
    assert [(g.name, g.faces, g.tested) for g in found.groups] == [
        ("x", 100, True), ("y", 95, True), ("z", 5, False),
    ]  # fmt: skip
    lonely = by_group(half_right(40, np.full(40, 0.7), 1), {"g": ["x"] * 35 + ["y"] * 5})[0]
    assert lonely.accuracy_gap.value is None
    assert lonely.p is None


def test_holms_correction_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_mcnemar_by_hand():
    labels = np.zeros(100, int)
    one = np.array([0] * 60 + [1] * 40)
    two = np.array([0] * 55 + [1] * 5 + [0] * 15 + [1] * 25)
    (found,) = differences([table(labels, one), table(labels, two)], ["one", "two"])
    counted = (found.both_right, found.only_first, found.only_second, found.both_wrong)
    assert counted == (55, 5, 15, 25)
    assert found.p == pytest.approx(binomtest(15, 20).pvalue)
    assert found.accuracy.value == pytest.approx(0.10)
    # the paired difference of shares has variance (b + c - (c - b)^2 / n) / n^2
    wide = np.sqrt(20 - 100 / 100) / 100
    assert found.accuracy.high - found.accuracy.low == pytest.approx(2 * 1.96 * wide, rel=0.12)
    power = norm.ppf(0.975) + norm.ppf(0.8)
    assert found.detectable == pytest.approx(power * np.sqrt(20) / 100, rel=1e-4)


def test_paired_figures_agree_with_scikit_learn():
    one, two = half_right(400, np.full(400, 0.6), 2), half_right(400, np.full(400, 0.7), 2)
    (found,) = differences([one, two], ["one", "two"])
    f1 = [f1_score(t.labels, t.predicted, average="macro") for t in (one, two)]
    recall = [balanced_accuracy_score(t.labels, t.predicted) for t in (one, two)]
    assert found.macro_f1.value == pytest.approx(f1[1] - f1[0])
    assert found.balanced_accuracy.value == pytest.approx(recall[1] - recall[0])
    json.dumps(found.to_json(), allow_nan=False)


def test_a_run_against_itself_differs_in_nothing():
    one = half_right(200, np.full(200, 0.6), 3)
    (found,) = differences([one, one], ["one", "again"])
    assert (found.p, found.accuracy.value, found.macro_f1.value) == (1.0, 0.0, 0.0)


def test_faces_are_put_in_one_order_and_foreign_ones_refused():
    one = table([0, 1, 2], [0, 1, 2], ids=("x", "y", "z"))
    turned = table([2, 0, 1], [2, 0, 0], ids=("z", "x", "y"))
    kept = shared_faces([one, turned], ["one", "two"], common=False)
    assert kept[1].ids == ("x", "y", "z")
    assert kept[1].labels.tolist() == [0, 1, 2]
    other = table([0, 1], [0, 1], ids=("x", "w"))
    with pytest.raises(DataError, match=r"1 of 3 are shared.*--common"):
        shared_faces([one, other], ["one", "two"], common=False)
    assert [t.ids for t in shared_faces([one, other], ["a", "b"], common=True)] == [("x",)] * 2
    relabelled = table([0, 1, 0], [0, 1, 2], ids=("x", "y", "z"))
    with pytest.raises(DataError, match="other labels"):
        shared_faces([one, relabelled], ["one", "two"], common=False)


def test_confused_pairs_with_what_people_said():
    votes = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    found = confused_pairs(table([0, 0, 0, 1, 2], [1, 1, 0, 1, 0], votes=votes))
    assert [(p.label, p.prediction, p.faces) for p in found] == [("a", "b", 2), ("c", "a", 1)]
    assert found[0].share == pytest.approx(2 / 3)
    assert found[0].people == pytest.approx(0.2)
    assert found[0].low < 2 / 3 < found[0].high


def test_the_largest_loss_comes_first():
    faces = table([0, 0, 1], [0, 1, 0], sure=0.9)
    faces.probabilities[2] = [0.98, 0.01, 0.01]
    assert top_losses(faces).tolist() == [2, 1, 0]


@pytest.fixture(scope="module")
def flipped() -> tuple[Predictions, np.ndarray]:
    """Out-of-fold probabilities on labels of which a tenth was flipped."""
    pytest.importorskip("cleanlab", reason="the extra `labels` is not installed")
    features, labels = make_classification(
        1500, 10, n_informative=6, n_classes=3, class_sep=1.6, random_state=0
    )
    random = np.random.default_rng(0)
    wrong = random.choice(1500, 150, replace=False)
    given = labels.copy()
    given[wrong] = (given[wrong] + random.integers(1, 3, 150)) % 3
    model = LogisticRegression(max_iter=500)
    told = cross_val_predict(model, features, given, cv=5, method="predict_proba")
    names = tuple(str(n) for n in range(1500))
    return Predictions(class_names=("a", "b", "c"), ids=names, labels=given, probabilities=told), (
        wrong
    )


def test_planted_label_errors_lead_the_ranking(flipped: tuple[Predictions, np.ndarray]):
    faces, wrong = flipped
    found = suspected_label_errors([faces])
    worst = {int(s.id) for s in found.suspects[:150]}
    assert len(worst & set(wrong.tolist())) >= 0.6 * 150
    assert all(s.label != s.suggested for s in found.suspects)


def test_folds_add_up_and_no_face_comes_twice(flipped: tuple[Predictions, np.ndarray]):
    faces, _ = flipped

    def part(a: int, b: int) -> Predictions:
        return Predictions(
            class_names=faces.class_names, ids=faces.ids[a:b], labels=faces.labels[a:b],
            probabilities=faces.probabilities[a:b],
        )  # fmt: skip

    whole = suspected_label_errors([faces])
    folds = suspected_label_errors([part(0, 700), part(700, 1500)])
    assert [s.id for s in folds.suspects] == [s.id for s in whole.suspects]
    with pytest.raises(DataError, match="100 faces are held out by more than one run"):
        suspected_label_errors([part(0, 800), part(700, 1500)])
