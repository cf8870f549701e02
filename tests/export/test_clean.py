"""The copy that is exported: without hooks and in-place operations, and the original untouched."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import trained
from torch import Tensor, nn

from adafer.bundle import load_bundle
from adafer.contracts import Output
from adafer.errors import AdaferError
from adafer.export.clean import cleaned, hooks_of, refuse_lost_hooks
from adafer.export.onnx import export_onnx


class Wrapped(nn.Module):
    """A timm net that answers as our models do."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = timm.create_model(name, pretrained=False, num_classes=5)

    def forward(self, images: Tensor) -> Output:
        return Output(logits=self.net(images))


class Watcher:
    """Holds an open file, as a tracker does, so that it cannot be copied."""

    def __init__(self, path: Path) -> None:
        self.stream = path.open("w")
        self.calls = 0

    def hook(self, *_: Any) -> None:
        self.calls += 1


@pytest.fixture
def watched(tmp_path: Path) -> Any:
    model = trained.module("tinyvgg")
    watcher = Watcher(tmp_path / "log")
    layer = model.get_submodule("block_1")
    layer.register_forward_hook(watcher.hook)
    layer.register_forward_pre_hook(watcher.hook, with_kwargs=False)
    layer.register_full_backward_hook(watcher.hook)
    layer.register_full_backward_pre_hook(watcher.hook)
    yield model, watcher
    watcher.stream.close()


def test_hooks_of_every_kind_are_dropped_from_the_copy_and_kept_on_the_model(watched: Any) -> None:
    model, watcher = watched
    copied = cleaned(model)
    assert hooks_of(model) == 4
    assert hooks_of(copied) == 0
    copied(trained.inputs(2)).logits.sum().backward()
    assert watcher.calls == 0
    model(trained.inputs(2))
    assert watcher.calls == 2


def test_a_watched_model_is_exported(tmp_path: Path) -> None:
    bundle = load_bundle(trained.run_folder(tmp_path, "tinyvgg"))
    bundle.model.get_submodule("block_1").register_forward_hook(lambda *_: None)
    report = export_onnx(bundle)
    assert report.parity is not None
    assert hooks_of(bundle.model) == 1


def test_in_place_operations_are_off_in_the_copy_only() -> None:
    model = Wrapped("efficientnet_b0").train()
    assert sum(getattr(module, "inplace", False) is True for module in model.modules()) > 10
    before = sum(getattr(module, "inplace", False) is True for module in model.modules())
    copied = cleaned(model)
    assert not any(getattr(module, "inplace", False) is True for module in copied.modules())
    assert sum(getattr(module, "inplace", False) is True for module in model.modules()) == before
    assert model.training
    assert not copied.training


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_the_copy_answers_as_the_model_does(name: str) -> None:
    model = Wrapped(name).eval()
    side = 224 if "vit" in name else 64
    faces = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(cleaned(model)(faces).logits, model(faces).logits, atol=1e-5)


def test_a_hook_that_computes_the_weights_is_not_lost_in_silence() -> None:
    model = trained.module("tinyvgg")
    model.get_submodule("classifier").register_forward_hook(lambda m, given, found: found * 2)
    with pytest.raises(AdaferError, match="depend on its hooks"):
        refuse_lost_hooks(model, (trained.inputs(2),))


def test_a_hook_that_only_looks_on_is_no_loss(watched: Any) -> None:
    model, _ = watched
    model.train()
    refuse_lost_hooks(model, (trained.inputs(2),))
    assert model.training
