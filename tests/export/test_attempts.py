"""Which ways of writing a file are tried, in which order, and what is told of those that fail."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import trained
from torch import nn

import adafer.export.onnx as exporting
from adafer.bundle import load_bundle
from adafer.errors import AdaferError, MachineError, WordsError
from adafer.export import attempts
from adafer.export.attempts import Attempt, first_that_works, ladder, short_reason
from adafer.export.onnx import export_onnx, opset_of


def shown(way: Attempt) -> tuple[str, int, bool]:
    return way.exporter, way.opset, way.folding


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.run_folder(tmp_path_factory.mktemp("runs") / "resnet", "transfer")


def failing(*names: str) -> Any:
    """A translator that cannot use these exporters."""
    real = exporting._translated

    def translate(module: nn.Module, example: torch.Tensor, way: Attempt) -> Any:
        if way.exporter in names:
            raise RuntimeError(f"no operation for /home/someone/model.py:3 at {way.opset}")
        return real(module, example, way)

    return translate


def test_the_dynamo_exporter_comes_first_then_17_down_to_11_with_and_without_folding() -> None:
    ways = [shown(way) for way in ladder(20, "2.13.0")]
    assert ways[:4] == [
        ("dynamo", 20, True),
        ("dynamo", 20, False),
        ("dynamo", 18, True),
        ("dynamo", 17, True),
    ]
    assert ways[4:] == [
        ("torchscript", opset, folding)
        for opset in (17, 16, 15, 14, 13, 12, 11)
        for folding in (True, False)
    ]


@pytest.mark.parametrize("opset", [20, 18, 17, 13, 11])
def test_no_way_writes_a_newer_opset_than_was_asked_for(opset: int) -> None:
    assert {way.opset for way in ladder(opset, "2.15.0")} <= set(range(11, opset + 1))


@pytest.mark.parametrize("version", ["2.7.1+cu126", "2.8.0"])
def test_a_torch_before_the_dynamo_exporter_uses_the_old_one_only(version: str) -> None:
    assert {way.exporter for way in ladder(20, version)} == {"torchscript"}


@pytest.mark.parametrize("opset", [10, 21, 0, -1])
def test_an_opset_that_cannot_be_written_is_refused(opset: int) -> None:
    with pytest.raises(WordsError, match="--opset must lie between 11 and 20"):
        ladder(opset)


def test_an_old_opset_is_written_by_the_old_exporter_and_equal_to_pytorch(
    resnet: Path, tmp_path: Path
) -> None:
    report = export_onnx(resnet, tmp_path / "model.onnx", opset=12)
    assert opset_of(onnx.load(report.path)) == report.opset == 12
    assert report.exporter == "torchscript"
    assert report.parity is not None
    assert report.parity.logit_difference <= 1e-4
    assert report.remarks == ()


def test_the_recursive_model_is_written_with_opset_17(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "run")
    report = export_onnx(run, steps=2, opset=17)
    assert (report.opset, report.exporter) == (17, "dynamo")
    onnx.checker.check_model(onnx.load(report.path), full_check=True)


def test_every_failed_attempt_is_told_and_recorded(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_translated", failing("dynamo"))
    told: list[str] = []
    report = export_onnx(resnet, tmp_path / "model.onnx", tell=told.append)
    assert [shown(way) for way in report.attempts] == [shown(way) for way in ladder()[:5]]
    assert report.attempts[0].reason == "RuntimeError: no operation for model.py:3 at 20"
    assert report.attempts[-1].reason == ""
    assert (report.exporter, report.opset) == ("torchscript", 17)
    assert len(told) == 5
    assert told[0].startswith("dynamo exporter, opset 20, constants folded: failed: ")
    assert told[-1] == "torchscript exporter, opset 17, constants folded: kept"


def test_when_nothing_works_one_sentence_says_so_and_nothing_is_left(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_translated", failing("dynamo", "torchscript"))
    with pytest.raises(AdaferError, match=r"none of 18 ways .* no file was kept") as caught:
        export_onnx(resnet, tmp_path / "export" / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_old_torch_that_fails_is_told_to_be_renewed(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_translated", failing("torchscript"))
    monkeypatch.setattr(torch, "__version__", "2.7.1+cu126")
    with pytest.raises(MachineError, match=r"export with torch 2\.9 or newer"):
        export_onnx(resnet, tmp_path / "model.onnx")


def test_a_model_that_cannot_be_traced_is_not_traced_again() -> None:
    class TorchExportError(RuntimeError):
        """Named as torch names its own."""

    tried: list[Attempt] = []

    def write(way: Attempt) -> tuple[onnx.ModelProto, tuple[str, ...]]:
        tried.append(way)
        raise TorchExportError("data-dependent branch")

    with pytest.raises(AdaferError, match="data-dependent branch"):
        first_that_works(ladder(20, "2.13.0"), write, lambda program: program, lambda told: None)
    assert [way.exporter for way in tried].count("dynamo") == 1


class Branching(nn.Module):
    """Looks at its input to choose what to do; no exporter of a fixed graph can hold that."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = images.flatten(1).sum(1, keepdim=True)
        logits = total.repeat(1, 2) if bool(images.sum() > 0) else -3 * total.repeat(1, 2)
        return logits.softmax(1), logits


def test_flow_that_depends_on_data_is_named_by_the_dynamo_exporter() -> None:
    with pytest.raises(torch.onnx.OnnxExporterError) as caught:
        attempts.translated(
            Branching(), (torch.randn(2, 3, 8, 8),), ("probabilities", "logits"), ladder()[0]
        )
    assert attempts._untraceable(caught.value)


def test_a_graph_that_cannot_be_written_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = load_bundle(trained.run_folder(tmp_path))
    way = Attempt(exporter="torchscript", opset=11, folding=True)
    module = exporting.fixed_depth(bundle.model, 2)
    with pytest.raises(attempts.FAILURES):
        attempts.translated(module, (trained.inputs(2),), ("none",), way)
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert torch.is_autocast_cache_enabled()  # or later trainings differ in bits


def test_a_reason_is_short_and_holds_no_path() -> None:
    reason = short_reason(ValueError("at /usr/lib/python/torch/x.py " + "y" * 500))
    assert reason.startswith("ValueError: at x.py yyy")
    assert len(reason) == 200
