"""Sanity checks: they pass for maps that mean something and fail for those that do not."""

import numpy as np
import pytest
import seeing
import torch
from torch import nn

from adafer.explain.maps import explain
from adafer.explain.sanity import _masks, deletion_insertion, randomised_similarity


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return seeing.taught(seeing.Net())


def test_masks_grow_in_the_order_given_from_none_to_all() -> None:
    order = np.array([5, 0, 3, 1, 2, 4])
    masks = _masks(order, (2, 3), 4)
    assert masks.reshape(4, 6).sum(1).tolist() == [0, 2, 4, 6]
    assert masks[1].flatten().nonzero().flatten().tolist() == [0, 5]


def test_the_known_pattern_is_deleted_and_inserted_faster_than_chance(net: nn.Module) -> None:
    images, labels = (part[1::2] for part in seeing.faces(12, seed=7))
    told = np.zeros((6, 32, 32), np.float32)
    told[:, seeing.MOUTH[0], seeing.MOUTH[1]] = 1
    curves = deletion_insertion(net, images, labels, told)
    assert curves.deletion.shape == (6, 20)
    assert curves.area("deletion") < curves.area("random_deletion") - 0.05
    assert curves.area("insertion") > curves.area("random_insertion") + 0.05
    with torch.no_grad():
        whole = net(images).logits.softmax(1).gather(1, labels[:, None])[:, 0].numpy()
    assert np.allclose(curves.deletion[:, 0], whole, atol=1e-6)
    assert np.allclose(curves.insertion[:, -1], whole, atol=1e-6)
    assert np.allclose(curves.insertion[:, 0], curves.deletion[:, -1], atol=1e-6)


def test_a_flat_map_is_no_better_than_chance(net: nn.Module) -> None:
    images, labels = seeing.faces(8, seed=7)
    curves = deletion_insertion(net, images, labels, np.ones((8, 32, 32), np.float32))
    assert curves.area("deletion") == curves.area("random_deletion")


def test_maps_change_when_what_was_learned_is_shuffled(net: nn.Module) -> None:
    images, labels = seeing.faces(8, seed=3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = randomised_similarity("gradcam", net, images, labels)
    assert [line.stage for line in found] == ["classifier", "high", "low"]
    assert abs(found[-1].correlation) < 0.6
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_edge_detector_that_ignores_the_weights_fails_the_check(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adafer.explain import maps

    def edges(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, **_: object) -> object:
        return images[:, 0].diff(dim=1, prepend=images[:, 0, :1]).abs()[None], ""

    monkeypatch.setitem(maps.METHODS, "edges", (edges, False, "edges"))
    images, labels = seeing.faces(4, seed=3)
    found = randomised_similarity("edges", net, images, labels)
    assert [line.correlation for line in found] == pytest.approx([1.0, 1.0, 1.0])
    assert explain("edges", net, images, labels).values.shape == (1, 4, 32, 32)
