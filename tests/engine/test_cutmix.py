"""CutMix: pixels counted one by one, and that the loss blends by that area."""

from dataclasses import replace

import pytest
import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, TinyModel, cross_entropy

from adafer.contracts import Batch
from adafer.engine.cutmix import CutMix
from adafer.engine.train import State, fit


def numbered(faces: int = 5, height: int = 12, width: int = 9) -> Batch:
    """Faces of which every pixel holds the number of its face."""
    images = torch.arange(faces).float()[:, None, None, None].expand(faces, 3, height, width)
    return Batch(
        images=images.clone(), labels=torch.arange(faces) % 3, ids=tuple(map(str, range(faces)))
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_share_is_the_area_that_was_not_pasted_over(seed: int):
    batch = numbered()
    torch.manual_seed(seed)
    mixed = CutMix(alpha=1.0)(batch)
    assert sorted(mixed.partners.tolist()) == list(range(5))
    for face, partner in enumerate(mixed.partners.tolist()):
        own = mixed.images[face, 0] == face
        assert bool((own | (mixed.images[face, 0] == partner)).all())
        if partner != face:
            counted = int(own.sum()) / own.numel()
            assert float(mixed.shares[face]) == pytest.approx(counted, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_pasted_is_one_box_the_same_in_every_face_and_channel(seed: int):
    torch.manual_seed(seed)
    mixed = CutMix(alpha=1.0)(numbered())
    pasted = mixed.images != torch.arange(5)[:, None, None, None]
    foreign = [face for face, partner in enumerate(mixed.partners.tolist()) if face != partner]
    first = pasted[foreign[0], 0]
    assert bool((pasted[foreign] == first).all())
    rows, columns = first.any(1), first.any(0)
    assert torch.equal(first, rows[:, None] & columns[None])
    for side in (rows, columns):  # without a gap
        places = side.nonzero().flatten()
        assert not len(places) or len(places) == int(places[-1] - places[0]) + 1


def test_areas_follow_the_beta_distribution_less_what_the_rim_cuts_off():
    """Alpha 1: the area is uniform, but the rim cuts off what leaves the face."""
    batch = numbered(2, 64, 64)
    torch.manual_seed(0)
    areas = torch.stack([1 - CutMix(alpha=1.0)(batch).shares[0] for _ in range(3000)])
    # A side of length s around a uniform middle keeps E = s - s^2 / 4; the area is E^2 with s^2
    # uniform, so its mean is the integral of (s - s^2 / 4)^2 over u = s^2: 1/2 - 1/5 + 1/48.
    assert float(areas.mean()) == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.01)
    torch.manual_seed(0)
    tight = torch.stack([1 - CutMix(alpha=1000.0)(batch).shares[0] for _ in range(300)])
    assert float(tight.max()) <= 0.55


def test_the_order_of_the_faces_does_not_matter(monkeypatch: pytest.MonkeyPatch):
    """The same partners in another order of the batch give the same pasted faces."""
    batch, order = numbered(), torch.tensor([3, 0, 4, 1, 2])
    partners = torch.tensor([1, 2, 3, 4, 0])
    back = order.argsort()
    moved = replace(batch, images=batch.images[order], labels=batch.labels[order])

    def mixed(given: Batch, pairs: torch.Tensor) -> Batch:
        monkeypatch.setattr(torch, "randperm", lambda *_, **__: pairs)
        torch.manual_seed(4)
        return CutMix(alpha=1.0)(given)

    ours, theirs = mixed(batch, partners), mixed(moved, back[partners[order]])
    assert torch.equal(ours.images[order], theirs.images)
    assert torch.equal(ours.shares, theirs.shares)
    assert torch.equal(ours.labels[ours.partners][order], theirs.labels[theirs.partners])


def test_labels_votes_and_ids_stay_those_of_the_face_that_was_pasted_onto():
    votes = torch.rand(5, 3)
    mixed = CutMix(alpha=1.0)(replace(numbered(), votes=votes))
    assert torch.equal(mixed.votes, votes)
    assert mixed.labels.tolist() == [0, 1, 2, 0, 1]
    assert mixed.ids == tuple("01234")


def test_a_training_with_cutmix_repeats_and_differs_from_one_without():
    def weights(prepare) -> torch.Tensor:
        state = State.create(TinyModel(), TRAIN, PHASES)
        assert len(list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN, prepare=prepare)))
        return torch.cat([p.detach().flatten() for p in state.model.parameters()])

    first, again, plain = weights(CutMix(alpha=1.0)), weights(CutMix(alpha=1.0)), weights(None)
    assert torch.equal(first, again)
    assert not torch.equal(first, plain)
