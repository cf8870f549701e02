"""One ONNX file of fixed depth, kept only if it computes what PyTorch computes.

Legend: B faces in a batch, C classes, T steps, S side of a face in pixels.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from torch import Tensor, nn

from adafer.bundle import Bundle, load_bundle
from adafer.contracts import StepOutput
from adafer.export.attempts import OPSET, Attempt, first_that_works, ladder, translated
from adafer.export.clean import fixed_depth, refuse_lost_hooks
from adafer.export.files import label_map_for, write_export
from adafer.export.metadata import metadata
from adafer.export.parity import BATCHES, Parity, compared, trial_inputs
from adafer.models.recursive import RecursiveFER

_PLAIN_OUTPUTS = ("probabilities", "logits")
_STEP_OUTPUTS = (*_PLAIN_OUTPUTS, "steps", "ponder_cost", "step_logits")


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and what was compared; `parity` is None if that was switched off."""

    path: Path
    sha256: str
    size: int  # bytes
    opset: int
    exporter: str
    outputs: tuple[str, ...]
    max_steps: int | None
    parity: Parity | None
    remarks: tuple[str, ...]  # warnings of the exporter
    attempts: tuple[Attempt, ...]  # the last was kept

    def proof(self) -> dict[str, Any]:
        """Return what was compared, in plain types."""
        parity = None if self.parity is None else vars(self.parity) | {"batches": list(BATCHES)}
        return {"sha256": self.sha256, "size": self.size, "parity": parity}

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain types."""
        fields = vars(self) | self.proof() | {"path": self.path.name}
        lists = {name: list(fields[name]) for name in ("outputs", "remarks")}
        return fields | lists | {"attempts": [vars(attempt) for attempt in self.attempts]}

    def __str__(self) -> str:
        depth = "" if self.max_steps is None else f", {self.max_steps} steps"
        made = f"opset {self.opset}{depth}, {self.exporter} exporter"
        lines = [f"{self.path}  {self.size / 1e6:.2f} MB, {made}"]
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
    opset: int = OPSET,
    verify: bool = True,
    tell: Callable[[str], None] = lambda sentence: None,
) -> ExportReport:
    """Write a bundle or run as one ONNX file of fixed depth, and compare it with PyTorch.

    Input `images` (B, 3, S, S) float32, normalised as the metadata say, and for a model that reads
    them `landmarks` (B, P, 2) in pixels of the face, NaN where unknown; outputs `probabilities` and
    `logits` (B, C), and of a model that thinks in steps `steps` (B,) int64, `ponder_cost` (B,) and
    `step_logits` (T, B, C). All T steps are computed; the halting rule still decides which of them
    answer. `steps` gives another T than the training's. `path` is `export/model.onnx` of the run
    by default. `opset` is the highest that may be written; where it does not work, others are tried
    in turn, each told to `tell`. Beside the file lie `label_map.json`, `parity.json` (what was
    compared) and `export.json` (what was tried). The model itself is not touched.

    Raises:
        WordsError: if `steps` is below 1, the model takes none, there is no such opset, or the
            folder holds the class names of another model.
        MachineError: if this torch is too old for the model.
        AdaferError: if no file agrees with PyTorch, or it cannot be written; then none is left.
    """
    ways = ladder(opset)
    bundle = model if isinstance(model, Bundle) else load_bundle(Path(model))
    path = _default_path(bundle) if path is None else Path(path)
    label_map_for(path.parent, bundle.class_names)  # before minutes of work
    module = fixed_depth(bundle.model, steps)
    inputs = trial_inputs(module, bundle.preprocessing.size)
    example = tuple(values[:2] for values in inputs)
    refuse_lost_hooks(bundle.model, example)
    depth = module.max_steps if isinstance(module, RecursiveFER) else None
    entries = metadata(bundle, max_steps=depth, verified=verify)

    def accepted(program: onnx.ModelProto) -> tuple[onnx.ModelProto, bytes, Parity | None]:
        _describe(program, entries)
        data = program.SerializeToString()
        return program, data, compared(module, data, inputs) if verify else None

    kept, remarks, attempts = first_that_works(
        ways, lambda way: _translated(module, example, way), accepted, tell
    )
    program, data, parity = kept
    report = ExportReport(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        opset=opset_of(program),
        exporter=attempts[-1].exporter,
        outputs=tuple(output.name for output in program.graph.output),
        max_steps=depth,
        parity=parity,
        remarks=remarks,
        attempts=attempts,
    )
    write_export(path, data, bundle.class_names, report.proof(), report.to_json())
    return report


def opset_of(program: onnx.ModelProto) -> int:
    """Version of the standard operations that a graph uses."""
    return int(next(o.version for o in program.opset_import if o.domain in ("", "ai.onnx")))


class _Answers(nn.Module):
    """A model whose answer is a tuple of tensors, as a graph wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the outputs in the order of `_STEP_OUTPUTS`."""
        output = self.model(images) if landmarks is None else self.model(images, landmarks)
        plain = (output.logits.softmax(1), output.logits)
        if isinstance(output, StepOutput):
            return (*plain, output.steps, output.ponder_cost, output.step_logits)
        return plain


def _default_path(bundle: Bundle) -> Path:
    folder = bundle.path.parent
    run = folder.parent if folder.name == "weights" else folder
    return run / "export" / "model.onnx"


def _translated(
    module: nn.Module, example: tuple[Tensor, ...], way: Attempt
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    names = _STEP_OUTPUTS if isinstance(module, RecursiveFER) else _PLAIN_OUTPUTS
    return translated(_Answers(module).eval(), example, names, way)


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
