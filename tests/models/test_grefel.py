"""GReFEL: what its parts compute, and that none of the known faults of its forerunner is here."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trained
from scipy.special import softmax
from torch import Tensor, nn

from adafer.errors import WordsError
from adafer.losses.grefel import anchor_loss
from adafer.models import build
from adafer.models.grefel import GrefelNet, GrefelOutput
from adafer.models.grefel.anchors import (
    ReliabilityBalancing,
    by_confidence,
    confidence,
    distances_to,
    mixed,
    spread,
)
from adafer.models.grefel.attention import GeometryAttention, in_face, patch_centres
from adafer.settings.model import GrefelSettings, TransferSettings

SMALL: GrefelSettings = trained.SMALL["grefel"]
PLAIN = replace(SMALL, geometry=False, anchor_correction=False, attentive_correction=False)
CLASSES = len(trained.NAMES)


def net(**changes: object) -> GrefelNet:
    found = trained.module("grefel", replace(SMALL, **changes))  # type: ignore[arg-type]
    assert isinstance(found, GrefelNet)
    return found


def points(count: int, side: int = trained.SIDE) -> Tensor:
    return torch.rand(count, 5, 2, generator=torch.Generator().manual_seed(4)) * side


def distributions() -> Tensor:
    """Logs of a one-hot, a uniform and two ordinary distributions, (4, C)."""
    logits = torch.zeros(4, CLASSES)
    logits[0, 1] = 1000
    logits[2:] = torch.randn(2, CLASSES, generator=torch.Generator().manual_seed(0))
    return logits.log_softmax(1)


def test_all_corrections_off_is_the_backbone_to_the_bit() -> None:
    ours = build(PLAIN, CLASSES, trained.SIDE).eval()
    settings = TransferSettings(backbone="test_vit", pretrained=False)
    theirs = build(settings, CLASSES, trained.SIDE)
    theirs.backbone = ours.backbone
    theirs.classifier = ours.classifier
    faces = trained.inputs(5)
    with torch.no_grad():
        assert torch.equal(ours(faces).logits, theirs.eval()(faces).logits)
        assert torch.equal(ours(faces, points(5)).logits, ours(faces).logits)
    assert {name.split(".")[0] for name, _ in ours.named_parameters()} == {"backbone", "classifier"}


def test_each_correction_adds_only_its_own_parameters() -> None:
    def parts(**on: bool) -> set[str]:
        model = net(**{name: False for name in ("geometry", "anchor_correction")}, **on)
        return {".".join(name.split(".")[:2]) for name, _ in model.named_parameters()}

    anchors_alone = parts(attentive_correction=False)
    assert not any(name.startswith(("geometry", "balancing")) for name in anchors_alone)
    assert "balancing.anchors" not in parts(attentive_correction=True)


def test_confidence_is_one_minus_the_normalised_entropy() -> None:
    found = confidence(distributions())
    assert float(found[0]) == 1
    assert float(found[1]) == pytest.approx(0, abs=1e-6)
    given = distributions()[2].exp().double().numpy()
    entropy = -(given * np.log(given)).sum() / math.log(CLASSES)
    assert float(found[2]) == pytest.approx(1 - entropy, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_blend_is_the_weighted_mean_and_never_infinite(share: float) -> None:
    given = distributions()
    one, other = given, given.flip(0)
    one, other = one.requires_grad_(), other.detach().requires_grad_()
    found = mixed(one, other, torch.full((4,), share))
    expected = (1 - share) * one.exp() + share * other.exp()
    assert torch.allclose(found.exp(), expected, atol=2e-6)
    assert torch.allclose(found.exp().sum(1), torch.ones(4), atol=1e-6)
    (-found[:, 0]).sum().backward()
    assert bool(found.isfinite().all())
    assert bool(one.grad.isfinite().all())  # type: ignore[union-attr]


def test_two_distributions_that_know_nothing_count_the_same() -> None:
    uniform = torch.zeros(1, CLASSES).log_softmax(1)
    assert torch.allclose(by_confidence(uniform, uniform), uniform)
    sure = torch.tensor([[50.0, 0, 0, 0, 0]]).log_softmax(1)
    assert float(by_confidence(sure, uniform)[0].exp()[0]) == pytest.approx(1, abs=1e-5)


def by_hand(
    logits: np.ndarray, embedding: np.ndarray, anchors: np.ndarray, delta: float, trust: float
) -> np.ndarray:
    """Formulas of the forerunner's code, anchors only, in numpy: (B, C) probabilities."""
    p = softmax(logits, 1)
    d = np.linalg.norm(embedding[:, None, None] - anchors, axis=3)
    s = softmax((-d / delta).reshape(len(p), -1), 1).reshape(d.shape)
    t = s.sum(2)
    c = 1 + (p * np.log(p)).sum(1, keepdims=True) / np.log(p.shape[1])
    r = c * p + (1 - c) * t
    return (1 - trust) * p + trust * r


