"""The 8-bit file: measured on validation faces, refused where it costs too much."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import adafer.export.int8 as making
from adafer import cli, load
from adafer.bundle import Bundle, load_bundle
from adafer.data.dataset import FaceDataset
from adafer.errors import AdaferError, WordsError
from adafer.evaluation import listing_of, measure
from adafer.export.int8 import Int8Settings, export_int8
from adafer.export.measure import measure_onnx
from adafer.export.onnx import export_onnx
from adafer.metrics import score
from adafer.progress import Silence
from adafer.recipe import Recipe

QUICK = Int8Settings(calibration_faces=24)


def stripes(folder: Path) -> None:
    """Noisy pictures of four classes: flat, stripes across, stripes down, squares."""
    random = np.random.default_rng(0)
    wave = 60 * np.sign(np.sin(np.arange(24) * np.pi / 3 + 0.1))
    across, down = np.tile(wave, (24, 1)), np.tile(wave[:, None], 24)
    patterns = {"anger": 0 * across, "fear": across, "neutral": down, "sadness": across * down / 60}
    for split, count in (("train", 60), ("val", 15), ("test", 3)):
        for name, pattern in patterns.items():
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                noisy = 128 + pattern + random.normal(0, 25, (24, 24))
                pixels = noisy.clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TinyVGG that tells stripes apart after a few seconds, and its float file."""
    runs = tmp_path_factory.mktemp("runs")
    stripes(runs / "data")
    words = [
        *("train", "tinyvgg", "--data", str(runs / "data"), "--epochs", "4", "--batch-size", "16"),
        *("--lr", "0.01", "--augment", "none", "--workers", "0", "--device", "cpu"),
        *("--img-size", "24", "--quiet", "--seed", "1"),
    ]
    assert cli.run([*words, "--runs", str(runs)]) == 0
    export_onnx(runs / "tinyvgg")
    return runs / "tinyvgg"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Bundle:
    return load_bundle(run)


@pytest.fixture(scope="module")
def validation(bundle: Bundle) -> FaceDataset:
    recipe = Recipe.from_dict(bundle.recipe)
    return FaceDataset(listing_of(recipe, "val", bundle), bundle.preprocessing)


@pytest.fixture
def floating(run: Path, tmp_path: Path) -> Path:
    """A copy of the float file, alone in a folder."""
    path = tmp_path / "model.onnx"
    path.write_bytes((run / "export" / "model.onnx").read_bytes())
    return path


class Listener(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)


def coarse(program: onnx.ModelProto, **_: object) -> onnx.ModelProto:
    """A quantiser that spoils every weight."""
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(program)
    for tensor in spoilt.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim > 1 and values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(-values, tensor.name))
    return spoilt


def test_an_exported_file_measures_as_pytorch_does(
    run: Path, bundle: Bundle, validation: FaceDataset
) -> None:
    ours = measure(bundle.model, validation, Recipe.from_dict(bundle.recipe), torch.device("cpu"))
    theirs = measure_onnx((run / "export" / "model.onnx").read_bytes(), validation)
    assert theirs.ids == ours.ids
    assert np.array_equal(theirs.labels, ours.labels)
    assert np.abs(theirs.probabilities - ours.probabilities).max() <= 1e-5


def test_the_figures_are_those_of_both_files_on_the_validation_faces(
    bundle: Bundle, validation: FaceDataset, floating: Path
) -> None:
    report = export_int8(bundle, floating, QUICK)
    before = measure_onnx(floating.read_bytes(), validation)
    after = measure_onnx(report.path.read_bytes(), validation)
    assert report.faces == len(validation) == 60
    assert report.before.accuracy > 0.9
    assert report.before.accuracy == float((before.predicted == before.labels).mean())
    assert report.after.accuracy == float((after.predicted == after.labels).mean())
    assert report.after.macro_f1 == score(after, bootstrap=0).macro_f1
    assert report.agreement.same_class == float((before.predicted == after.predicted).mean())
    lost_and_won = report.agreement.won - report.agreement.lost
    assert lost_and_won == round((report.after.accuracy - report.before.accuracy) * 60)
    assert report.after.size == report.path.stat().st_size < report.before.size
    assert report.before.accuracy - report.after.accuracy <= 0.02


def test_the_file_is_read_as_any_other_and_says_what_it_is(
    bundle: Bundle, validation: FaceDataset, floating: Path
) -> None:
    report = export_int8(bundle, floating, QUICK)
    assert report.path.name == "model.int8.onnx"
    faces = validation.faces(np.arange(12))
    answers = load(report.path).predict(list(faces))
    table = measure_onnx(report.path.read_bytes(), validation)
    assert [answer.label for answer in answers] == [
        table.class_names[number] for number in table.predicted[:12]
    ]
    told = {entry.key: entry.value for entry in onnx.load(report.path).metadata_props}
    assert json.loads(told["class_names"]) == list(bundle.class_names)
    assert json.loads(told["preprocessing"]) == bundle.preprocessing.to_json()
    assert told["verified"] == "false"
    assert json.loads(told["quantisation"])["accuracy_int8"] == report.after.accuracy
    record = json.loads((floating.parent / "export.json").read_text())["model.int8.onnx"]
    assert record == json.loads(json.dumps(report.to_json()))
    assert record["split"] == "val"
    proof = json.loads((floating.parent / "parity.json").read_text())["model.int8.onnx"]
    assert proof["sha256"] == report.sha256


