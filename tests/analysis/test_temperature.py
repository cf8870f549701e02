"""Temperature scaling: by hand, against torch's optimiser, and where nothing can be said."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adafer.analysis.temperature import HIGHEST, LOWEST, cross_fitted, fit_temperature
from adafer.errors import DataError
from adafer.predictions import scaled


def answers(count: int, planted: float, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Probabilities (N, 4) whose logits are `planted` times those that drew the labels."""
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((count, 4))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < random.random((count, 1))).sum(1)
    told = np.exp(planted * logits)
    return told / told.sum(1, keepdims=True), labels


def test_one_changes_no_bit_and_any_other_keeps_the_answer() -> None:
    told, _ = answers(200, 1.0)
    assert scaled(told, 1.0) is told
    for temperature in (0.1, 0.7, 3.0, 15.0):
        found = scaled(told, temperature)
        assert np.allclose(found.sum(1), 1)
        assert np.array_equal(found.argmax(1), told.argmax(1))


def test_scaling_divides_the_logits_by_hand() -> None:
    found = scaled(np.array([[0.8, 0.2]]), 2.0)
    assert found == pytest.approx(np.array([[2 / 3, 1 / 3]]))  # sqrt(0.8) : sqrt(0.2) = 2 : 1
    assert scaled(np.array([[1.0, 0.0]]), 2.0) == pytest.approx(np.array([[1.0, 0.0]]), abs=1e-9)


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found(planted: float) -> None:
    told, labels = answers(20_000, planted)
    assert fit_temperature(told, labels).value == pytest.approx(planted, rel=0.05)


def test_the_optimum_is_that_of_torch() -> None:
    told, labels = answers(500, 1.7, seed=3)
    logits, target = torch.tensor(told).log(), torch.tensor(labels)
    logarithm = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logarithm], lr=0.5, max_iter=200)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / logarithm.exp(), target)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert fit_temperature(told, labels).value == pytest.approx(
        float(logarithm.detach().exp()), rel=1e-3
    )


def test_faces_that_are_all_right_ask_for_the_end_of_the_range() -> None:
    told, _ = answers(100, 1.0)
    sure = fit_temperature(told, told.argmax(1))
    assert (sure.value, sure.at_bound) == (pytest.approx(LOWEST, rel=1e-2), True)
    wrong = fit_temperature(told, told.argmin(1))
    assert (wrong.value, wrong.at_bound) == (pytest.approx(HIGHEST, rel=1e-2), True)
    with pytest.raises(DataError, match="19 validation faces are too few"):
        fit_temperature(told[:19], np.zeros(19, int))


def test_cross_fitting_uses_no_face_twice() -> None:
    told, labels = answers(200, 2.0)
    found = cross_fitted(told, labels)
    logs = np.log(told)
    applied = (logs[:, 0] - logs[:, 1]) / (np.log(found[:, 0]) - np.log(found[:, 1]))
    assert len({round(value, 6) for value in applied}) == 5
    rare = labels.copy()
    rare[:2] = 3
    rare[2:][rare[2:] == 3] = 0
    assert np.allclose(cross_fitted(told, rare).sum(1), 1)
