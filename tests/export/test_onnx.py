"""The exported file: what it holds, what it says of itself, and what is never left behind."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import trained

import adafer.export.onnx as exporting
from adafer.bundle import load_bundle
from adafer.errors import AdaferError, WordsError
from adafer.export.attempts import ladder
from adafer.export.clean import fixed_depth
from adafer.export.onnx import ExportReport, export_onnx
from adafer.export.parity import BATCHES, compared, trial_faces
from adafer.responsible_use import MEANING, STATEMENT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.run_folder(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def graph(run: Path) -> bytes:
    """The run's model at three steps, as the exporter translates it."""
    module = fixed_depth(load_bundle(run).model, 3)
    faces = trial_faces(trained.SIDE)[:2]
    return exporting._translated(module, (faces,), ladder()[0])[0].SerializeToString()


@pytest.fixture
def translate_to(graph: bytes, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the exporter give that graph at once, changed as a wrong exporter would."""

    def use(change: Callable[[onnx.ModelProto], None] = lambda program: None) -> None:
        def wrong(*_: Any) -> tuple[onnx.ModelProto, tuple[str, ...]]:
            program = onnx.load_model_from_string(graph)
            change(program)
            return program, ()

        monkeypatch.setattr(exporting, "_translated", wrong)
        monkeypatch.setattr(exporting, "ladder", lambda highest: ladder(highest)[:2])

    return use


@pytest.fixture(scope="module")
def report(run: Path) -> ExportReport:
    return export_onnx(run)


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def parts_left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_file_lies_in_the_run_with_its_record(run: Path, report: ExportReport) -> None:
    assert report.path == run / "export" / "model.onnx"
    assert {path.name for path in (run / "export").iterdir()} == {
        *("model.onnx", "parity.json", "export.json", "label_map.json")
    }
    data = report.path.read_bytes()
    proof = json.loads((run / "export" / "parity.json").read_text())["model.onnx"]
    assert proof["sha256"] == report.sha256 == hashlib.sha256(data).hexdigest()
    assert proof["size"] == len(data)
    assert proof["parity"]["faces"] == sum(BATCHES) == 63
    assert proof["parity"]["logit_difference"] <= 1e-4
    record = json.loads((run / "export" / "export.json").read_text())["model.onnx"]
    assert record == json.loads(json.dumps(report.to_json()))
    assert record["attempts"] == [
        {"exporter": "dynamo", "opset": 20, "folding": True, "reason": ""}
    ]


def test_the_class_names_lie_beside_the_file(run: Path, report: ExportReport) -> None:
    found = json.loads((run / "export" / "label_map.json").read_text())
    assert found == {name: number for number, name in enumerate(trained.NAMES)}


def test_every_batch_size_that_is_promised_is_compared() -> None:
    assert {1, 2, 3, 17} <= set(BATCHES)


def test_a_folder_with_the_names_of_another_model_is_refused(
    run: Path, tmp_path: Path, translate_to: Callable[..., None]
) -> None:
    translate_to()
    (tmp_path / "label_map.json").write_text('{"cat": 0, "dog": 1}')
    with pytest.raises(WordsError, match=r"names other classes .* --output"):
        export_onnx(run, tmp_path / "model.onnx", steps=3)
    assert [path.name for path in parts_left(tmp_path)] == ["label_map.json"]


@pytest.mark.parametrize("batch", [1, 2, 17])
def test_any_batch_gets_every_output_that_pytorch_gives(
    run: Path, report: ExportReport, batch: int
) -> None:
    faces = trained.inputs(batch)
    model = load_bundle(run).model
    model.full_depth = True  # type: ignore[assignment]
    with torch.no_grad():
        output = model(faces)
    opened = session(report.path)
    assert [(i.name, i.type, i.shape) for i in opened.get_inputs()] == [
        ("images", "tensor(float)", ["batch", 3, trained.SIDE, trained.SIDE])
    ]
    names = [found.name for found in opened.get_outputs()]
    assert names == ["probabilities", "logits", "steps", "ponder_cost", "step_logits"]
    found = dict(zip(names, opened.run(None, {"images": faces.numpy()}), strict=True))
    assert np.abs(found["logits"] - output.logits.numpy()).max() <= 1e-4
    assert np.abs(found["probabilities"] - output.logits.softmax(1).numpy()).max() <= 1e-5
    assert found["steps"].dtype == np.int64
    assert np.array_equal(found["steps"], output.steps.numpy())
    assert np.abs(found["ponder_cost"] - output.ponder_cost.numpy()).max() <= 1e-4
    assert found["step_logits"].shape == (4, batch, len(trained.NAMES))
    assert np.abs(found["step_logits"] - output.step_logits.numpy()).max() <= 1e-4


def test_the_file_says_what_it_needs_and_is_for(report: ExportReport) -> None:
    model = onnx.load(report.path)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["adafer"] == adafer_version()
    assert json.loads(told["class_names"]) == list(trained.NAMES)
    assert json.loads(told["preprocessing"])["size"] == trained.SIDE
    assert told["model_name"] == "recursive"
    assert told["max_steps"] == "4"
    assert told["verified"] == "true"
    assert told["responsible_use"] == f"{MEANING} {STATEMENT}"
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    onnx.checker.check_model(model, full_check=True)


def adafer_version() -> str:
    from adafer import __version__

    return __version__


def test_the_file_holds_all_weights_and_no_path_of_this_machine(report: ExportReport) -> None:
    model = onnx.load(report.path, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    data = report.path.read_bytes()
    for trace in (b"site-packages", b".py", str(Path.home()).encode() + b"/", b"stack_trace"):
        assert trace not in data


def test_a_full_disk_leaves_nothing(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    translate_to: Callable[..., None],
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    translate_to()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AdaferError, match="No space left"):
        export_onnx(run, tmp_path / "model.onnx", steps=3)
    assert parts_left(tmp_path) == []


def test_another_depth_can_be_exported_and_leaves_the_bundle_as_it_was(
    run: Path, tmp_path: Path
) -> None:
    path, bundle, faces = tmp_path / "deep" / "two.onnx", load_bundle(run), trained.inputs(6)
    before = bundle.model(faces).logits
    report = export_onnx(bundle, path, steps=2)
    assert torch.equal(bundle.model(faces).logits, before)
    assert report.path == path
    assert report.max_steps == 2
    bundle.model.max_steps = 2  # type: ignore[assignment]
    steps, logits = session(path).run(["steps", "step_logits"], {"images": faces.numpy()})
    assert np.array_equal(steps, bundle.model(faces).steps.numpy())
    assert logits.shape[0] == 2


def test_two_exports_in_one_folder_keep_both_records(
    run: Path, tmp_path: Path, translate_to: Callable[..., None]
) -> None:
    for name in ("a.onnx", "b.onnx"):
        translate_to()
        export_onnx(run, tmp_path / name, steps=3)
    assert set(json.loads((tmp_path / "parity.json").read_text())) == {"a.onnx", "b.onnx"}


def test_the_console_stays_clean(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = export_onnx(run, tmp_path / "one.onnx", steps=1)
    told = capfd.readouterr()
    assert told.out == told.err == ""
    assert report.remarks == ()


def test_the_report_reads_well(report: ExportReport) -> None:
    first, second = str(report).splitlines()
    assert first.startswith(str(report.path))
    assert first.endswith("MB, opset 20, 4 steps, dynamo exporter")
    assert "equal to PyTorch on 63 faces" in second


# A file that computes something else is not kept --------------------------------------------------


def initializer(program: onnx.ModelProto, part: str) -> onnx.TensorProto:
    return next(t for t in program.graph.initializer if part in t.name)


def rewrite(tensor: onnx.TensorProto, values: Any) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))


def shift_bias(program: onnx.ModelProto) -> None:
    tensor = initializer(program, "classifier.bias")
    rewrite(tensor, onnx.numpy_helper.to_array(tensor) + np.float32(1e-3))


def shift_threshold(program: onnx.ModelProto) -> None:
    tensor = initializer(program, "halting.linear.bias")
    rewrite(tensor, onnx.numpy_helper.to_array(tensor) + np.float32(0.3))


def forget_the_input(program: onnx.ModelProto) -> None:
    tensor = initializer(program, "stem.0.weight")
    rewrite(tensor, np.zeros(tuple(tensor.dims)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (shift_bias, "does not compute what PyTorch computes"),
        (shift_threshold, "step counts differ"),
        (forget_the_input, "ignores its input"),
    ],
)
def test_a_graph_that_computes_something_else_is_refused_and_removed(
    run: Path, tmp_path: Path, translate_to: Callable[..., None], change: Any, reason: str
) -> None:
    translate_to(change)
    with pytest.raises(AdaferError, match=reason):
        export_onnx(run, tmp_path / "model.onnx", steps=3)
    assert parts_left(tmp_path) == []


def test_a_failed_export_keeps_the_file_before(
    run: Path, tmp_path: Path, translate_to: Callable[..., None]
) -> None:
    path = tmp_path / "model.onnx"
    translate_to()
    export_onnx(run, path, steps=3)
    before = {file: file.read_bytes() for file in parts_left(tmp_path)}
    translate_to(shift_bias)
    with pytest.raises(AdaferError):
        export_onnx(run, path, steps=3)
    assert {file: file.read_bytes() for file in parts_left(tmp_path)} == before


def test_without_verification_the_file_says_so(
    run: Path, tmp_path: Path, translate_to: Callable[..., None]
) -> None:
    translate_to()
    report = export_onnx(run, tmp_path / "model.onnx", steps=3, verify=False)
    assert report.parity is None
    told = {entry.key: entry.value for entry in onnx.load(report.path).metadata_props}
    assert told["verified"] == "false"
    assert json.loads((tmp_path / "parity.json").read_text())["model.onnx"]["parity"] is None
    assert "not compared" in str(report)


def test_the_trial_faces_all_differ_and_hold_faint_ones() -> None:
    faces = trial_faces(24).flatten(1)
    assert float(torch.pdist(faces).min()) > 0.01
    assert int((faces.std(1) < 0.2).sum()) == 15  # of a contrast near 6 grey levels


def test_a_face_at_the_threshold_is_counted_and_may_halt_a_step_apart(
    run: Path, report: ExportReport
) -> None:
    model = load_bundle(run).model
    model.full_depth = True  # type: ignore[assignment]
    faces = trial_faces(trained.SIDE)
    with torch.no_grad():
        sums = model(faces).step_probs[0].double()
    # epsilon so that one face lies exactly at the threshold after its first step
    epsilon = 1 - float(sums[0])
    model.settings = trained.SMALL["recursive"].__class__(  # type: ignore[assignment]
        **vars(model.settings) | {"halt_epsilon": epsilon}
    )
    program, _ = exporting._translated(model, (faces[:2],), ladder()[0])
    parity = compared(model, program.SerializeToString(), (faces,))
    assert parity.boundary_faces >= 1
    assert parity.step_differences == 0


@pytest.mark.parametrize("steps", [0, -1])
def test_a_depth_below_one_is_refused(run: Path, tmp_path: Path, steps: int) -> None:
    with pytest.raises(WordsError, match="--steps must be 1 or more"):
        export_onnx(run, tmp_path / "model.onnx", steps=steps)
    assert parts_left(tmp_path) == []


def test_a_model_without_steps_has_no_depth_to_choose(tmp_path: Path) -> None:
    with pytest.raises(WordsError, match="takes no steps"):
        export_onnx(trained.run_folder(tmp_path, "tinyvgg"), steps=2)


def test_a_place_that_cannot_be_written_is_one_sentence(
    run: Path, tmp_path: Path, translate_to: Callable[..., None]
) -> None:
    translate_to()
    (tmp_path / "file").write_text("")
    with pytest.raises(AdaferError, match=r"cannot write .* --output"):
        export_onnx(run, tmp_path / "file" / "model.onnx", steps=3)
