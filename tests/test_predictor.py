"""Answers for pictures: one pixel path, independent of the batch, from weights or without torch."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import trained
from onnx import TensorProto, helper
from PIL import Image

from adafer import image
from adafer.bundle import load_bundle
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.export.onnx import export_onnx
from adafer.predictor import Prediction, Predictor, load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained.run_folder(tmp_path_factory.mktemp("runs") / "first")
    export_onnx(folder)
    return folder


@pytest.fixture(params=["weights", "onnx"])
def predictor(run: Path, request: pytest.FixtureRequest) -> Predictor:
    return load(run if request.param == "weights" else run / "export" / "model.onnx")


def write(folder: Path, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for path, picture in zip(paths, trained.pictures(count), strict=True):
        Image.fromarray(picture).save(path)
    return paths


def close(ours: Prediction, theirs: Prediction) -> bool:
    apart = [abs(p - theirs.probabilities[name]) for name, p in ours.probabilities.items()]
    return ours.label == theirs.label and ours.steps == theirs.steps and max(apart) <= 1e-6


# The answer ---------------------------------------------------------------------------------------


def test_an_answer_is_the_softmax_of_the_models_logits(run: Path) -> None:
    bundle, picture = load_bundle(run), trained.pictures(1)[0]
    (answer,) = load(run).predict(picture)
    faces = bundle.preprocessing.normalised(bundle.preprocessing.resized(picture)[None])
    output = bundle.model(torch.from_numpy(faces))
    exponentials = [math.exp(logit) for logit in output.logits[0].tolist()]
    expected = [value / sum(exponentials) for value in exponentials]
    assert list(answer.probabilities) == list(trained.NAMES)
    assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    assert answer.label == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    assert answer.probability == answer.probabilities[answer.label]
    assert answer.steps == int(output.steps[0])
    assert answer.box is None


def test_weights_and_onnx_give_the_same_answers(run: Path) -> None:
    pictures = trained.pictures(20)
    ours, theirs = load(run).predict(pictures), load(run / "export").predict(pictures)
    assert all(map(close, ours, theirs))
    assert len({answer.steps for answer in ours}) > 1


def test_a_picture_alone_gets_the_same_answer_as_in_any_batch(predictor: Predictor) -> None:
    pictures = trained.pictures(7)
    together = predictor.predict(pictures)
    for size in (1, 2, 3):
        assert all(map(close, predictor.predict(pictures, batch_size=size), together))
    alone = [predictor.predict(picture)[0] for picture in pictures]
    assert all(map(close, alone, together))
    assert all(map(close, predictor.predict(pictures[::-1])[::-1], together))


def test_a_path_a_picture_pixels_bytes_and_a_folder_say_the_same(
    predictor: Predictor, tmp_path: Path
) -> None:
    paths = write(tmp_path / "faces")
    from_folder = predictor.predict(tmp_path / "faces")
    assert [answer.source for answer in from_folder] == [str(path) for path in paths]
    ways: list[Any] = [
        [str(path) for path in paths],
        [path.read_bytes() for path in paths],
        [Image.open(path) for path in paths],
        trained.pictures(3),
        iter(paths),
        [tmp_path / "faces"],
    ]
    for way in ways:
        found = predictor.predict(way)
        assert [a.probabilities for a in found] == [a.probabilities for a in from_folder]


def test_grey_pixels_and_the_same_in_three_channels_say_the_same(predictor: Predictor) -> None:
    grey = trained.pictures(1)[0][..., 0]
    one, three = predictor.predict([grey, np.repeat(grey[..., None], 3, 2)])
    assert one.probabilities == three.probabilities
    assert (one.source, three.source) == ("image 0", "image 1")


STORED = {  # EXIF orientation to the turn that hides an upright picture in it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_a_pil_image_is_turned_upright_as_a_file_is(run: Path, orientation: int) -> None:
    predictor, upright = load(run), Image.fromarray(trained.pictures(1)[0])
    turned = upright.transpose(STORED[orientation])
    lying = predictor.predict(turned)[0]
    turned.getexif()[0x0112] = orientation
    marked = predictor.predict(turned)[0]
    assert marked.probabilities == predictor.predict(upright)[0].probabilities
    assert marked.probabilities != lying.probabilities


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK", "I;16"])
def test_every_mode_of_pil_is_answered(predictor: Predictor, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 60)
    else:
        picture = Image.fromarray(trained.pictures(1)[0]).convert(mode)
    (answer,) = predictor.predict(picture)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_fewer_steps_can_be_asked_for_and_are_never_exceeded(run: Path) -> None:
    predictor = load(run)
    assert predictor.max_steps == 4
    pictures = trained.pictures(12)
    for depth in (1, 2, 9):
        found = [answer.steps for answer in predictor.predict(pictures, max_steps=depth)]
        bundle = load_bundle(run)
        bundle.model.max_steps = depth  # type: ignore[assignment]
        faces = np.stack([bundle.preprocessing.resized(picture) for picture in pictures])
        output = bundle.model(torch.from_numpy(bundle.preprocessing.normalised(faces)))
        assert found == output.steps.tolist()
    again = predictor.predict(pictures)  # what was asked for once does not stay
    assert max(answer.steps or 0 for answer in again) == 4


def test_an_onnx_file_answers_at_its_own_depth_only(run: Path) -> None:
    predictor = load(run / "export" / "model.onnx")
    assert predictor.max_steps == 4
    predictor.predict(trained.pictures(1), max_steps=4)
    with pytest.raises(WordsError, match="export another with --steps 2"):
        predictor.predict(trained.pictures(1), max_steps=2)


def test_a_model_without_steps_answers_without_steps(tmp_path: Path) -> None:
    predictor = load(trained.run_folder(tmp_path, "tinyvgg"))
    assert predictor.max_steps is None
    assert predictor.predict(trained.pictures(1))[0].steps is None
    with pytest.raises(WordsError, match="takes no steps"):
        predictor.predict(trained.pictures(1), max_steps=3)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_has_a_finite_answer_of_low_confidence(
    predictor: Predictor, level: int
) -> None:
    (answer,) = predictor.predict(np.full((40, 40, 3), level, np.uint8))
    assert all(math.isfinite(p) for p in answer.probabilities.values())
    assert answer.low_confidence


def test_a_sure_answer_to_a_real_picture_is_not_of_low_confidence(predictor: Predictor) -> None:
    found = predictor.predict(trained.pictures(20))
    assert {answer.low_confidence for answer in found} == {True, False}
    for answer in found:
        assert answer.low_confidence == (answer.probability < 0.5)


def test_the_json_of_an_answer_is_plain_and_complete(predictor: Predictor) -> None:
    (answer,) = predictor.predict(trained.pictures(1))
    back = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert back == {
        "source": "image 0",
        "label": answer.label,
        "probability": answer.probability,
        "probabilities": dict(answer.probabilities),
        "steps": answer.steps,
        "box": None,
        "low_confidence": answer.low_confidence,
    }


def test_nothing_given_is_nothing_answered(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


# Faults -------------------------------------------------------------------------------------------


def test_an_unreadable_picture_fails_with_its_own_name(
    predictor: Predictor, tmp_path: Path
) -> None:
    paths = write(tmp_path)
    paths[1].write_bytes(b"no picture")
    with pytest.raises(image.ImageError, match=r"1\.png"):
        predictor.predict(tmp_path)
    answers, failures = predictor.try_predict(tmp_path, batch_size=2)
    assert [answer.source for answer in answers] == [str(paths[0]), str(paths[2])]
    assert [failure.source for failure in failures] == [str(paths[1])]
    assert "1.png" in str(failures[0].error)
    assert all(map(close, answers, predictor.predict([paths[0], paths[2]])))
    in_order = [result.source for result in predictor.stream(tmp_path)]
    assert in_order == [str(path) for path in paths]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((30, 30, 4), np.uint8),
        np.zeros((30, 30, 3), np.float32),
        np.zeros((2, 30, 30, 3), np.uint8),
        np.zeros((0, 30), np.uint8),
        np.zeros((3, 3), np.uint8),
        np.zeros((8, 1000), np.uint8),
        Image.fromarray(np.zeros((30, 30), np.float32)),
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["RGBA", "float", "stack", "empty", "tiny", "long", "mode F", "no bytes", "cut"],
)
def test_what_is_no_picture_is_refused_by_its_place(predictor: Predictor, picture: Any) -> None:
    with pytest.raises(image.ImageError, match="image 1"):
        predictor.predict([trained.pictures(1)[0], picture])


def test_an_answer_that_is_not_finite_names_the_picture(run: Path) -> None:
    predictor = load(run)
    broken = Predictor(
        path=predictor.path,
        class_names=predictor.class_names,
        preprocessing=predictor.preprocessing,
        max_steps=None,
        answer=lambda faces, _: (np.full((len(faces), 5), np.nan), None),
    )
    with pytest.raises(AdaferError, match="image 0: the answer is not finite"):
        broken.predict(trained.pictures(1))
    assert len(broken.try_predict(trained.pictures(2))[1]) == 2


def test_wrong_words_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(WordsError, match="max_steps must be 1"):
        predictor.predict(trained.pictures(1), max_steps=0)
    with pytest.raises(WordsError, match="batch_size must be 1"):
        predictor.predict(trained.pictures(1), batch_size=0)
    with pytest.raises(DataError, match="no pictures in"):
        predictor.predict(tmp_path)
    with pytest.raises(image.ImageError, match="no such file"):
        predictor.predict(tmp_path / "nobody.png")


def test_a_missing_model_or_device_is_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "model.onnx")
    with pytest.raises(DataError, match="no such file or folder"):
        load(tmp_path / "run")
    with pytest.raises(MachineError, match="use device='cpu'"):
        load(run, device="abacus")
    with pytest.raises(MachineError, match="on the CPU"):
        load(run / "export" / "model.onnx", device="cuda")


# ONNX files that lie ------------------------------------------------------------------------------


def copy_of(run: Path, folder: Path) -> tuple[Path, onnx.ModelProto]:
    path = folder / "model.onnx"
    return path, onnx.load(run / "export" / "model.onnx")


@pytest.mark.parametrize("where", ["initializer", "constant", "branch", "sparse"])
def test_weights_in_other_files_are_refused_before_they_are_read(
    run: Path, tmp_path: Path, where: str
) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    path, model = copy_of(run, tmp_path)
    outside = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[4])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret")
    if where == "initializer":
        model.graph.initializer.append(outside)
    elif where == "constant":
        node = helper.make_node("Constant", [], ["c"])
        node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(outside)
        model.graph.node.append(node)
    elif where == "branch":
        inner = helper.make_graph([], "inner", [], [], initializer=[outside])
        model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner))
    else:
        model.graph.sparse_initializer.add().values.CopyFrom(outside)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="weights from other files"):
        load(path)


@pytest.mark.parametrize("data", [b"", b"no protobuf", b"\x80\x02}q\x00."])
def test_what_is_no_onnx_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(DataError, match="export it"):
        load(path)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("class_names", None, "does not say its classes"),
        ("class_names", '"abcde"', "does not say its classes"),
        ("class_names", '["a", "b"]', "into 2 probabilities"),
        ("preprocessing", "{", "does not say its classes and preprocessing"),
        ("preprocessing", "{}", "preprocessing"),
        ("max_steps", "many", "does not say"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(
    run: Path, tmp_path: Path, key: str, value: str | None, part: str
) -> None:
    path, model = copy_of(run, tmp_path)
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != key}
    helper.set_model_props(model, kept if value is None else kept | {key: value})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=part):
        load(path)


def test_another_face_size_than_the_graphs_is_refused(run: Path, tmp_path: Path) -> None:
    path, model = copy_of(run, tmp_path)
    for entry in model.metadata_props:
        entry.value = entry.value.replace(f'"size": {trained.SIDE}', '"size": 48')
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="does not turn 48x48 images"):
        load(path)


def test_a_file_that_changed_since_it_was_verified_is_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    data = bytearray((run / "export" / "model.onnx").read_bytes())
    (tmp_path / "parity.json").write_text((run / "export" / "parity.json").read_text())
    path.write_bytes(data)
    load(path)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="sha256 differs"):
        load(path)


def test_onnx_is_answered_with_torch_blocked(run: Path, tmp_path: Path) -> None:
    paths = write(tmp_path)
    program = (
        "import sys, json; sys.modules['torch'] = None\n"
        "import adafer\n"
        f"found = adafer.load({str(run / 'export' / 'model.onnx')!r}).predict({str(tmp_path)!r})\n"
        "print(json.dumps([answer.to_json() for answer in found]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [Path(answer["source"]) for answer in answers] == paths
    for answer, expected in zip(answers, load(run).predict(paths), strict=True):
        assert answer["steps"] == expected.steps
        assert answer["probability"] == pytest.approx(expected.probability, abs=1e-6)
