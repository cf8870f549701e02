"""The verdict: every condition of the bar, and which difficulty the steps follow."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import random_faces, trajectory

from adafer.analysis.agreement import Agreement, Correlation, Reducible
from adafer.analysis.controls import controls
from adafer.analysis.resampling import Estimate
from adafer.analysis.verdict import bar, verdict


def informed():
    """Steps that know the first right depth, which is what adaptive means."""
    plain = random_faces(900, seed=8)
    right = plain.logits.argmax(2) == plain.predictions.labels[:, None]
    steps = np.where(right.any(1), right.argmax(1) + 1, 4)
    return trajectory(plain.logits, plain.predictions.labels, steps)


def correlation(overall: tuple[float, float, float], within: tuple[float, float, float]):
    return Correlation(name="", overall=Estimate(*overall), within=Estimate(*within))


SOME = correlation((0.3, 0.25, 0.35), (0.2, 0.15, 0.25))
NONE = correlation((0.01, -0.02, 0.04), (0.0, -0.03, 0.03))
CLASS_ONLY = correlation((0.4, 0.35, 0.45), (0.01, -0.02, 0.04))


def people(steps: Correlation) -> Agreement:
    return Agreement(
        steps=steps, companions=(), rivals=(), partial=Estimate(None), given=(), ceiling=0.8,
        ceiling_within=0.7, left_out=(),
    )  # fmt: skip


def gain(found: Correlation) -> Reducible:
    return Reducible(gain=found, label_gain=found, depth=NONE)


def test_steps_that_know_are_adaptive_once_time_is_saved():
    found = controls(informed())
    assert verdict(found, None, None, saved=0.8).adaptive is True
    assert verdict(found, None, None, saved=0.6).adaptive is False
    undecided = verdict(found, None, None)
    assert undecided.adaptive is None
    assert undecided.sentences[0].startswith("Not decided")


def test_a_missed_condition_is_named_with_its_figure():
    found = verdict(controls(random_faces(300)), None, None, saved=0.2)
    assert found.adaptive is False
    assert "20%" in found.sentences[0]
    assert sum(c.passed is False for c in found.criteria) >= 2


def test_the_bar_is_at_its_published_places():
    found = replace(controls(informed()), sd_steps=0.7)
    criteria = bar(found, 0.7)
    assert [c.passed for c in criteria] == [True, True, False, True]


@pytest.mark.parametrize(
    ("votes", "loss", "follows"),
    [
        (SOME, NONE, "ambiguity"),
        (NONE, SOME, "reducible loss"),
        (SOME, SOME, "both"),
        (NONE, NONE, "neither"),
        (CLASS_ONLY, NONE, "neither"),
    ],
)
def test_what_the_steps_follow(votes: Correlation, loss: Correlation, follows: str):
    found = verdict(controls(informed()), people(votes), gain(loss), saved=0.9)
    assert found.follows == follows
    if votes is CLASS_ONLY:
        assert "+0.40 over all, +0.01 within class" in found.sentences[1]


def test_without_votes_and_with_equal_steps_nothing_is_claimed():
    assert verdict(controls(informed()), None, None).follows == "unknown"
