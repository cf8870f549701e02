"""Distillation against scipy's divergence, its two ends and finite differences."""

from dataclasses import replace

import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor

from adafer.contracts import Batch, Output
from adafer.errors import WordsError
from adafer.losses.classification import CrossEntropy
from adafer.losses.distillation import DistillationLoss, divergence

LABELS = torch.tensor([0, 2, 1, 2])
STUDENT, TEACHER = torch.randn(
    2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
FACES = Batch(images=torch.zeros(4, 3, 1, 1), labels=LABELS, teacher=3 * TEACHER, ids=tuple("abcd"))


def terms(loss: DistillationLoss, given: Batch = FACES) -> dict[str, float]:
    found = loss(Output(logits=STUDENT), given, 0.0)
    return {name: float(term) for name, term in found.items()}


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_scipys(temperature: float) -> None:
    ours = divergence(STUDENT, 3 * TEACHER, temperature)
    student = softmax(STUDENT.numpy() / temperature, axis=1)
    teacher = softmax(3 * TEACHER.numpy() / temperature, axis=1)
    assert ours.tolist() == pytest.approx(entropy(teacher, student, axis=1).tolist())


def test_the_two_terms_by_hand() -> None:
    loss = DistillationLoss(alpha=0.7, temperature=2.0, label_smoothing=0.1)
    plain = CrossEntropy(label_smoothing=0.1)(Output(logits=STUDENT), FACES, 0.0)
    found = terms(loss)
    assert found["classification"] == pytest.approx(0.3 * float(plain["classification"]))
    expected = 0.7 * 4 * float(divergence(STUDENT, 3 * TEACHER, 2.0).mean())
    assert found["distillation"] == pytest.approx(expected)


def test_at_its_ends_it_is_cross_entropy_or_the_teacher_alone() -> None:
    plain = CrossEntropy()(Output(logits=STUDENT), FACES, 0.0)["classification"]
    assert terms(DistillationLoss(alpha=0.0)) == {
        "classification": pytest.approx(float(plain)),
        "distillation": 0.0,
    }
    assert terms(DistillationLoss(alpha=1.0))["classification"] == 0.0


def test_nothing_is_left_to_learn_from_a_teacher_that_says_the_same() -> None:
    same = replace(FACES, teacher=STUDENT + 5)  # logits are only known up to a constant
    assert terms(DistillationLoss(), same)["distillation"] == pytest.approx(0.0, abs=1e-12)


def test_temperature_squared_keeps_the_size_of_the_gradient() -> None:
    """At a high temperature T^2 KL tends to half the squared gap of the centred logits over C."""
    gap = (STUDENT - 3 * TEACHER) - (STUDENT - 3 * TEACHER).mean(1, keepdim=True)
    limit = float((gap**2).sum(1).mean()) / (2 * 3)
    found = terms(DistillationLoss(alpha=1.0, temperature=1e4))["distillation"]
    assert found == pytest.approx(limit, rel=1e-3)


def test_class_weights_multiply_the_labels_term_alone() -> None:
    plain, weighted = (
        terms(DistillationLoss(alpha=0.5, class_weights=weights))
        for weights in ((), (2.0, 2.0, 2.0))
    )
    assert weighted["classification"] == pytest.approx(2 * plain["classification"])
    assert weighted["distillation"] == plain["distillation"]


def test_the_teacher_answers_for_the_blended_face_so_its_term_is_not_blended() -> None:
    mixed = replace(FACES, partners=torch.tensor([1, 0, 3, 2]), shares=torch.full((4,), 0.6))
    loss = DistillationLoss(alpha=0.5)
    assert terms(loss, mixed)["distillation"] == terms(loss)["distillation"]
    assert terms(loss, mixed)["classification"] != terms(loss)["classification"]


def test_a_batch_without_a_teacher_is_refused_with_the_way_out() -> None:
    with pytest.raises(WordsError, match="give --teacher RUN"):
        terms(DistillationLoss(), replace(FACES, teacher=None))


def test_gradients_agree_with_finite_differences() -> None:
    def total(given: Tensor) -> Tensor:
        found = DistillationLoss(alpha=0.6, temperature=3.0)(Output(logits=given), FACES, 0.0)
        return found["classification"] + found["distillation"]

    assert torch.autograd.gradcheck(total, (STUDENT.clone().requires_grad_(),))
