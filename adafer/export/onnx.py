"""One ONNX file of fixed depth, kept only if it computes what PyTorch computes.

Legend: B faces in a batch, C classes, T steps, S side of a face in pixels.
"""

import contextlib
import copy
import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from adafer.bundle import Bundle, load_bundle
from adafer.contracts import StepOutput
from adafer.errors import AdaferError, MachineError, WordsError
from adafer.export.metadata import metadata
from adafer.export.parity import BATCHES, Parity, compared, trial_faces
from adafer.models.recursive import RecursiveFER
from adafer.predictor import PARITY

OPSET = 20
"""Has Gelu; from 21 on GroupNormalization is one node, which ONNX Runtime's CPU runs slower."""

FIRST_EXPORTER = (2, 9)
"""First torch whose default exporter this is; 2.7.1 trains and evaluates, but fails to export."""

_PLAIN_OUTPUTS = ("probabilities", "logits")
_STEP_OUTPUTS = (*_PLAIN_OUTPUTS, "steps", "ponder_cost", "step_logits")


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and what was compared; `parity` is None if that was switched off."""

    path: Path
    sha256: str
    size: int  # bytes
    opset: int
    outputs: tuple[str, ...]
    max_steps: int | None
    parity: Parity | None
    remarks: tuple[str, ...]  # warnings of the exporter

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain types."""
        fields = vars(self) | {"path": self.path.name, "outputs": list(self.outputs)}
        parity = None if self.parity is None else vars(self.parity) | {"batches": list(BATCHES)}
        return fields | {"parity": parity, "remarks": list(self.remarks)}

    def __str__(self) -> str:
        depth = "" if self.max_steps is None else f", {self.max_steps} steps"
        lines = [f"{self.path}  {self.size / 1e6:.2f} MB, opset {self.opset}{depth}"]
        if self.parity is None:
            lines.append("not compared with PyTorch")
        else:
            lines.append(
                f"equal to PyTorch on {self.parity.faces} faces: logits within "
                f"{self.parity.logit_difference:.1e}, probabilities within "
                f"{self.parity.probability_difference:.1e}"
            )
            if self.parity.boundary_faces:
                lines.append(
                    f"{self.parity.boundary_faces} faces at the halting threshold, "
                    f"{self.parity.boundary_step_differences} halt a step apart"
                )
        return "\n".join([*lines, *self.remarks])


def export_onnx(
    model: Bundle | str | Path,
    path: Path | None = None,
    *,
    steps: int | None = None,
    verify: bool = True,
) -> ExportReport:
    """Write a bundle or run as one ONNX file of fixed depth, and compare it with PyTorch.

    Input `images` (B, 3, S, S) float32, normalised as the metadata say; outputs `probabilities` and
    `logits` (B, C), and of a model that thinks in steps `steps` (B,) int64, `ponder_cost` (B,) and
    `step_logits` (T, B, C). All T steps are computed; the halting rule still decides which of them
    answer. `steps` gives another T than the training's. `path` is `export/model.onnx` of the run
    by default; `parity.json` beside it tells what was compared.

    Raises:
        WordsError: if `steps` is below 1, or the model takes none.
        MachineError: if this torch is too old to export.
        AdaferError: if the file and PyTorch disagree, or it cannot be written; then none is left.
    """
    _require_exporter(torch.__version__)
    bundle = model if isinstance(model, Bundle) else load_bundle(Path(model))
    path = _default_path(bundle) if path is None else Path(path)
    module = _fixed_depth(bundle.model, steps)
    faces = trial_faces(bundle.preprocessing.size)
    program, remarks = _translated(module, faces[:2])
    depth = module.max_steps if isinstance(module, RecursiveFER) else None
    _describe(program, metadata(bundle, max_steps=depth, verified=verify))
    data = program.SerializeToString()
    parity = compared(module, data, faces) if verify else None
    report = ExportReport(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        opset=OPSET,
        outputs=tuple(output.name for output in program.graph.output),
        max_steps=depth,
        parity=parity,
        remarks=remarks,
    )
    try:
        _write(report, data)
    except OSError as error:
        why = error.strerror or error
        raise AdaferError(f"cannot write {path} ({why}); choose a place with --output") from None
    return report


def _require_exporter(version: str) -> None:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < FIRST_EXPORTER:
        first = ".".join(map(str, FIRST_EXPORTER))
        raise MachineError(
            f"torch {version} cannot export a batch of any size; export with torch {first} or newer"
        )


class _Answers(nn.Module):
    """A model whose answer is a tuple of tensors, as a graph wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of `_STEP_OUTPUTS`."""
        output = self.model(images)
        plain = (output.logits.softmax(1), output.logits)
        if isinstance(output, StepOutput):
            return (*plain, output.steps, output.ponder_cost, output.step_logits)
        return plain


def _default_path(bundle: Bundle) -> Path:
    folder = bundle.path.parent
    run = folder.parent if folder.name == "weights" else folder
    return run / "export" / "model.onnx"


def _fixed_depth(model: nn.Module, steps: int | None) -> nn.Module:
    """Return a copy in evaluation mode whose control flow does not depend on data."""
    module = copy.deepcopy(model).cpu().eval()
    if steps is not None and steps < 1:
        raise WordsError(f"--steps must be 1 or more, not {steps}; leave it out for the model's T")
    if isinstance(module, RecursiveFER):
        module.full_depth = True
        module.max_steps = module.max_steps if steps is None else steps
    elif steps is not None:
        raise WordsError("this model takes no steps; leave --steps out")
    return module


def _translated(module: nn.Module, example: Tensor) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Translate to ONNX; the two example faces differ, so that no inputs can be merged."""
    names = _STEP_OUTPUTS if isinstance(module, RecursiveFER) else _PLAIN_OUTPUTS
    with _quiet_exporter() as caught:
        program = torch.onnx.export(
            _Answers(module).eval(),
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(names),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            verbose=False,
        )
    if program is None:
        raise AdaferError("the exporter gave no graph; report it with the model's recipe")
    remarks = dict.fromkeys(f"exporter: {warning.message}" for warning in caught)
    return program.model_proto, tuple(remarks)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the exporter's progress and its list of absent packages off the console.

    Warnings are handed over, not dropped.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("always")
            yield caught
    finally:
        logger.setLevel(level)


def _describe(program: onnx.ModelProto, entries: dict[str, str]) -> None:
    """Set the metadata; drop the exporter's notes, which hold paths of this machine."""
    for part in (program, program.graph, *program.graph.node, *program.graph.value_info):
        del part.metadata_props[:]
    for item in (*program.graph.input, *program.graph.output, *program.graph.initializer):
        del item.metadata_props[:]
    for node in program.graph.node:
        node.doc_string = ""
    program.producer_name, program.producer_version = "adafer", entries["adafer"]
    for key, value in entries.items():
        program.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(program)


def _write(report: ExportReport, data: bytes) -> None:
    """Write the graph and its record; names appear only on files that are whole."""
    folder = report.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / PARITY
    records: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        found = json.loads(record.read_text(encoding="utf-8"))
        records = found if isinstance(found, dict) else {}
    records[report.path.name] = report.to_json()
    text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
    parts = {report.path: data, record: text.encode()}
    try:
        for path, content in parts.items():
            with _beside(path).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for path in parts:
            os.replace(_beside(path), path)
    except OSError:
        for path in parts:
            _beside(path).unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".part")
