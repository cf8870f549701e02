"""The losses against numbers worked out by hand, PyTorch's own and finite differences."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adafer.contracts import Batch, Output, StepOutput
from adafer.losses.classification import CrossEntropy
from adafer.losses.ponder import (
    DifferentiablePonderLoss,
    PonderNetLoss,
    expected_steps,
    geometric_prior,
)
from adafer.models.halting import HALTING
from adafer.settings.model import RecursiveSettings

LABELS = torch.tensor([0, 2, 1, 2])


def batch(votes: Tensor | None = None) -> Batch:
    ids = tuple("abcd")
    return Batch(images=torch.zeros(4, 3, 1, 1), labels=LABELS, votes=votes, ids=ids)


def answers(scores: Tensor, halting: str = "graves", **changes: object) -> StepOutput:
    """What a model would answer with these scores (T, 4); the logits are seeded."""
    torch.manual_seed(0)
    halt = HALTING[halting](scores, RecursiveSettings(halting=halting, **changes))  # type: ignore[arg-type]
    step_logits = torch.randn(len(scores), 4, 3, dtype=scores.dtype)
    return StepOutput(
        logits=(halt.weights[:, :, None] * step_logits).sum(0),
        step_logits=step_logits,
        step_probs=scores,
        weights=halt.weights,
        remainder=halt.remainder,
        ponder_cost=halt.cost,
        steps=halt.steps,
    )


SCORES = torch.tensor(
    [[0.995, 0.3, 0.5, 0.1], [0.5, 0.6, 0.4, 0.1], [0.5, 0.2, 0.3, 0.1]], dtype=torch.float64
)
# additive: N = 1, 3, 3, 3 and R = 1, 0.1, 0.1, 0.8, so the costs N + R are 2, 3.1, 3.1, 3.8


def test_the_costs_by_hand() -> None:
    output = answers(SCORES)
    loss = DifferentiablePonderLoss()
    assert loss.cost(output).tolist() == pytest.approx([2, 3.1, 3.1, 3.8])
    alone = DifferentiablePonderLoss(ponder_cost="remainder")
    assert alone.cost(output).tolist() == pytest.approx([1, 0.1, 0.1, 0.8])
    # weights: (1), (0.3, 0.6, 0.1), (0.5, 0.4, 0.1), (0.1, 0.1, 0.8)
    expected = DifferentiablePonderLoss(ponder_cost="expected")
    assert expected.cost(output).tolist() == pytest.approx([1, 1.8, 1.6, 2.7])


def test_class_weights_multiply_the_cost_of_their_faces() -> None:
    loss = DifferentiablePonderLoss(
        ponder_lambda=0.1, ponder_warmup=0.0, ponder_class_weights=(2.0, 1.0, 0.5)
    )
    # labels 0, 2, 1, 2: 2 x 2 + 0.5 x 3.1 + 1 x 3.1 + 0.5 x 3.8 = 10.55; a quarter of it x 0.1
    terms = loss(answers(SCORES), batch(), 1.0)
    assert float(terms["ponder"]) == pytest.approx(0.1 * 10.55 / 4)
    even = DifferentiablePonderLoss(ponder_lambda=0.1, ponder_warmup=0.0)
    assert float(even(answers(SCORES), batch(), 1.0)["ponder"]) == pytest.approx(0.1 * 3.0)


@pytest.mark.parametrize(
    ("warmup", "progress", "expected"),
    [
        (0.3, 0.0, 0.0),
        (0.3, 0.15, 0.01),
        (0.3, 0.3, 0.02),
        (0.3, 1.0, 0.02),
        (0.0, 0.0, 0.02),
        (1.0, 0.25, 0.005),
    ],
)
def test_lambda_rises_linearly_and_stays(warmup: float, progress: float, expected: float) -> None:
    loss = DifferentiablePonderLoss(ponder_lambda=0.02, ponder_warmup=warmup)
    assert loss.lambda_at(progress) == pytest.approx(expected)
    output = answers(SCORES)
    term = float(loss(output, batch(), progress)["ponder"])
    assert term == pytest.approx(expected * float(output.ponder_cost.mean()))


def test_the_classification_term_is_pytorchs_cross_entropy_of_the_answer() -> None:
    output = answers(SCORES)
    terms = DifferentiablePonderLoss(label_smoothing=0.1)(output, batch(), 1.0)
    expected = functional.cross_entropy(output.logits, LABELS, label_smoothing=0.1)
    assert float(terms["classification"]) == pytest.approx(float(expected))


def test_votes_are_learned_as_shares_unless_labels_are_asked_for() -> None:
    votes = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]])
    output = answers(SCORES)
    soft = CrossEntropy()(output, batch(votes), 0.0)["classification"]
    by_hand = functional.cross_entropy(output.logits, votes.double())
    assert float(soft) == pytest.approx(float(by_hand))
    hard = CrossEntropy(soft_targets=False)(output, batch(votes), 0.0)["classification"]
    assert float(hard) == pytest.approx(float(functional.cross_entropy(output.logits, LABELS)))


def test_class_weights_scale_each_face_and_the_mean_is_over_faces() -> None:
    output = answers(SCORES)
    per_face = functional.cross_entropy(output.logits, LABELS, reduction="none").tolist()
    found = CrossEntropy(class_weights=(1.0, 3.0, 0.5))(output, batch(), 0.0)["classification"]
    weights = [1.0, 0.5, 3.0, 0.5]
    expected = sum(w * loss for w, loss in zip(weights, per_face, strict=True)) / 4
    assert float(found) == pytest.approx(expected)


def test_deep_supervision_is_the_mean_over_the_steps() -> None:
    output = answers(SCORES)
    terms = DifferentiablePonderLoss(deep_supervision=0.3)(output, batch(), 1.0)
    steps = [float(functional.cross_entropy(logits, LABELS)) for logits in output.step_logits]
    assert float(terms["steps"]) == pytest.approx(0.3 * sum(steps) / 3)
    assert "steps" not in DifferentiablePonderLoss()(output, batch(), 1.0)


def test_with_lambda_zero_classification_alone_moves_the_graves_scores() -> None:
    for halting, moved in (("graves", True), ("naive", False)):
        scores = SCORES.clone().requires_grad_()
        terms = DifferentiablePonderLoss(ponder_lambda=0.0)(answers(scores, halting), batch(), 1.0)
        sum(terms.values(), torch.zeros(())).backward()
        assert scores.grad is not None
        assert bool((scores.grad.abs() > 1e-3).any()) == moved


# PonderNet ----------------------------------------------------------------------------------------


def test_the_prior_by_hand() -> None:
    # 0.2, 0.16, 0.128 sum to 0.488
    prior = geometric_prior(0.2, torch.zeros(3, dtype=torch.float64))
    assert prior.tolist() == pytest.approx([0.2 / 0.488, 0.16 / 0.488, 0.128 / 0.488])


def test_the_prior_of_a_long_horizon_has_the_mean_of_its_parameter() -> None:
    prior = geometric_prior(0.2, torch.zeros(200, dtype=torch.float64))
    assert float(expected_steps(prior[:, None])) == pytest.approx(5.0)


def test_pondernet_is_the_expected_loss_plus_the_divergence_by_hand() -> None:
    hazards = torch.full((3, 4), 0.5, dtype=torch.float64)
    output = answers(hazards, "ponder")
    terms = PonderNetLoss(prior_lambda=0.2, prior_beta=0.7)(output, batch(), 0.5)
    chance = [0.5, 0.25, 0.25]  # P(N = n), the last step takes the rest
    steps = [float(functional.cross_entropy(logits, LABELS)) for logits in output.step_logits]
    expected = sum(p * loss for p, loss in zip(chance, steps, strict=True))
    assert float(terms["classification"]) == pytest.approx(expected)
    prior = [0.2 / 0.488, 0.16 / 0.488, 0.128 / 0.488]
    divergence = sum(p * math.log(p / q) for p, q in zip(chance, prior, strict=True))
    assert float(terms["prior"]) == pytest.approx(0.7 * divergence)


def test_the_divergence_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    # hazards of the truncated geometric distribution: p_n over the mass that is left
    prior = geometric_prior(0.2, torch.zeros(4, dtype=torch.float64))
    left = torch.cat([torch.ones(1).double(), 1 - prior.cumsum(0)[:-1]])
    hazards = (prior / left)[:, None].expand(4, 4)
    loss = PonderNetLoss(prior_lambda=0.2, prior_beta=1.0)
    at_prior = float(loss(answers(hazards, "ponder"), batch(), 0.0)["prior"])
    assert at_prior == pytest.approx(0.0, abs=1e-12)
    assert float(loss(answers(hazards * 0.5, "ponder"), batch(), 0.0)["prior"]) > 0.01


@pytest.mark.parametrize(
    ("halting", "loss"),
    [
        ("graves", DifferentiablePonderLoss(deep_supervision=0.3, ponder_warmup=0.0)),
        ("graves", DifferentiablePonderLoss(ponder_cost="expected", label_smoothing=0.1)),
        ("ponder", PonderNetLoss()),
    ],
)
def test_gradients_agree_with_finite_differences(
    halting: str, loss: DifferentiablePonderLoss | PonderNetLoss
) -> None:
    scores = (SCORES * 0.9).requires_grad_()

    def total(given: Tensor) -> Tensor:
        terms = loss(answers(given, halting), batch(), 1.0)
        return sum(terms.values(), torch.zeros(()))

    assert torch.autograd.gradcheck(total, (scores,), nondet_tol=0.0)


def test_cross_entropy_has_the_gradient_of_finite_differences() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)

    def total(given: Tensor) -> Tensor:
        return CrossEntropy(label_smoothing=0.1)(Output(logits=given), batch(), 0.0)[
            "classification"
        ]

    assert torch.autograd.gradcheck(total, (logits,), nondet_tol=0.0)
