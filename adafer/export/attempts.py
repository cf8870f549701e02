"""Ways to write a module as ONNX, tried in turn: which exporter, which opset, constants folded.

Legend: B faces in a batch, S side of a face in pixels.
"""

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import onnx
import onnx.version_converter
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as faults
from torch import Tensor, nn

from adafer.errors import AdaferError, MachineError, WordsError
from adafer.predictor import INPUTS

Exporter = Literal["dynamo", "torchscript"]
Kept = TypeVar("Kept")

OPSET = 20
"""Has Gelu; from 21 on GroupNormalization is one node, which ONNX Runtime's CPU runs slower."""

LOWEST_OPSET = 11
"""Below it there is no CumSum, which halting needs, and no Clip with bounds as inputs."""

_DYNAMO_LOWEST = 18  # what its operations are written in

FALLBACK_OPSET = 17
"""First that the old exporter is asked for; has LayerNormalization."""

FIRST_DYNAMO = (2, 9)
"""First torch whose dynamo exporter is used; 2.7.1 cannot write a batch of any size with it."""

_LONGEST_REASON = 200
_PATH = re.compile(r"/(?:[\w.+-]+/)+([\w.+-]+)")  # of this machine: nobody else's business
FAILURES = (
    AdaferError,
    torch.onnx.OnnxExporterError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    DecodeError,
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.NotImplemented,
    faults.RuntimeException,
    # What exporters raise on an operation that they do not know, and on a module that they do not
    # understand.
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What exporters and ONNX Runtime raise on a model that they cannot take."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way to write a file and what came of it; an empty `reason` says that it was kept."""

    exporter: Exporter
    opset: int  # asked for, and what a kept file has
    folding: bool  # constants computed when the file is written
    reason: str = ""

    def __str__(self) -> str:
        constants = "constants folded" if self.folding else "constants not folded"
        result = f"failed: {self.reason}" if self.reason else "kept"
        return f"{self.exporter} exporter, opset {self.opset}, {constants}: {result}"


def ladder(highest: int = OPSET, version: str | None = None) -> tuple[Attempt, ...]:
    """Return the ways to try, best first, for this `version` of torch (the installed one).

    The dynamo exporter comes first. It writes opset 18 and newer; onnx converts that down, which
    works to 17 for most models. The old exporter writes 17 and older.

    Raises:
        WordsError: if the opset is not one that can be written.
    """
    if not LOWEST_OPSET <= highest <= OPSET:
        raise WordsError(f"--opset must lie between {LOWEST_OPSET} and {OPSET}, not {highest}")
    ways: list[Attempt] = []
    if torch_version(version or torch.__version__) >= FIRST_DYNAMO:
        lower = [opset for opset in (18, FALLBACK_OPSET) if opset < highest]
        ways += [Attempt(exporter="dynamo", opset=highest, folding=fold) for fold in (True, False)]
        ways += [Attempt(exporter="dynamo", opset=opset, folding=True) for opset in lower]
    for opset in range(min(highest, FALLBACK_OPSET), LOWEST_OPSET - 1, -1):
        ways += [
            Attempt(exporter="torchscript", opset=opset, folding=fold) for fold in (True, False)
        ]
    return tuple(ways)


def torch_version(version: str) -> tuple[int, int]:
    """Return major and minor of a version such as `2.9.1+cu126`."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def first_that_works(
    ways: tuple[Attempt, ...],
    write: Callable[[Attempt], tuple[onnx.ModelProto, tuple[str, ...]]],
    accept: Callable[[onnx.ModelProto], Kept],
    tell: Callable[[str], None],
) -> tuple[Kept, tuple[str, ...], tuple[Attempt, ...]]:
    """Try ways in turn until one is accepted; return that, the exporter's remarks, the attempts.

    `accept` raises where a graph is not good enough. Every attempt is told, unless the first was
    kept. A model that the dynamo exporter cannot trace is not traced by it again.

    Raises:
        AdaferError: if no way works, with the reason of the first.
    """
    attempts: list[Attempt] = []
    untraceable: set[Exporter] = set()
    for way in ways:
        if way.exporter in untraceable:
            continue
        try:
            program, remarks = write(way)
            kept = accept(program)
        except FAILURES as error:
            attempts.append(replace(way, reason=short_reason(error)))
            tell(str(attempts[-1]))
            if way.exporter == "dynamo" and _untraceable(error):
                untraceable.add(way.exporter)
            continue
        attempts.append(way)
        if len(attempts) > 1:
            tell(str(way))
        return kept, remarks, tuple(attempts)
    told = (
        f"none of {len(attempts)} ways to write this model as ONNX worked, so no file was kept "
        f"(the first: {attempts[0].reason})"
    )
    if attempts[0].exporter == "torchscript" and torch_version(torch.__version__) < FIRST_DYNAMO:
        newer = ".".join(map(str, FIRST_DYNAMO))
        raise MachineError(f"{told}; export with torch {newer} or newer")
    raise AdaferError(f"{told}; ask for another --opset, or report it with the model's recipe")


def translated(
    module: nn.Module, example: tuple[Tensor, ...], names: tuple[str, ...], way: Attempt
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Translate a module whose answer is a tuple of tensors; return the graph and all remarks.

    The example is faces (B, 3, S, S), and landmarks (B, P, 2) for a model that reads them; its
    faces must differ, so that no inputs can be merged.

    Raises:
        AdaferError: if the graph has a newer opset than was asked for.
        RuntimeError: or another of `FAILURES`, if it cannot be written this way.
    """
    write = _by_dynamo if way.exporter == "dynamo" else _by_torchscript
    with _quiet_exporter() as caught:
        program = write(module, example, names, way)
    written = next(
        entry.version for entry in program.opset_import if entry.domain in ("", "ai.onnx")
    )
    if written > way.opset:
        raise AdaferError(f"the exporter could not convert its opset {written} down")
    remarks = dict.fromkeys(f"exporter: {warning.message}" for warning in caught)
    return program, tuple(remarks)


def _by_dynamo(
    module: nn.Module, example: tuple[Tensor, ...], names: tuple[str, ...], way: Attempt
) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1)
    # Two inputs share the one open axis; that is meant.
    warnings.filterwarnings("ignore", message=r".*The axis name: batch will not be used")
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        external_data=False,
        opset_version=max(way.opset, _DYNAMO_LOWEST),
        input_names=list(INPUTS[: len(example)]),
        output_names=list(names),
        dynamic_shapes={name: {0: batch} for name in INPUTS[: len(example)]},
        optimize=way.folding,
        verbose=False,
    )
    if program is None:
        raise AdaferError("the exporter gave no graph")
    graph: onnx.ModelProto = program.model_proto
    return graph if way.opset >= _DYNAMO_LOWEST else _converted_down(graph, way.opset)