def test_ranges_come_from_training_faces_only(
    bundle: Bundle, validation: FaceDataset, floating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = making.listing_of

    def listing(recipe: Recipe, split: str, model: Bundle) -> object:
        seen.append(split)
        return real(recipe, split, model)

    monkeypatch.setattr(making, "listing_of", listing)
    export_int8(bundle, floating, QUICK)
    assert sorted(seen) == ["train", "val"]


def test_a_training_face_that_validation_holds_too_gives_no_range(
    bundle: Bundle, floating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, given = making.listing_of, []

    def listing(recipe: Recipe, split: str, model: Bundle) -> object:
        train = real(recipe, "train", model)
        return train if split == "train" else train.take(np.arange(0, len(train), 2), split="val")

    def kept(
        program: onnx.ModelProto, feeds: dict[str, NDArray[np.float32]], **_: object
    ) -> onnx.ModelProto:
        given.append(len(feeds["images"]))
        return program

    monkeypatch.setattr(making, "listing_of", listing)
    monkeypatch.setattr(making, "quantised", kept)
    report = export_int8(bundle, floating, Int8Settings(calibration_faces=240))
    assert given == [report.calibrated_on] == [120]


def test_a_file_that_costs_too_much_is_refused_and_nothing_is_left(
    bundle: Bundle, floating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "quantised", lambda program, faces, **_: coarse(program))
    before = {path.name: path.read_bytes() for path in floating.parent.iterdir()}
    watcher = Listener()
    with pytest.raises(AdaferError, match=r"no 8-bit file was kept: .* try .*--max-drop") as caught:
        export_int8(bundle, floating, QUICK, watcher=watcher)
    told = str(caught.value)
    assert "none of 4 ways loses at most 2.0%" in told
    assert "accuracy of 25.0% instead of 100.0%" in told
    assert "\n" not in told
    assert [sentence.split(":")[0] for sentence in watcher.sentences[1:]] == [
        *("all 5 layers in 8 bits", "first layer float", "last layer float"),
        "first and last layer float",
    ]
    assert {path.name: path.read_bytes() for path in floating.parent.iterdir()} == before


def test_a_sensitive_last_layer_is_left_float(
    bundle: Bundle, floating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = making.quantised

    def sensitive(program: onnx.ModelProto, faces: NDArray[np.float32], **given: object) -> object:
        last = making.layers_of(program)[-1]
        if last in given["float_layers"]:  # type: ignore[operator]
            return real(program, faces, **given)  # type: ignore[arg-type]
        return coarse(program)

    monkeypatch.setattr(making, "quantised", sensitive)
    report = export_int8(bundle, floating, QUICK)
    assert len(report.tries) == 3
    assert report.tries[-1].startswith("last layer float")
    assert report.float_layers == (
        making.layers_of(making.prepared(floating.read_bytes()))[-1].weight,
    )


def test_a_way_that_fails_is_told_and_the_next_is_tried(
    bundle: Bundle, floating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = making.quantised

    def once(program: onnx.ModelProto, faces: NDArray[np.float32], **given: object) -> object:
        if not given["float_layers"]:
            raise RuntimeError("no such operation")
        return real(program, faces, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "quantised", once)
    report = export_int8(bundle, floating, QUICK)
    assert report.tries[0] == "all 5 layers in 8 bits: failed: RuntimeError: no such operation"
    assert len(report.tries) == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"calibration_faces": 0}, "--calibration must be 1"),
        ({"max_drop": -0.1}, "--max-drop is a share"),
        ({"max_drop": float("nan")}, "--max-drop is a share"),
        ({"max_drop": 2.0}, "--max-drop is a share"),
    ],
)
def test_wrong_wishes_are_refused(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(WordsError, match=sentence):
        Int8Settings(**values)  # type: ignore[arg-type]


# ── on the command line ───────────────────────────────────────────────────────────────────────────


def test_the_command_writes_both_files_of_the_latest_run_and_shows_what_8_bits_cost(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--runs", str(run.parent), "--int8", "--calibration", "16"]
    assert cli.run([*words, "--max-drop", "1"]) == 0
    said = capsys.readouterr().out
    assert f"latest run: {run}" in said
    assert "Before and after 8 bits, on 60 validation faces" in said
    for name in ("model.onnx", "model.int8.onnx"):
        onnxruntime.InferenceSession(run / "export" / name, providers=["CPUExecutionProvider"])
    assert {path.name for path in (run / "export").iterdir()} == {
        *("model.onnx", "model.int8.onnx", "parity.json", "export.json", "label_map.json")
    }


def test_without_any_run_the_sentence_says_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", "--runs", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "no run in" in said
    assert "--runs" in said
