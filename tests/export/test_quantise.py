"""Eight bits: which layers, which kind, and what the graph then holds."""

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import trained
from numpy.typing import NDArray
from torch import nn

from adafer.contracts import Output
from adafer.export.attempts import ladder, translated
from adafer.export.clean import fixed_depth
from adafer.export.quantise import _Reader, fitting_kind, layers_of, prepared, quantised


class Wrapped(nn.Module):
    """A timm net whose answer is a tuple, as the exporter wants it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.net(images)
        logits = found.logits if isinstance(found, Output) else found
        return logits.softmax(1), logits


def graph_of(net: nn.Module, side: int) -> onnx.ModelProto:
    faces = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    names = ("probabilities", "logits")
    program, _ = translated(Wrapped(net).eval(), (faces,), names, ladder()[0])
    return prepared(program.SerializeToString())


@pytest.fixture(scope="module")
def tiny() -> onnx.ModelProto:
    return graph_of(fixed_depth(trained.module("tinyvgg"), None), trained.SIDE)


@pytest.fixture(scope="module")
def transformer() -> onnx.ModelProto:
    torch.manual_seed(0)
    net = timm.create_model(
        "vit_tiny_patch16_224", num_classes=5, img_size=32, patch_size=8, depth=2
    )
    return graph_of(net, 32)


def faces(count: int) -> NDArray[np.float32]:
    return trained.inputs(count).numpy()


def logits(program: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        program.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
    return found


def stored(program: onnx.ModelProto) -> list[NDArray[np.int8]]:
    """The weights that are kept in 8 bits."""
    tensors = program.graph.initializer
    kept = [t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]
    return [onnx.numpy_helper.to_array(tensor) for tensor in kept]


def test_a_convolutional_net_is_static_and_a_transformer_dynamic(
    tiny: onnx.ModelProto, transformer: onnx.ModelProto
) -> None:
    assert [layer.operation for layer in layers_of(tiny)] == ["Conv"] * 4 + ["Gemm"]
    assert fitting_kind(layers_of(tiny)) == "static"
    operations = [layer.operation for layer in layers_of(transformer)]
    assert operations[0] == "Conv"
    assert operations.count("Conv") == 1
    assert fitting_kind(layers_of(transformer)) == "dynamic"


def test_a_convnext_has_convolutions_beyond_its_patches() -> None:
    torch.manual_seed(0)
    net = timm.create_model(
        "convnext_atto", num_classes=5, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), conv_mlp=False
    )
    found = layers_of(graph_of(net, 32))
    assert {layer.operation for layer in found} > {"Conv"}
    assert fitting_kind(found) == "static"


def test_batch_normalisation_is_folded_into_the_convolutions(tiny: onnx.ModelProto) -> None:
    assert "BatchNormalization" not in {node.op_type for node in tiny.graph.node}


@pytest.mark.parametrize("calibration", ["entropy", "percentile", "minmax"])
def test_static_answers_stay_near(tiny: onnx.ModelProto, calibration: str) -> None:
    images = faces(40)
    small = quantised(tiny, images, kind="static", calibration=calibration)  # type: ignore[arg-type]
    before, after = logits(tiny, images), logits(small, images)
    assert np.abs(after - before).max() > 0
    assert np.abs(after - before).max() <= 0.15 * np.abs(before).max()


def test_static_weights_use_seven_bits_and_one_scale_a_channel(tiny: onnx.ModelProto) -> None:
    small = quantised(tiny, faces(16), kind="static")
    weights = stored(small)
    assert len(weights) == 5
    assert max(np.abs(weight.astype(int)).max() for weight in weights) <= 64
    # Every channel reaches its own largest value.
    assert all(
        (np.abs(weight.astype(int)).reshape(len(weight), -1).max(1) >= 63).all()
        for weight in weights
        if weight.ndim == 4
    )
    whole = quantised(tiny, faces(16), kind="static", per_channel=False)
    reached = [
        np.abs(w.astype(int)).reshape(len(w), -1).max(1) for w in stored(whole) if w.ndim == 4
    ]
    assert any((most < 60).any() for most in reached)


def test_a_layer_that_stays_float_keeps_its_weights(tiny: onnx.ModelProto) -> None:
    first, *_, last = layers_of(tiny)
    small = quantised(tiny, faces(16), kind="static", float_layers=(first, last))
    assert len(stored(small)) == 3
    kept = {tensor.name: tensor for tensor in small.graph.initializer}
    original = {tensor.name: tensor for tensor in tiny.graph.initializer}
    for layer in (first, last):
        assert np.array_equal(
            onnx.numpy_helper.to_array(kept[layer.weight]),
            onnx.numpy_helper.to_array(original[layer.weight]),
        )


def test_ranges_do_not_depend_on_how_many_faces_are_in_memory(tiny: onnx.ModelProto) -> None:
    images = faces(24)
    ordered = quantised(tiny, images, kind="static", calibration="minmax")
    turned = quantised(tiny, images[::-1].copy(), kind="static", calibration="minmax")
    assert np.array_equal(logits(ordered, images), logits(turned, images))


def test_attention_products_stay_float_and_weights_shrink(transformer: onnx.ModelProto) -> None:
    products = [node for node in transformer.graph.node if node.op_type == "MatMul"]
    weights = sum(len(layer.nodes) for layer in layers_of(transformer))
    assert len(products) + 2 > weights  # some products have no weight
    small = quantised(transformer, faces(1)[:0], kind="dynamic")
    left = [node for node in small.graph.node if node.op_type == "MatMul"]
    held = {tensor.name for tensor in small.graph.initializer}
    assert left
    assert all(name not in held for node in left for name in node.input)
    assert small.ByteSize() < 0.35 * transformer.ByteSize()
    images = faces(8)
    before, after = logits(transformer, images), logits(small, images)
    assert np.abs(after - before).max() <= 0.1 * np.abs(before).max()


def test_only_used_domains_are_declared(tiny: onnx.ModelProto) -> None:
    small = quantised(tiny, faces(16), kind="static")
    used = {node.domain for node in small.graph.node} | {""}
    assert {entry.domain for entry in small.opset_import} <= used


def test_the_quantiser_prints_nothing(
    tiny: onnx.ModelProto, capfd: pytest.CaptureFixture[str]
) -> None:
    quantised(tiny, faces(16), kind="static")
    said = capfd.readouterr()
    assert said.out == said.err == ""


def test_several_inputs_of_a_graph_stay_together_in_every_batch() -> None:
    images, landmarks = faces(70), np.arange(70 * 10, dtype=np.float32).reshape(70, 5, 2)
    reader = _Reader({"images": images, "landmarks": landmarks})
    batches = list(iter(reader.get_next, None))
    assert len(batches) == len(reader) > 1
    assert all(len(batch["images"]) == len(batch["landmarks"]) for batch in batches)
    assert np.array_equal(np.concatenate([batch["images"] for batch in batches]), images)
    assert np.array_equal(np.concatenate([batch["landmarks"] for batch in batches]), landmarks)
