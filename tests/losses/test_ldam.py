"""Losses that know the class counts: margins by hand, the published forms written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adafer.contracts import Batch, Output
from adafer.losses.classification import CrossEntropy
from adafer.losses.ldam import (
    LDAMLoss,
    LogitAdjustedLoss,
    effective_number_weights,
    ldam_margins,
    margin_cross_entropy,
)

LABELS = torch.tensor([0, 2, 1, 2])
LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
VOTES = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]])
COUNTS = (1600, 100, 16)
Loss = LDAMLoss | LogitAdjustedLoss | CrossEntropy


def batch(votes: Tensor | None = None) -> Batch:
    return Batch(images=torch.zeros(4, 3, 1, 1), labels=LABELS, votes=votes, ids=tuple("abcd"))


def value(loss: Loss, given: Batch, logits: Tensor = LOGITS, progress: float = 0.0) -> float:
    return float(loss(Output(logits=logits), given, progress)["classification"])


# LDAM ---------------------------------------------------------------------------------------------


def test_the_margins_by_hand() -> None:
    # 16^(1/4) = 2, 100^(1/4) = 3.1623, 1600^(1/4) = 6.3246; the rarest gets 0.5
    expected = [0.5 * 2 / 1600**0.25, 0.5 * 2 / 100**0.25, 0.5]
    assert ldam_margins(COUNTS, 0.5) == pytest.approx(expected)
    assert ldam_margins((1, 16, 81), 0.6) == pytest.approx([0.6, 0.3, 0.2])


def test_a_class_without_faces_gets_the_largest_margin_and_changes_no_other() -> None:
    assert ldam_margins((1600, 0, 100, 16), 0.5) == pytest.approx(
        [ldam_margins(COUNTS, 0.5)[0], 0.5, *ldam_margins(COUNTS, 0.5)[1:]]
    )
    absent = LDAMLoss(class_counts=(1600, 100, 0), drw=0.5, label_smoothing=0.1)
    assert math.isfinite(value(absent, batch(VOTES), progress=0.9))


def test_the_loss_is_the_published_one_of_cosines() -> None:
    """Cao et al.'s own form: the margin comes off the true class's cosine, all times s."""
    cosines = torch.rand(4, 3, dtype=torch.float64) * 2 - 1
    margins = torch.tensor(ldam_margins(COUNTS, 0.5), dtype=torch.float64)
    lowered = cosines - functional.one_hot(LABELS, 3) * margins[LABELS, None]
    published = functional.cross_entropy(30 * lowered, LABELS)
    assert value(LDAMLoss(class_counts=COUNTS), batch(), 30 * cosines) == pytest.approx(
        float(published)
    )


@pytest.mark.parametrize("votes", [None, VOTES])
def test_without_margins_it_is_cross_entropy(votes: Tensor | None) -> None:
    ours = LDAMLoss(ldam_margin=0.0, class_counts=COUNTS, label_smoothing=0.1)
    plain = CrossEntropy(label_smoothing=0.1)
    assert value(ours, batch(votes)) == pytest.approx(value(plain, batch(votes)), rel=1e-12)


def test_a_distribution_counts_the_loss_of_each_label_by_its_share() -> None:
    loss = LDAMLoss(class_counts=COUNTS)
    margins = loss.margins(LOGITS) * 30
    every_label = torch.stack(
        [margin_cross_entropy(LOGITS, torch.eye(3)[[label] * 4], margins) for label in range(3)], 1
    )
    assert value(loss, batch(VOTES)) == pytest.approx(float((every_label * VOTES).sum(1).mean()))


def test_all_margins_are_equal_where_the_counts_are_not_known_or_equal() -> None:
    unknown, equal = LDAMLoss(), LDAMLoss(class_counts=(50, 50, 50))
    assert unknown.margins(LOGITS).tolist() == equal.margins(LOGITS).tolist() == [0.5] * 3


def test_effective_numbers_by_hand() -> None:
    # beta 0.5: E = (1 - 0.5^n) / 0.5 = 1, 1.5, 1.75 for n = 1, 2, 3; weights 1/E, mean 1 over faces
    raw = np.array([1, 1 / 1.5, 1 / 1.75])
    scale = 6 / float(raw @ [1, 2, 3])
    assert effective_number_weights((1, 2, 3), 0.5) == pytest.approx(raw * scale)
    assert effective_number_weights((5, 7), 0.0) == pytest.approx([1, 1])
    assert effective_number_weights((0, 7), 0.9) == pytest.approx([0, 1])
    # Towards beta 1 the weight is that of one over the count.
    assert effective_number_weights((1, 3), 1 - 1e-9) == pytest.approx([2, 2 / 3], rel=1e-5)


def test_deferred_weights_set_in_at_their_share_of_training_and_never_at_one() -> None:
    loss = LDAMLoss(class_counts=COUNTS, drw=0.8, drw_beta=0.99)
    weights = effective_number_weights(COUNTS, 0.99)
    assert loss.weights_at(0.79, batch()).tolist() == [1.0] * 4
    expected = [weights[label] for label in LABELS.tolist()]
    assert loss.weights_at(0.8, batch()).tolist() == pytest.approx(expected)
    assert replace(loss, drw=1.0).weights_at(1.0, batch()).tolist() == [1.0] * 4
    mixed = replace(batch(), partners=torch.tensor([1, 0, 3, 2]), shares=torch.full((4,), 0.75))
    found = loss.weights_at(0.9, mixed).tolist()
    assert found[0] == pytest.approx(0.75 * weights[0] + 0.25 * weights[2])


def test_class_weights_multiply_the_faces_until_deferred_weights_take_their_place() -> None:
    weighted = LDAMLoss(class_counts=COUNTS, class_weights=(1.0, 3.0, 0.5))
    margins = weighted.margins(LOGITS) * 30
    per_face = margin_cross_entropy(LOGITS, torch.eye(3)[LABELS], margins)
    expected = per_face * torch.tensor([1.0, 0.5, 3.0, 0.5])
    assert value(weighted, batch()) == pytest.approx(float(expected.mean()))


# Logit adjustment ---------------------------------------------------------------------------------

FREQUENCIES = (0.7, 0.2, 0.1)


def test_logit_adjustment_is_the_published_form() -> None:
    """Menon et al., eq. 10: log [1 + sum of (pi_other / pi_y)^tau e^(f_other - f_y)]."""
    tau = 1.5
    losses = []
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        terms = [
            (FREQUENCIES[other] / FREQUENCIES[label]) ** tau * math.exp(row[other] - row[label])
            for other in range(3)
            if other != label
        ]
        losses.append(math.log(1 + sum(terms)))
    loss = LogitAdjustedLoss(tau=tau, class_frequencies=FREQUENCIES)
    assert value(loss, batch()) == pytest.approx(sum(losses) / 4)


def test_even_classes_and_tau_zero_change_nothing() -> None:
    plain = value(CrossEntropy(), batch(VOTES))
    for loss in (
        LogitAdjustedLoss(),
        LogitAdjustedLoss(class_frequencies=(1 / 3,) * 3),
        LogitAdjustedLoss(tau=0.0, class_frequencies=FREQUENCIES),
    ):
        assert value(loss, batch(VOTES)) == pytest.approx(plain, rel=1e-6)


def test_a_learned_constant_is_fair_to_every_class_even_under_class_weights() -> None:
    """Without any evidence the best logits are equal: the frequencies are learned around."""
    counts = torch.tensor([70, 20, 10])
    labels = torch.arange(3).repeat_interleave(counts)
    faces = Batch(images=torch.zeros(100, 3, 1, 1), labels=labels, ids=tuple(map(str, range(100))))
    weights = tuple((counts**-0.5 / (counts**0.5).sum() * 100).tolist())
    for class_weights in ((), weights):
        loss = LogitAdjustedLoss(class_frequencies=FREQUENCIES, class_weights=class_weights)
        constant = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        output = Output(logits=constant.expand(100, 3))
        (gradient,) = torch.autograd.grad(loss(output, faces, 0.0)["classification"], constant)
        assert gradient.tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_class_without_faces_stays_finite() -> None:
    loss = LogitAdjustedLoss(class_frequencies=(0.9, 0.1, 0.0), label_smoothing=0.1)
    assert math.isfinite(value(loss, batch(VOTES)))
    zero = replace(loss, class_weights=(1.0, 1.0, 0.0))
    assert math.isfinite(value(zero, batch(VOTES)))


@pytest.mark.parametrize(
    "loss",
    [
        LDAMLoss(class_counts=COUNTS, label_smoothing=0.1, ldam_scale=4.0),
        LDAMLoss(class_counts=COUNTS, drw=0.0),
        LogitAdjustedLoss(class_frequencies=FREQUENCIES, label_smoothing=0.1),
    ],
)
def test_gradients_agree_with_finite_differences(loss: Loss) -> None:
    def total(given: Tensor) -> Tensor:
        return loss(Output(logits=given), batch(VOTES), 0.5)["classification"]

    assert torch.autograd.gradcheck(total, (LOGITS.clone().requires_grad_(),))