@pytest.mark.parametrize("trust", [0.0, 0.4, 1.0])
def test_the_corrected_answer_is_that_of_the_formulas(trust: float) -> None:
    settings = replace(SMALL, attentive_correction=False)
    torch.manual_seed(2)
    part = ReliabilityBalancing(6, CLASSES, settings)
    features, logits = torch.randn(7, 6), torch.randn(7, CLASSES)
    found = part(features, torch.zeros(7, 1, 6), logits, torch.tensor(trust))
    assert found.anchors is not None
    expected = by_hand(
        logits.numpy().astype(float),
        found.embedding.detach().numpy().astype(float),
        found.anchors.detach().numpy().astype(float),
        settings.anchor_temperature,
        trust,
    )
    assert found.answer.exp().detach().numpy() == pytest.approx(expected, abs=3e-6)


def test_the_confidence_blend_weights_both_by_their_confidence() -> None:
    part = ReliabilityBalancing(6, CLASSES, replace(SMALL, blend="confidence"))
    given = (torch.randn(7, 6), torch.randn(7, 3, 6), torch.randn(7, CLASSES), torch.tensor(0.0))
    found = part(*given)
    c, d = confidence(found.primary), confidence(found.correction)
    p, t = found.primary.exp(), found.correction.exp()
    expected = (c[:, None] * p + d[:, None] * t) / (c + d)[:, None]
    assert torch.allclose(found.answer.exp(), expected, atol=1e-4)


