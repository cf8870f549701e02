"""Steps against people: scipy's Spearman, planted truths, ceilings of so few votes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from tiny import random_faces

from adafer.analysis import agreement as people
from adafer.analysis.difficulty import difficulty
from adafer.analysis.resampling import (
    correlations,
    mean_estimate,
    rank_estimate,
    ranks,
    resamples,
    within_estimate,
)
from adafer.metrics import spearman_within, vote_entropy


def voted(count: int = 600, *, seed: int = 0, steps="entropy", classes: int = 5):
    """Faces with ten votes each; steps follow their entropy, chance, or their class."""
    random = np.random.default_rng(seed)
    plain = random_faces(count, seed=seed, classes=classes)
    labels = plain.predictions.labels
    doubt = random.beta(1, 2, count)
    shares = np.full((count, classes), 1 / classes) * doubt[:, None]
    shares[np.arange(count), labels] += 1 - doubt
    votes = np.array([random.multinomial(10, row) for row in shares]) / 10
    entropy = vote_entropy(votes)
    order = rankdata(entropy) / count
    chosen = {
        "entropy": np.ceil(order * 4),
        "chance": random.integers(1, 5, count),
        "class": 1 + labels % 4,
    }[steps]
    return random_faces(count, seed=seed, classes=classes, steps=chosen.astype(int), votes=votes)


def test_correlations_are_scipys():
    random = np.random.default_rng(0)
    one, two = random.integers(0, 5, 200), random.normal(size=200)
    counts = resamples(200, 0, 50)
    assert rank_estimate(one, two, counts).value == pytest.approx(spearmanr(one, two).statistic)
    drawn = np.repeat(np.arange(200), counts[3].astype(int))
    by_hand = pearsonr(ranks(one)[drawn], ranks(two)[drawn]).statistic
    assert correlations(ranks(one), ranks(two), counts)[3] == pytest.approx(by_hand, abs=1e-5)


def test_within_class_is_the_projects_other_implementation():
    random = np.random.default_rng(1)
    groups = random.integers(0, 3, 300)
    one = random.normal(size=300) + groups
    two = 0.5 * one + random.normal(size=300)
    found = within_estimate(one, two, groups, resamples(300, 0, 20))
    assert found.value == pytest.approx(spearman_within(one, two, groups), abs=1e-9)


def test_a_mean_has_the_interval_of_its_standard_error():
    values = np.random.default_rng(2).normal(size=2000)
    found = mean_estimate(values, resamples(2000, 0))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.1)


def test_steps_that_are_the_entropy_follow_it_and_chance_does_not():
    follows = people.agreement(voted()).steps
    assert follows.overall.value > 0.9
    assert follows.within.value > 0.85
    covered = [people.agreement(voted(seed=s, steps="chance")).steps.overall for s in range(12)]
    assert sum(e.low <= 0 <= e.high for e in covered) >= 10


def test_steps_by_class_correlate_over_all_and_not_within():
    """Simpson: the class decides the steps, and classes differ in ambiguity."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, 2000)
    first = 0.2 + 0.2 * labels
    votes = np.array([random.multinomial(10, [1 - p, p, 0, 0]) for p in first / 2]) / 10
    base = random_faces(2000, classes=4, steps=1 + labels, votes=votes)
    table = replace(base.predictions, labels=labels)
    found = people.agreement(replace(base, predictions=table))
    assert found.steps.overall.value > 0.3
    assert found.steps.within.value is None
    assert set(found.left_out) == set("abcd")


def test_a_ceiling_is_what_the_true_doubt_reaches():
    """The ceiling of ten votes against what the noise-free entropy reaches with them."""
    random = np.random.default_rng(4)
    doubt = random.beta(1, 2, 3000)
    shares = np.stack([1 - doubt, doubt * 0.7, doubt * 0.3], 1)
    votes = np.array([random.multinomial(10, row) for row in shares]) / 10
    ceiling, _ = people.ceilings(votes, np.zeros(3000, np.int64))
    reached = spearmanr(vote_entropy(shares), vote_entropy(votes)).statistic
    assert ceiling == pytest.approx(reached, abs=0.04)


def test_halved_votes_add_up_and_are_drawn_without_replacement():
    numbers = np.array([[6, 3, 1], [0, 10, 0], [1, 1, 1]])
    random = np.random.default_rng(5)
    draws = np.array([people.halved(numbers, random) for _ in range(4000)])
    assert (draws.sum(2) == [5, 5, 1]).all()
    assert (draws <= numbers).all()
    np.testing.assert_allclose(draws.mean(0)[0], [3, 1.5, 0.5], atol=0.06)
    # hypergeometric variance n K/N (1 - K/N) (N - n)/(N - 1) of 6 in 10, 5 drawn
    assert draws[:, 0, 0].var() == pytest.approx(5 * 0.6 * 0.4 * 5 / 9, rel=0.1)


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ([1.0, 0.0], [10, 0]),
        ([0.6, 0.4], [6, 4]),
        ([2 / 3, 1 / 3], [6, 3]),
        ([5 / 8, 3 / 8], [5, 3]),
        ([4 / 7, 3 / 7], [4, 3]),
    ],
)
def test_whole_votes_are_found_behind_shares(shares: list[float], counts: list[int]):
    assert people.implied_counts(np.float32([shares]).astype(float))[0].tolist() == counts


def test_a_partial_correlation_is_that_of_the_residuals():
    random = np.random.default_rng(6)
    cause = random.normal(size=500)
    one, two = cause + random.normal(size=500), cause + random.normal(size=500)
    counts = resamples(500, 0, 100)
    plain = rank_estimate(one, two, counts).value
    given = people.partial_estimate(one, two, ranks(cause)[:, None], counts)
    assert plain > 0.4
    assert given.low < 0 < given.high


def test_reducible_loss_is_followed_by_steps_that_know_it():
    plain = random_faces(500, seed=7)
    logs = np.log(plain.probabilities)
    labels = plain.predictions.labels
    losses = -logs[np.arange(500), :, labels]
    gain = losses[:, 0] - losses[:, -1]
    steps = np.ceil(rankdata(gain) / 500 * 4).astype(int)
    known = random_faces(500, seed=7, steps=steps)
    found = people.reducible(known)
    assert found.label_gain.overall.value > 0.9
    # without votes the target is the label, so both gains are the same
    assert found.gain.overall.value == pytest.approx(found.label_gain.overall.value)


def test_without_votes_or_with_equal_steps_there_is_nothing_to_compare():
    assert people.agreement(random_faces(50)) is None
    same = random_faces(50, steps=np.full(50, 2), votes=np.eye(5)[np.zeros(50, int)])
    assert people.agreement(same) is None
    assert people.reducible(same) is None


def test_easy_and_hard_faces_by_votes():
    votes = np.array([[1.0, 0.0]] * 20 + [[0.5, 0.5]] * 20 + [[0.8, 0.2]] * 20)
    steps = np.array([1] * 20 + [3] * 20 + [2] * 20)
    faces = random_faces(60, classes=2, depth=3, steps=steps, votes=votes)
    found = next(item for item in difficulty(faces) if item.name == "votes")
    assert (found.easy_faces, found.hard_faces) == (20, 20)
    assert found.difference.value == 2.0
    assert found.chance_harder_longer == 1.0
    assert found.p < 1e-6


def test_everything_is_plain_json():
    found = people.agreement(voted(200))
    json.dumps([found.to_json(), people.reducible(voted(200)).to_json()], allow_nan=False)
    assert found.of_ceiling == pytest.approx(found.steps.overall.value / found.ceiling)
