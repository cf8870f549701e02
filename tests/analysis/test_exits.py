"""Exit rules: signals by hand, thresholds that meet a mean, and faces that choose for others."""

import numpy as np
import pytest
from tiny import answers, random_faces, trajectory

from adafer.analysis import exits

P = np.array([[[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]])


def test_the_signals_of_one_face_by_hand():
    assert exits.confidence(P)[0].tolist() == [0.5, 0.7, 0.7]
    np.testing.assert_allclose(exits.margin(P)[0], [0.2, 0.5, 0.5])
    by_hand = [0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2)]
    by_hand += 2 * [0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)]
    np.testing.assert_allclose(exits.entropy(P)[0], by_hand)
    moved = 0.7 * np.log(0.7 / 0.5) + 0.2 * np.log(0.2 / 0.3) + 0.1 * np.log(0.1 / 0.2)
    np.testing.assert_allclose(exits.change(P)[0], [-np.inf, -moved, 0.0])


def test_patience_counts_equal_answers_in_a_row():
    rows = answers([[0, 0, 1, 1, 1, 0]])
    assert exits.patience(rows)[0].tolist() == [1, 2, 1, 2, 3, 1]


def test_a_face_stops_at_the_first_step_that_reaches_the_threshold_or_at_the_last():
    signal = np.array([[0.1, 0.6, 0.9], [0.7, 0.2, 0.1], [0.1, 0.1, 0.1]])
    assert exits.first_reaching(signal, 0.6).tolist() == [2, 1, 3]


@pytest.mark.parametrize("name", list(exits.SIGNALS))
@pytest.mark.parametrize("mean", [1.5, 2.0, 2.6, 3.3])
def test_a_threshold_meets_the_mean_that_was_asked_for(name: str, mean: float):
    signal = exits.SIGNALS[name](random_faces(4000, seed=3).probabilities)
    if name in ("patience", "change") and mean < 2:
        pytest.skip("these rules cannot stop at the first step for some faces only")
    chosen = exits.fit_threshold(signal, mean)
    assert exits.apply_threshold(signal, chosen).mean() == pytest.approx(mean, abs=0.05)


def test_no_face_takes_part_in_choosing_its_own_threshold():
    """Change the faces of one half: the other half's steps follow, its own threshold stays."""
    plain = random_faces(400, seed=1)
    order = np.random.default_rng(0).permutation(400)
    first, second = order[:200], order[200:]
    logits = plain.logits.copy()
    logits[first] *= 3  # surer, so that a threshold chosen here is higher
    other = trajectory(logits, plain.predictions.labels, plain.predictions.steps)
    before = exits.exit_steps("confidence", plain, 2.5)
    after = exits.exit_steps("confidence", other, 2.5)
    assert after[second].mean() > before[second].mean() + 0.3


def test_thresholds_from_validation_are_applied_as_they_are():
    chosen_on, faces = random_faces(900, seed=5), random_faces(300, seed=6)
    limit = exits.fit_threshold(chosen_on.probabilities.max(2), 2.0)
    steps = exits.exit_steps("confidence", faces, 2.0, chosen_on)
    expected = exits.apply_threshold(faces.probabilities.max(2), limit)
    assert steps.tolist() == expected.tolist()


def test_curves_start_at_depth_one_and_end_at_the_last():
    faces = random_faces(500, seed=2)
    right = exits.step_correct(faces)
    for curve in exits.curves(faces):
        assert curve.points[0].mean_steps == 1.0
        assert curve.points[0].accuracy == right[:, 0].mean()
        assert curve.points[-1].mean_steps == 4.0
        assert curve.points[-1].accuracy == right[:, -1].mean()


def test_the_area_of_fixed_depths_is_the_mean_of_trapezia():
    faces = trajectory(answers([[0, 1], [1, 1]]), [1, 1], [1, 2])  # right: 50 %, then 100 %
    curve = next(c for c in exits.curves(faces) if c.name == "fixed depth")
    assert curve.area == pytest.approx(0.75)


def test_steps_beyond_training_are_no_exit():
    faces = random_faces(100, depth=6, seed=4, steps=np.full(100, 3), trained=3)
    assert exits.step_correct(faces).shape == (100, 3)
    assert exits.exit_steps("entropy", faces, 2.9).max() == 3
