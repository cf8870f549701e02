"""Weights and activations of an ONNX graph in 8 bits.

Legend: N faces, S side of a face in pixels.
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

Kind = Literal["static", "dynamic"]
Calibration = Literal["entropy", "percentile", "minmax"]

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operations that hold the weights."""

_PASSING = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool")
"""Between layers; in 8 bits too, they save the way to float and back. Additions stay float: they
cost the recursive model accuracy, and moved the steps of one face in twenty."""

_DYNAMIC_LAYERS = ("Gemm", "MatMul")  # ONNX Runtime's dynamic convolution is slower than float
_METHODS = {
    "entropy": quantization.CalibrationMethod.Entropy,
    "percentile": quantization.CalibrationMethod.Percentile,
    "minmax": quantization.CalibrationMethod.MinMax,
}
_BATCH = 8  # faces whose activations are in memory at once


@dataclass(frozen=True)
class Layer:
    """The nodes that share one weight; a loop that was unrolled has several."""

    weight: str
    operation: str  # Conv, Gemm or MatMul
    nodes: tuple[str, ...]


def layers_of(program: onnx.ModelProto) -> tuple[Layer, ...]:
    """Layers with weights, in the order in which the graph computes them."""
    weights = {tensor.name for tensor in program.graph.initializer}
    found: dict[tuple[str, str], list[str]] = {}
    for node in program.graph.node:
        held = [name for name in node.input[:2] if name in weights]
        if node.op_type in LAYERS and held:
            found.setdefault((held[0], node.op_type), []).append(node.name)
    return tuple(Layer(weight, kind, tuple(nodes)) for (weight, kind), nodes in found.items())


def fitting_kind(layers: tuple[Layer, ...]) -> Kind:
    """Static for a convolutional net; dynamic for one that has no convolution beyond its patches.

    The activations of transformers have outliers, which ranges found beforehand cut off or which
    stretch them; dynamic ranges are found face by face.
    """
    convolutions = [place for place, layer in enumerate(layers) if layer.operation == "Conv"]
    return "dynamic" if convolutions in ([], [0]) and len(layers) > 2 else "static"


def prepared(data: bytes) -> onnx.ModelProto:
    """Return a float graph as quantisation needs it: simplified, every node named."""
    with tempfile.TemporaryDirectory(prefix="adafer-") as folder, _quiet():
        path = Path(folder) / "float.onnx"
        path.write_bytes(data)
        # Symbolic shapes are only needed where shapes depend on values; here the batch alone is
        # open.
        quant_pre_process(str(path), str(path), skip_symbolic_shape=True)
        program = onnx.load(path)
    # Shapes of weights that a quantiser transposes would contradict what is noted here.
    del program.graph.value_info[:]
    for place, node in enumerate(program.graph.node):
        node.name = node.name or f"{node.op_type}_{place}"
    return program


def quantised(
    program: onnx.ModelProto,
    faces: NDArray[np.float32] | Mapping[str, NDArray[np.float32]],
    *,
    kind: Kind,
    calibration: Calibration = "entropy",
    per_channel: bool = True,
    float_layers: tuple[Layer, ...] = (),
) -> onnx.ModelProto:
    """Return a `prepared` graph with 8-bit layers; `faces` (N, 3, S, S) give static ranges.

    A graph with several inputs takes a mapping of its inputs' names to N rows each.

    Static: QDQ, signed 8 bits for activations, ranges by entropy (KL divergence), by the
    99.999th percentile or by the extremes. Dynamic: weights alone, for matrix products; ranges of
    activations are found at each call. Weights use 7 of the 8 bits, because products of 8 bits
    overflow on x86 processors without VNNI, and answers should not depend on the processor.
    """
    left = [name for layer in float_layers for name in layer.nodes]
    held = {name for layer in layers_of(program) for name in layer.nodes}
    # Products of two activations (attention) stay float.
    left += [n.name for n in program.graph.node if n.op_type in LAYERS and n.name not in held]
    with tempfile.TemporaryDirectory(prefix="adafer-") as folder, _quiet():
        path, output = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(program, path)
        shared: dict[str, Any] = {
            "nodes_to_exclude": left,
            "per_channel": per_channel,
            "reduce_range": True,
            "weight_type": quantization.QuantType.QInt8,
        }
        if kind == "static":
            quantization.quantize_static(
                str(path),
                str(output),
                _Reader({"images": faces} if isinstance(faces, np.ndarray) else faces),
                op_types_to_quantize=[*LAYERS, *_PASSING],
                activation_type=quantization.QuantType.QInt8,
                calibrate_method=_METHODS[calibration],
                extra_options={"CalibStridedMinMax": 1},  # one batch at a time, whatever the method
                **shared,
            )
        else:
            quantization.quantize_dynamic(
                str(path), str(output), op_types_to_quantize=list(_DYNAMIC_LAYERS), **shared
            )
        return _tidied(onnx.load(output))


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Faces in batches, as ONNX Runtime asks for them."""

    def __init__(self, feeds: Mapping[str, NDArray[np.float32]]) -> None:
        count = max(1, -(-len(next(iter(feeds.values()))) // _BATCH))
        parts = {name: np.array_split(values, count) for name, values in feeds.items()}
        self.batches = [{name: parts[name][n] for name in parts} for n in range(count)]
        self.set_range(0, count)

    def __len__(self) -> int:
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Choose which batches come next."""
        self.coming = iter(self.batches[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, or None after the last."""
        return next(self.coming, None)


def _tidied(program: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the domains that no node uses; readers need not know them."""
    used = {node.domain for node in program.graph.node}
    kept = [entry for entry in program.opset_import if entry.domain in used or not entry.domain]
    versions = [(entry.domain, entry.version) for entry in kept]
    del program.opset_import[:]
    for domain, version in versions:
        program.opset_import.add(domain=domain, version=version)
    return program


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's progress off the console."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
