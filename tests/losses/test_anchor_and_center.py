"""The terms of GReFEL's loss, by hand."""

import math

import pytest
import torch
import trained

from adafer.contracts import Batch
from adafer.losses.grefel import GrefelLoss, anchor_loss, center_loss


def test_the_anchor_loss_by_hand() -> None:
    """Two classes with two anchors each; squared distances between classes 2, 4, 2, 0."""
    anchors = torch.tensor([[[1.0, 0], [0, 1.0]], [[0, 1.0], [0, -1.0]]])
    # (1,0)-(0,1): 2, (1,0)-(0,-1): 2, (0,1)-(0,1): 0, (0,1)-(0,-1): 4; each pair twice
    mean = (2 * math.exp(-4) + math.exp(0) + math.exp(-8)) / 4
    assert float(anchor_loss(anchors)) == pytest.approx(1 + math.log(mean) / 8, abs=1e-6)


def test_anchors_of_one_class_do_not_push_each_other() -> None:
    one = torch.tensor([[[1.0, 0], [1.0, 0]], [[0, 1.0], [0, 1.0]]])
    assert float(anchor_loss(one)) == pytest.approx(1 - 4 / 8, abs=1e-6)


def test_the_anchor_loss_is_bounded_however_long_it_is_driven() -> None:
    raw = torch.nn.Parameter(torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0)))
    optimiser = torch.optim.Adam([raw], 0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss = anchor_loss(torch.nn.functional.normalize(raw, dim=-1))
        loss.backward()
        optimiser.step()
        assert 0 <= float(loss.detach()) <= 1
    # four classes in space of six dimensions end as a regular simplex: squared distance 8 / 3
    assert float(loss.detach()) == pytest.approx(1 - 8 / 3 / 4, abs=0.01)


def test_anchors_that_coincide_are_driven_apart() -> None:
    raw = torch.nn.Parameter(torch.ones(2, 1, 4) + 1e-3 * torch.eye(4)[:2, None])
    before = float(anchor_loss(torch.nn.functional.normalize(raw, dim=-1)).detach())
    assert before == pytest.approx(1, abs=1e-4)
    optimiser = torch.optim.Adam([raw], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        anchor_loss(torch.nn.functional.normalize(raw, dim=-1)).backward()
        optimiser.step()
    after = float(anchor_loss(torch.nn.functional.normalize(raw, dim=-1)).detach())
    assert after == pytest.approx(0, abs=0.02)  # opposite each other: squared distance 4


def test_the_center_loss_by_hand_and_no_gradient_for_being_unsure() -> None:
    anchors = torch.tensor([[[1.0, 0], [0, 1.0]], [[-1.0, 0], [0, -1.0]]])
    faces = torch.tensor([[1.0, 0], [0.6, 0.8]])
    sure = torch.tensor([0.5, 1.0], requires_grad=True)
    counted = torch.tensor([1.0, 0.25])
    found = center_loss(faces, anchors, torch.tensor([1, 0]), sure, counted)
    # face 0 to class 1: nearest (0,-1), squared 2; face 1 to class 0: (0,1), 0.36 + 0.04
    assert float(found) == pytest.approx((0.5 * 2 + 0.25 * 0.4) / 2, abs=1e-6)
    assert not found.requires_grad


def test_the_terms_their_weights_and_the_warm_up() -> None:
    model = trained.module("grefel").train()
    batch = Batch(images=trained.inputs(4), labels=torch.arange(4), ids=tuple("abcd"))
    output = model(batch.images)
    full = GrefelLoss()(output, batch, 0.25)
    assert set(full) == {"classification", "anchor", "center"}
    half = GrefelLoss(anchor_weight=2, center_weight=3, center_warmup=0.5)(output, batch, 0.25)
    assert float(half["anchor"].detach()) == pytest.approx(float(full["anchor"].detach()))
    assert float(half["center"].detach()) == pytest.approx(1.5 * float(full["center"].detach()))
    assert torch.equal(half["classification"], full["classification"])