def _converted_down(program: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """By onnx itself: the exporter hides the constants from it that say what a mean is taken of."""
    converted: onnx.ModelProto = onnx.version_converter.convert_version(program, opset)
    for node in converted.graph.node:
        kept = [entry for entry in node.attribute if entry.name != "noop_with_empty_axes"]
        if node.op_type.startswith("Reduce") and len(kept) < len(node.attribute):
            # Says what to do without axes. The converter wants axes, and before 18 there is no
            # such word.
            del node.attribute[:]
            node.attribute.extend(kept)
    return converted


def _by_torchscript(
    module: nn.Module, example: tuple[Tensor, ...], names: tuple[str, ...], way: Attempt
) -> onnx.ModelProto:
    """The exporter before dynamo; it records one pass, and parity shows whether that is enough."""
    stream = io.BytesIO()
    per_face = {name: {0: "batch"} for name in INPUTS[: len(example)]} | {
        name: {1 if name == "step_logits" else 0: "batch"} for name in names
    }
    # Parity proves on several batches what the tracer doubts.
    warnings.filterwarnings("ignore", message=".*might cause the trace to be incorrect")
    # A graph that it cannot translate is printed from C++.
    with _silent_process(), _autocast_cache_as_found():
        torch.onnx.export(
            module,
            example,
            stream,  # type: ignore[arg-type]  # the old exporter writes into streams too
            dynamo=False,
            opset_version=way.opset,
            input_names=list(INPUTS[: len(example)]),
            output_names=list(names),
            dynamic_axes=per_face,
            do_constant_folding=way.folding,
            verbose=False,
        )
    graph: onnx.ModelProto = onnx.load_model_from_string(stream.getvalue())
    return graph


@contextlib.contextmanager
def _autocast_cache_as_found() -> Iterator[None]:
    """Put back what the old exporter switches off, and leaves off when it fails.

    Without that cache a training in bfloat16 casts each weight anew, and its sums differ in bits.
    """
    before = torch.is_autocast_cache_enabled()
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the exporter's progress and its list of absent packages off the console.

    Warnings are handed over, not dropped, but for those that advertise another exporter.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            yield caught
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _silent_process() -> Iterator[None]:
    """Send what this process prints, C++ included, nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.devnull, "wb") as nowhere:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in kept:
                os.dup2(nowhere.fileno(), number)
            yield
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def _untraceable(error: BaseException) -> bool:
    return type(error).__name__ == "TorchExportError"


def short_reason(error: BaseException) -> str:
    """Return the first lines of what went wrong, cut where they are long."""
    told = _PATH.sub(r"\1", " ".join(str(error).split("\n\n")[0].split()))
    told = told or type(error).__name__
    text = told if isinstance(error, AdaferError) else f"{type(error).__name__}: {told}"
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
