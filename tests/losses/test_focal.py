"""Focal loss against numbers worked out by hand, cross-entropy and finite differences."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adafer.contracts import Batch, Output
from adafer.losses.classification import CrossEntropy
from adafer.losses.focal import FocalLoss, focal

LABELS = torch.tensor([0, 2, 1, 2])
LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
VOTES = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]])


def batch(votes: Tensor | None = None) -> Batch:
    return Batch(images=torch.zeros(4, 3, 1, 1), labels=LABELS, votes=votes, ids=tuple("abcd"))


def value(loss: FocalLoss | CrossEntropy, given: Batch, logits: Tensor = LOGITS) -> Tensor:
    return loss(Output(logits=logits), given, 0.0)["classification"]


def test_the_loss_by_hand() -> None:
    # p = 0.8, 0.5, 0.1 of the true class: (1 - p)^2 x -log p
    p = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0]] * 3)
    found = focal(p.log(), target, 2.0).tolist()
    assert found == pytest.approx(
        [0.04 * -math.log(0.8), 0.25 * -math.log(0.5), 0.81 * -math.log(0.1)]
    )
    # Half of the votes each: 0.5 x 0.2^2 x -log 0.8 + 0.5 x 0.8^2 x -log 0.2
    split = focal(p[:1].log(), torch.tensor([[0.5, 0.5]]), 2.0)
    assert float(split) == pytest.approx(0.02 * -math.log(0.8) + 0.32 * -math.log(0.2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("votes", [None, VOTES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gamma_zero_is_cross_entropy_to_the_bit(
    smoothing: float, votes: Tensor | None, dtype: torch.dtype
) -> None:
    weights = (1.0, 3.0, 0.5)
    plain = CrossEntropy(label_smoothing=smoothing, class_weights=weights)
    ours = FocalLoss(gamma=0.0, label_smoothing=smoothing, class_weights=weights)
    logits = LOGITS.to(dtype)
    assert torch.equal(value(ours, batch(votes), logits), value(plain, batch(votes), logits))


def test_a_right_answer_loses_more_of_its_weight_than_a_wrong_one() -> None:
    right = torch.tensor([[3.0, 0.0, 0.0]])
    target, wrong = torch.tensor([[1.0, 0.0, 0.0]]), right.roll(1, 1)
    for answer, kept in ((right, 0.01), (wrong, 0.9)):
        share = focal(answer, target, 2.0) / focal(answer, target, 0.0)
        p = float(answer.softmax(1)[0, 0])
        assert float(share) == pytest.approx((1 - p) ** 2, rel=1e-4)
        assert (float(share) < kept) == (answer is right)


def test_class_weights_are_the_alpha_of_the_paper() -> None:
    per_face = focal(LOGITS, torch.eye(3)[LABELS], 2.0)
    weights = torch.tensor([1.0, 0.5, 3.0, 0.5])  # of labels 0, 2, 1, 2
    found = value(FocalLoss(class_weights=(1.0, 3.0, 0.5)), batch())
    assert float(found) == pytest.approx(float((per_face * weights).mean()))


@pytest.mark.parametrize("votes", [None, VOTES])
def test_the_loss_of_blended_faces_is_the_blend_of_both_losses(votes: Tensor | None) -> None:
    loss, partners = FocalLoss(label_smoothing=0.1), torch.tensor([1, 2, 3, 0])
    given = batch(votes)
    mixed = replace(given, partners=partners, shares=torch.full((4,), 0.7))
    lent = replace(given, labels=LABELS[partners], votes=None if votes is None else votes[partners])
    expected = 0.7 * value(loss, given) + 0.3 * value(loss, lent)
    assert float(value(loss, mixed)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_gradients_agree_with_finite_differences(gamma: float) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = FocalLoss(gamma=gamma, label_smoothing=0.1)
    assert torch.autograd.gradcheck(lambda given: value(loss, batch(VOTES), given), (logits,))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("reach", [30.0, 1e4])
def test_a_certain_answer_has_a_finite_loss_and_gradient(gamma: float, reach: float) -> None:
    logits = torch.tensor([[reach, 0.0, 0.0], [0.0, reach, 0.0]], requires_grad=True)
    total = focal(logits, torch.tensor([[1.0, 0.0, 0.0]] * 2), gamma).sum()
    (gradient,) = torch.autograd.grad(total, logits)
    assert bool(total.isfinite())
    assert bool(gradient.isfinite().all())
    assert float(gradient[0].abs().max()) < 1e-6
    assert float(gradient[1].abs().max()) == pytest.approx(1.0, abs=1e-3)
