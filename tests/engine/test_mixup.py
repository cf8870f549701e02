"""MixUp: what is blended, and that the loss blends alike."""

from dataclasses import replace

import pytest
import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, TinyModel, cross_entropy

from adafer.contracts import Batch, Output, StepOutput
from adafer.engine.mixup import MixUp
from adafer.engine.train import State, fit
from adafer.losses.classification import CrossEntropy
from adafer.losses.ponder import DifferentiablePonderLoss


def batch_of(faces: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.rand(faces, 3, 4, 4, generator=generator),
        labels=torch.arange(faces) % 3,
        ids=tuple(f"face {n}" for n in range(faces)),
    )


def test_images_are_blended_with_the_partner_in_the_share_told():
    batch = batch_of()
    torch.manual_seed(1)
    mixed = MixUp(alpha=0.4)(batch)
    for face in range(6):
        share, partner = mixed.shares[face], mixed.partners[face]
        expected = share * batch.images[face] + (1 - share) * batch.images[partner]
        torch.testing.assert_close(mixed.images[face], expected)
    assert torch.equal(mixed.labels, batch.labels)
    assert sorted(mixed.partners.tolist()) == list(range(6))


def test_the_face_itself_keeps_the_larger_part_and_shares_follow_the_folded_beta():
    torch.manual_seed(0)
    shares = torch.stack([MixUp(alpha=1.0)(batch_of(2)).shares[0] for _ in range(2000)])
    assert shares.min() >= 0.5
    # max(u, 1 - u) of a uniform u is uniform on (0.5, 1): mean 0.75, variance 1/48.
    assert float(shares.mean()) == pytest.approx(0.75, abs=0.01)
    assert float(shares.var()) == pytest.approx(1 / 48, rel=0.1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("voted", [True, False])
def test_the_loss_of_blended_faces_is_the_blend_of_both_losses(smoothing: float, voted: bool):
    """Zhang et al. 2018: lambda L(y_i) + (1 - lambda) L(y_j), written out."""
    batch = batch_of()
    if voted:
        batch = replace(batch, votes=torch.rand(6, 3).softmax(1))
    logits = torch.randn(6, 3, dtype=torch.float64)
    loss = CrossEntropy(label_smoothing=smoothing)
    partners, share = torch.tensor([1, 2, 3, 4, 5, 0]), 0.7
    mixed = replace(batch, partners=partners, shares=torch.full((6,), share))
    other = replace(
        batch,
        labels=batch.labels[partners],
        votes=None if batch.votes is None else batch.votes[partners],
    )
    found = loss(Output(logits=logits), mixed, 0.0)["classification"]
    own = loss(Output(logits=logits), batch, 0.0)["classification"]
    lent = loss(Output(logits=logits), other, 0.0)["classification"]
    assert float(found) == pytest.approx(share * float(own) + (1 - share) * float(lent), rel=1e-6)


def test_class_weights_of_faces_and_of_thinking_are_blended():
    batch = replace(
        batch_of(2), labels=torch.tensor([0, 1]), partners=torch.tensor([1, 0]),
        shares=torch.tensor([0.75, 0.75]),
    )  # fmt: skip
    weights = CrossEntropy(class_weights=(1.0, 3.0, 5.0)).face_weights(batch)
    assert weights.tolist() == [1.5, 2.5]
    loss = DifferentiablePonderLoss(
        ponder_lambda=1.0, ponder_warmup=0.0, ponder_class_weights=(1.0, 3.0, 5.0)
    )
    output = StepOutput(
        logits=torch.zeros(2, 3), step_logits=torch.zeros(1, 2, 3), step_probs=torch.ones(1, 2),
        weights=torch.ones(1, 2), remainder=torch.ones(2), ponder_cost=torch.tensor([2.0, 4.0]),
        steps=torch.tensor([1, 1]),
    )  # fmt: skip
    assert float(loss(output, batch, 1.0)["ponder"]) == pytest.approx((1.5 * 2 + 2.5 * 4) / 2)


def test_a_training_with_mixup_repeats_and_differs_from_one_without():
    def weights(prepare) -> torch.Tensor:
        state = State.create(TinyModel(), TRAIN, PHASES)
        records = fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN, prepare=prepare)
        assert len(list(records)) == 3
        return torch.cat([p.detach().flatten() for p in state.model.parameters()])

    first, again, plain = weights(MixUp(alpha=0.4)), weights(MixUp(alpha=0.4)), weights(None)
    assert torch.equal(first, again)
    assert not torch.equal(first, plain)