@pytest.mark.parametrize("blend", ["trust", "confidence"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_hot_and_uniform_answers_stay_finite_and_sum_to_one(
    blend: str, dtype: torch.dtype
) -> None:
    settings = replace(SMALL, blend=blend)  # type: ignore[arg-type]
    part = ReliabilityBalancing(6, CLASSES, settings).to(dtype)
    logits = torch.stack([torch.zeros(CLASSES), torch.eye(CLASSES)[0] * 3e4]).to(dtype)
    features = torch.zeros(2, 6, dtype=dtype).requires_grad_()
    tokens = torch.zeros(2, 3, 6, dtype=dtype)
    found = part(features, tokens, logits.requires_grad_(), torch.ones(()))
    assert bool(found.answer.isfinite().all())
    assert torch.allclose(found.answer.exp().sum(1), torch.ones(2), atol=1e-5)
    (-found.answer[:, 1].sum()).backward()  # the sure answer is wrong
    for tensor in (logits, features, *part.parameters()):
        assert tensor.grad is not None
        assert bool(tensor.grad.isfinite().all())


def test_anchors_start_apart_and_learn_from_the_first_step() -> None:
    model = net()
    assert model.balancing is not None
    anchors = model.balancing.anchors
    assert anchors is not None
    flat = anchors.detach().flatten(0, 1)
    apart = torch.cdist(flat, flat)[~torch.eye(len(flat), dtype=torch.bool)]
    assert float(apart.min()) == pytest.approx(math.sqrt(2), abs=1e-3)  # at right angles
    anchor_loss(model(trained.inputs(3)).anchors).backward()
    assert anchors.grad is not None
    assert float(anchors.grad.abs().max()) > 0


def test_more_anchors_than_dimensions_still_differ() -> None:
    flat = spread(40, 8)
    assert torch.allclose(flat.norm(dim=1), torch.ones(40))
    assert float(torch.pdist(flat).min()) > 0.1


def test_distances_on_the_sphere_have_a_gradient_at_nought() -> None:
    anchors = spread(4, 8).reshape(2, 2, 8)
    embedding = anchors[0, :1].clone().requires_grad_()
    found = distances_to(embedding, anchors)
    assert float(found[0, 0, 0].detach()) == pytest.approx(0, abs=1e-5)
    found.sum().backward()
    assert bool(embedding.grad.isfinite().all())  # type: ignore[union-attr]


def test_nothing_passes_between_the_faces_of_a_batch_with_landmarks() -> None:
    model, faces, landmarks = net().double(), trained.inputs(6).double(), points(6).double()
    landmarks[2] = torch.nan
    with torch.no_grad():
        together = model(faces, landmarks).logits
        for place in range(6):
            alone = model(faces[place : place + 1], landmarks[place : place + 1]).logits
            assert float((alone - together[place]).abs().max()) < 1e-10


def test_a_gradient_of_one_face_reaches_no_other() -> None:
    model, faces = net(), trained.inputs(4).requires_grad_()
    model(faces, points(4)).logits[1].sum().backward()
    assert faces.grad is not None
    moved = faces.grad.flatten(1).abs().amax(1) > 0
    assert moved.tolist() == [False, True, False, False]


def test_landmarks_change_the_answer_and_unknown_ones_are_the_layout() -> None:
    model, faces = net(), trained.inputs(3)
    nowhere = torch.full((3, 5, 2), torch.nan)
    with torch.no_grad():
        plain = model(faces).logits
        assert torch.equal(model(faces, nowhere).logits, plain)
        assert float((model(faces, points(3)).logits - plain).abs().max()) > 1e-4
        one_less = points(3)
        one_less[:, 0] = torch.nan
        assert float((model(faces, one_less).logits - plain).abs().max()) > 1e-4


def test_places_run_from_edge_to_edge() -> None:
    corners = torch.tensor([[[-0.5, -0.5], [47.5, 23.5], [23.5, 11.5]]])
    assert in_face(corners, 24, 48).tolist() == [[[-1, -1], [1, 1], [0, 0]]]
    assert patch_centres(1, 2).tolist() == [[-0.5, 0], [0.5, 0]]


def test_a_landmark_on_a_patch_is_told_so_by_the_bias() -> None:
    """The bias depends on where landmark and patch are to each other, not on where both are."""
    torch.manual_seed(0)
    part = GeometryAttention(8, 2, 2, (4, 4))
    places = torch.tensor([[[-0.25, -0.25], [0.25, 0.25]]])
    bias = part._bias(places)[0]  # (H, P, N + P)
    assert torch.allclose(bias[:, 0, 5], bias[:, 1, 10], atol=1e-6)  # each on its own patch
    assert torch.allclose(bias[:, 0, 6], bias[:, 1, 11], atol=1e-6)  # one to the right
    assert not torch.allclose(bias[:, 0, 5], bias[:, 0, 10], atol=1e-3)


def test_where_a_point_is_can_be_learned_by_geometry_and_by_nothing_else() -> None:
    """Label: is the left mouth corner in the lower half? The pictures are all alike."""
    landmarks = torch.rand(320, 5, 2, generator=torch.Generator().manual_seed(3)) * 31
    labels = (landmarks[:, 3, 1] > 15.5).long()
    faces = torch.zeros(320, 3, 32, 32)

    def learned(geometry: bool) -> float:
        torch.manual_seed(0)
        settings = replace(SMALL, backbone_depth=1, patch_size=16, geometry=geometry)
        model, order = build(settings, 2, 32), torch.Generator().manual_seed(0)
        optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
        for _ in range(60):
            some = torch.randperm(256, generator=order)[:64]
            optimiser.zero_grad()
            logits = model(faces[some], landmarks[some]).logits
            nn.functional.cross_entropy(logits, labels[some]).backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            told = model(faces[256:], landmarks[256:]).logits.argmax(1)
        return float((told == labels[256:]).float().mean())

    assert learned(geometry=True) > 0.9
    assert learned(geometry=False) < 0.7


def test_trust_follows_the_training_and_stays_with_the_weights() -> None:
    model, faces = net(), trained.inputs(4)
    with torch.no_grad():
        model.progress.fill_(0.0)
        begun: GrefelOutput = model(faces)
        model.progress.fill_(1.0)
        done: GrefelOutput = model(faces)
    assert torch.allclose(begun.logits.exp(), begun.primary.exp(), atol=1e-5)
    assert float((done.logits - done.primary).abs().max()) > 1e-3
    assert "progress" in model.state_dict()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": "test_resnet"}, "no patch tokens"),
        ({"geometry_heads": 3}, "--geometry-heads must divide"),
        ({"stem": "conv", "patch_size": 6}, "2, 4, 8"),
        ({"patch_size": 7}, "no multiple|patches of 7"),
    ],
)
def test_a_backbone_that_does_not_fit_is_one_sentence(
    changes: dict[str, object], sentence: str
) -> None:
    if changes.get("backbone") == "test_resnet":
        changes = {**changes, "patch_size": 0}
    with pytest.raises(WordsError, match=sentence):
        build(replace(SMALL, **changes), CLASSES, trained.SIDE)  # type: ignore[arg-type]
