"""Controls: by hand on four faces, and planted truths on many."""

import json

import numpy as np
import pytest
from tiny import answers, random_faces, trajectory

from adafer.analysis.by_step import by_steps
from adafer.analysis.controls import class_means, controls

ROWS = [[0, 1, 1], [2, 2, 1], [1, 0, 0], [0, 0, 0]]
LABELS = [1, 1, 1, 2]
# right at each step: face 0 from step 2, face 1 at step 3, face 2 at step 1 only, face 3 never


def four(steps=(2, 3, 1, 2)):
    return trajectory(answers(ROWS), LABELS, steps)


def test_fixed_depths_and_the_oracle_by_hand():
    found = controls(four())
    assert found.accuracy == 0.75
    assert found.mean_steps == 2.0
    assert found.histogram == (1, 2, 1)
    depths = {n: found.row(f"fixed depth {n}").accuracy for n in (1, 2, 3)}
    assert depths == {1: 0.25, 2: 0.25, 3: 0.5}
    oracle = found.row("oracle: first right step")
    assert (oracle.accuracy, oracle.mean_steps) == (0.75, (2 + 3 + 1 + 1) / 4)
    assert found.best_fixed.accuracy == 0.25
    assert found.best_fixed.gain.value == 0.5


def test_a_mean_between_two_depths_is_their_lot():
    found = controls(four((2, 3, 1, 3)))  # mean 2.25
    row = found.row("fixed depth, equal mean")
    assert row.accuracy == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)
    assert row.mean_steps == 2.25


def test_shuffled_steps_average_over_all_faces():
    """Over all permutations a face takes each number of steps equally often as the histogram."""
    found = controls(four())
    right = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    expected = (right @ np.array([1, 2, 1]) / 4).mean()
    assert found.row("steps shuffled").accuracy == pytest.approx(expected, abs=0.02)
    assert found.row("steps at random").accuracy == pytest.approx(expected, abs=0.02)


def test_steps_that_know_the_right_depth_beat_the_shuffle():
    plain = random_faces(600, seed=8)
    right = plain.logits.argmax(2) == plain.predictions.labels[:, None]
    informed = np.where(right.any(1), right.argmax(1) + 1, 1)
    known = trajectory(plain.logits, plain.predictions.labels, informed)
    for name in ("steps shuffled", "steps shuffled within class", "steps at random"):
        assert controls(known).row(name).p < 0.01


def test_random_steps_do_not_beat_the_shuffle():
    values = [controls(random_faces(300, seed=s)).row("steps shuffled").p for s in range(12)]
    assert min(values) > 0.001
    assert np.mean(np.array(values) < 0.05) < 0.3


def test_steps_that_step_one_tells_are_found_by_the_gate():
    random = np.random.default_rng(0)
    features = random.normal(size=(500, 3)).astype(np.float32)
    steps = np.clip(np.round(2.5 + features[:, 0]), 1, 4).astype(int)
    told = controls(random_faces(500, seed=1, steps=steps, features=features)).gate
    untold = controls(
        random_faces(500, seed=1, steps=steps, features=features[random.permutation(500)])
    ).gate
    assert told.r2 > 0.8
    assert told.spearman > 0.85
    assert untold.r2 < 0.05


def test_equal_steps_are_a_fixed_depth():
    found = controls(random_faces(200, seed=2, steps=np.full(200, 3)))
    assert found.accuracy == found.row("fixed depth 3").accuracy
    assert found.row("fixed depth 3").gain.value == 0
    assert found.row("steps shuffled").p == 1
    assert found.sd_steps == 0
    assert found.gate.r2 is None


def test_a_mixture_is_stopped_with_what_is_left():
    """Graves: p = 0.6, 0.3 and stopped at 2 gives weights 0.6 and 0.4 on the logits."""
    logits = np.array([[[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]])
    faces = trajectory(logits, [0], [2], halting=[[0.6, 0.3, 0.2]], mixing="additive")
    mixed = 0.6 * logits[0, 0] + 0.4 * logits[0, 1]
    expected = np.exp(mixed) / np.exp(mixed).sum()
    np.testing.assert_allclose(faces.stopped()[0, 1], expected, rtol=1e-6)
    mixed = 0.6 * logits[0, 0] + 0.3 * logits[0, 1] + 0.1 * logits[0, 2]
    np.testing.assert_allclose(
        faces.stopped()[0, 2], np.exp(mixed) / np.exp(mixed).sum(), rtol=1e-6
    )


def test_a_product_mixture_keeps_what_survived():
    logits = np.array([[[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]])
    faces = trajectory(logits, [0], [3], halting=[[0.5, 0.5, 0.9]], mixing="multiplicative")
    mixed = 0.5 * logits[0, 0] + 0.25 * logits[0, 1] + 0.25 * logits[0, 2]
    np.testing.assert_allclose(
        faces.stopped()[0, 2], np.exp(mixed) / np.exp(mixed).sum(), rtol=1e-6
    )


def test_a_class_tells_the_mean_of_other_faces():
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    values = np.where(groups == 0, 2.0, 5.0)
    assert class_means(groups, values).tolist() == values.tolist()


def test_intervals_hold_the_value_and_everything_is_plain():
    found = controls(random_faces(300, seed=9))
    for row in found.rows:
        assert row.gain.low - 1e-9 <= row.gain.value <= row.gain.high + 1e-9
    json.dumps(found.to_json(), allow_nan=False)


def test_every_step_is_scored_and_the_stopped_faces_apart():
    found = by_steps(four())
    assert [item.accuracy.value for item in found.every] == [0.25, 0.25, 0.5]
    assert [item.faces for item in found.stopped] == [1, 2, 1]
    assert [item.accuracy.value for item in found.stopped] == [1.0, 0.5, 1.0]
    assert found.right_then_wrong == 0.25  # face 2
    json.dumps(found.to_json(), allow_nan=False)


def test_step_figures_agree_with_scikit_learn():
    from sklearn.metrics import log_loss, roc_auc_score

    faces = random_faces(400, seed=11)
    score = by_steps(faces).every[1]
    chosen = faces.probabilities[:, 1]
    labels = faces.predictions.labels
    assert score.nll == pytest.approx(log_loss(labels, chosen, labels=list(range(5))))
    right = chosen.argmax(1) == labels
    assert score.auroc == pytest.approx(roc_auc_score(right, chosen.max(1)))


def test_steps_beyond_training_are_scored_too():
    faces = random_faces(100, depth=6, seed=4, steps=np.full(100, 3), trained=3)
    found = by_steps(faces)
    assert len(found.every) == 6
    assert len(found.stopped) == 3
