"""Confidence against people, by hand and by scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from adafer.analysis.reliability import against_people
from adafer.metrics import score
from adafer.predictions import Predictions, scaled


def faces(count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and votes; confidence follows agreement, with noise."""
    random = np.random.default_rng(0)
    votes = random.dirichlet(np.full(4, 0.5), count)
    probabilities = votes**0.5 * random.gamma(5, 1, votes.shape)
    return probabilities / probabilities.sum(1, keepdims=True), votes.argmax(1), votes


def test_figures_of_two_faces_by_hand() -> None:
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6]])
    votes = np.array([[0.9, 0.1], [0.8, 0.2]])
    (found,) = against_people({"plain": probabilities}, np.array([0, 0]), votes).standings
    assert found.accuracy == 0.5
    assert found.ece == pytest.approx((0.3 + 0.6) / 2)
    assert found.brier == pytest.approx((2 * 0.3**2 + 2 * 0.6**2) / 2)
    assert found.vote_ece == pytest.approx(((0.9 - 0.7) + (0.6 - 0.2)) / 2)
    assert found.vote_brier == pytest.approx((2 * 0.2**2 + 2 * 0.4**2) / 2)


def test_agreement_is_spearmans_and_the_other_figures_those_of_an_evaluation() -> None:
    probabilities, labels, votes = faces()
    (found,) = against_people({"plain": probabilities}, labels, votes).standings
    expected = spearmanr(probabilities.max(1), votes.max(1)).statistic
    assert found.agreement.value == pytest.approx(expected, abs=1e-12)
    assert found.agreement.low < expected < found.agreement.high
    table = Predictions(
        class_names=tuple("abcd"),
        ids=tuple(map(str, range(len(labels)))),
        labels=labels,
        probabilities=probabilities,
    )
    scores = score(table, bootstrap=0)
    assert found.ece == pytest.approx(scores.ece)
    assert found.brier == pytest.approx(scores.brier)
    assert found.accuracy == scores.accuracy


def test_a_gain_is_paired_and_zero_for_the_same_answer() -> None:
    probabilities, labels, votes = faces()
    random = np.random.default_rng(1)
    blurred = probabilities * random.gamma(2, 1, probabilities.shape)
    blurred /= blurred.sum(1, keepdims=True)
    found = against_people(
        {"plain": blurred, "again": blurred, "better": probabilities}, labels, votes
    )
    assert found.gains[0].value == found.gains[1].value == 0
    assert found.gains[1].high == 0
    assert found.gains[2].low > 0


def test_a_face_that_is_sure_of_two_classes_alike_keeps_its_rank_under_a_temperature() -> None:
    probabilities, _, votes = faces()
    two = np.stack([probabilities[:, 0], 1 - probabilities[:, 0]], 1)
    split = np.stack([votes[:, 0], 1 - votes[:, 0]], 1)
    found = against_people({"plain": two, "scaled": scaled(two, 2.0)}, split.argmax(1), split)
    assert found.gains[1].value == pytest.approx(0, abs=1e-9)  # of two classes, never the order


def test_without_votes_only_the_labels_are_told() -> None:
    probabilities, labels, _ = faces()
    found = against_people({"plain": probabilities}, labels, None)
    assert found.standings[0].agreement.value is None
    assert found.standings[0].vote_ece is None
    assert found.gains[0].value is None
