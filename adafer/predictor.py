"""A trained model asked for answers: from its weights, or from an ONNX file and then without torch.

Legend: B faces in a batch, C classes, S side of a face in pixels.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.faces import FaceDetector
from adafer.image import ImageError, Preprocessing
from adafer.pictures import Picture, named, pixels
from adafer.predictions import scaled

Answer = tuple[NDArray[np.float64], NDArray[np.int64] | None]
"""Probabilities (B, C), and whole steps (B,) where the model thinks in steps."""

FLAT_CONTRAST = 2.0
"""Standard deviation, in grey levels of 255, below which a picture shows nothing."""

INPUTS = ("images", "landmarks")
"""Names of what an ONNX file is given; the second only where the model reads landmarks."""

PARITY = "parity.json"
"""What was compared when the ONNX files of its folder were exported, by file name."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Apparent expression of one face."""

    source: str  # path of the file, or the picture's place among those given
    label: str
    probability: float  # of the label
    probabilities: Mapping[str, float]  # of every class, in the model's order
    steps: int | None  # whole steps taken; None for a model without steps
    box: tuple[int, int, int, int] | None = None  # where the face was found; None for a crop
    low_confidence: bool  # label less probable than the rest together, or a picture of one colour

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain types."""
        fields = vars(self) | {"probabilities": dict(self.probabilities)}
        return fields | {"box": None if self.box is None else list(self.box)}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A picture without an answer, and why."""

    source: str
    error: AdaferError


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model with all that turns pictures into named answers; made by `load`.

    Faces are answered one by one: what a face is told does not depend on its batch.
    """

    path: Path
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    max_steps: int | None  # None for a model without steps
    answer: Callable[..., Answer]  # of faces (B, 3, S, S), max_steps, and landmarks (B, P, 2)
    points: int = 0  # landmarks (P) that the model reads of each face
    detector: FaceDetector | None = None  # finds them; without it, a learned layout stands in

    def predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        max_steps: int | None = None,
        batch_size: int = 64,
    ) -> list[Prediction]:
        """Answer for face crops: a file, a folder, a PIL image, pixels, or a list of those.

        Raises:
            AdaferError: for the first picture that has no answer, with its name.
        """
        answers = []
        for result in self.stream(images, max_steps=max_steps, batch_size=batch_size):
            if isinstance(result, Failure):
                raise result.error
            answers.append(result)
        return answers

    def try_predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        max_steps: int | None = None,
        batch_size: int = 64,
    ) -> tuple[list[Prediction], list[Failure]]:
        """Answer where possible: the predictions, and the pictures without one."""
        results = list(self.stream(images, max_steps=max_steps, batch_size=batch_size))
        return (
            [result for result in results if isinstance(result, Prediction)],
            [result for result in results if isinstance(result, Failure)],
        )

    def stream(
        self,
        images: Picture | Iterable[Picture],
        *,
        max_steps: int | None = None,
        batch_size: int = 64,
    ) -> Iterator[Prediction | Failure]:
        """Answer picture by picture, in order, holding one batch in memory."""
        if max_steps is not None and max_steps < 1:
            raise WordsError(f"max_steps must be 1 or more, not {max_steps}; leave it out for all")
        if batch_size < 1:
            raise WordsError(f"batch_size must be 1 or more, not {batch_size}; 64 suits most")
        waiting: list[tuple[str, _Face | ImageError]] = []
        for source, picture in named(images):
            waiting.append((source, self._face(source, picture)))
            if len(waiting) == batch_size:
                yield from self._answers(waiting, max_steps)
                waiting = []
        yield from self._answers(waiting, max_steps)

    def _face(self, source: str, picture: Picture) -> "_Face | ImageError":
        try:
            seen = pixels(source, picture)
            return _Face(self.preprocessing.resized(seen), self._landmarks(seen))
        except ImageError as error:
            return error

    def _landmarks(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Landmarks (P, 2) of the surest face of a picture, in pixels of what the model sees."""
        found = self.detector.find(pixels) if self.detector is not None else []
        if not found:
            return np.full((self.points, 2), np.nan, np.float32)
        height, width = pixels.shape[:2]
        return self.preprocessing.points_in(found[0].points, width, height)

    def _answers(
        self, waiting: "Sequence[tuple[str, _Face | ImageError]]", max_steps: int | None
    ) -> Iterator[Prediction | Failure]:
        faces = [face for _, face in waiting if not isinstance(face, ImageError)]
        rows: Iterator[tuple[NDArray[np.float64], int | None]] = iter(())
        if faces:
            normalised = self.preprocessing.normalised(np.stack([face.pixels for face in faces]))
            landmarks = [np.stack([face.landmarks for face in faces])] if self.points else []
            probabilities, steps = self.answer(normalised, max_steps, *landmarks)
            whole = [None] * len(faces) if steps is None else steps.tolist()
            rows = iter(zip(probabilities, whole, strict=True))
        for source, face in waiting:
            if isinstance(face, ImageError):
                yield Failure(source=source, error=face)
            else:
                yield self._prediction(source, face.pixels, *next(rows))

    def _prediction(
        self,
        source: str,
        face: NDArray[np.uint8],
        probabilities: NDArray[np.float64],
        steps: int | None,
    ) -> Prediction | Failure:
        if not np.isfinite(probabilities).all():
            error = AdaferError(
                f"{source}: the answer is not finite; the model is damaged, replace it"
            )
            return Failure(source=source, error=error)
        leader = int(probabilities.argmax())
        probability = float(probabilities[leader])
        return Prediction(
            source=source,
            label=self.class_names[leader],
            probability=probability,
            probabilities=dict(zip(self.class_names, probabilities.tolist(), strict=True)),
            steps=steps,
            low_confidence=probability < 0.5 or float(face.std(axis=(0, 1)).max()) < FLAT_CONTRAST,
        )


@dataclass(frozen=True)
class _Face:
    """A face as the model sees it."""

    pixels: NDArray[np.uint8]  # (S, S, 3)
    landmarks: NDArray[np.float32]  # (P, 2)


def load(
    path: str | Path,
    *,
    device: str = "cpu",
    face_detector: str | Path | None = None,
    revision: str | None = None,
    sha256: str | None = None,
) -> Predictor:
    """Load a model from a run folder, weights, an ONNX file (which needs no torch), or the hub.

    OWNER/NAME of the Hugging Face hub is what `adafer publish` wrote, where no such path is here;
    `revision` pins its commit, `sha256` its weights.

    `device` is where PyTorch computes; an ONNX file is computed on the CPU. `face_detector` is a
    file of YuNet, which finds the landmarks that some models read; without it a learned layout
    stands for every face's.

    Raises:
        DataError: if there is no model or detector, or one of them is damaged.
        MachineError: if the device is not there, or the hub cannot be reached.
        WordsError: a detector for a model that cannot use it, or a pin for a path.
    """
    if revision or sha256 or not Path(path).exists():
        from adafer.hub_models import local_path

        path = local_path(path, revision=revision, sha256=sha256)
    predictor = _opened(path, device)
    if face_detector is None:
        return predictor
    if predictor.points != FaceDetector.points:
        reads = f"{predictor.points} landmarks" if predictor.points else "no landmarks"
        raise WordsError(
            f"{predictor.path} reads {reads}, the detector finds {FaceDetector.points}; leave it "
            "out"
        )
    return replace(predictor, detector=FaceDetector(face_detector))


def _opened(path: str | Path, device: str) -> Predictor:
    path = Path(path)
    if path.is_dir() and not (path / "weights").is_dir() and (path / "model.onnx").is_file():
        path = path / "model.onnx"
    if path.suffix.lower() == ".onnx":
        return _from_onnx(path, device)
    return _from_weights(path, device)


def _from_weights(path: Path, device: str) -> Predictor:
    import torch

    from adafer.bundle import load_bundle
    from adafer.contracts import StepModel, StepOutput
    from adafer.engine.batches import wants_landmarks
    from adafer.engine.thinking import think

    bundle = load_bundle(path)
    try:
        model = bundle.model.to(device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise MachineError(f"no device {device!r} here ({why}); use device='cpu'") from None
    trained_steps = model.max_steps if isinstance(model, StepModel) else None

    def answer(
        faces: NDArray[np.float32], max_steps: int | None, *landmarks: NDArray[np.float32]
    ) -> Answer:
        chosen: Any = model
        if max_steps is not None:
            if trained_steps is None:
                raise WordsError(f"{path} takes no steps; leave max_steps out")
            chosen = copy.copy(model)  # shares the weights, so that threads may differ in depth
            chosen.max_steps = max_steps
        with torch.inference_mode():
            given = [torch.from_numpy(values).to(device) for values in (faces, *landmarks)]
            output = think(chosen, *given) if isinstance(chosen, StepModel) else chosen(*given)
        steps = output.steps.cpu().numpy() if isinstance(output, StepOutput) else None
        told = output.logits.double().softmax(1).cpu().numpy()
        return scaled(told, bundle.temperature), steps

    return Predictor(
        path=bundle.path,
        class_names=bundle.class_names,
        preprocessing=bundle.preprocessing,
        max_steps=trained_steps,
        answer=answer,
        points=int(getattr(model, "points", 0)) if wants_landmarks(model) else 0,
    )


def _from_onnx(path: Path, device: str) -> Predictor:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    if device != "cpu":
        raise MachineError(f"an ONNX file is computed on the CPU, not on {device!r}; leave it out")
    data = _onnx_bytes(path)
    class_names, preprocessing, depth, temperature = _onnx_metadata(path, data)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (
        faults.Fail,
        faults.InvalidArgument,
        faults.InvalidGraph,
        faults.InvalidProtobuf,
        faults.NotImplemented,
        faults.RuntimeException,
    ) as error:
        raise DataError(f"{path} cannot be run ({type(error).__name__}); export it again") from None
    inputs = {given.name: given.shape[1:] for given in session.get_inputs()}
    points = int(inputs.pop("landmarks", (0, 2))[0])
    outputs = {given.name: given.shape[1:] for given in session.get_outputs()}
    side = preprocessing.size
    if inputs != {"images": [3, side, side]} or outputs.get("probabilities") != [len(class_names)]:
        raise DataError(
            f"{path} does not turn {side}x{side} images into {len(class_names)} probabilities; "
            "export it again"
        )
    wanted = ["probabilities", "steps"] if "steps" in outputs else ["probabilities"]

    def answer(
        faces: NDArray[np.float32], max_steps: int | None, *landmarks: NDArray[np.float32]
    ) -> Answer:
        if max_steps not in (None, depth):
            raise WordsError(
                f"{path} has a fixed depth of {depth or 'no'} steps; "
                f"export another with --steps {max_steps}, or leave max_steps out"
            )
        found = session.run(wanted, dict(zip(INPUTS, (faces, *landmarks), strict=False)))
        return scaled(found[0], temperature), found[1] if len(found) > 1 else None

    return Predictor(
        path=path,
        class_names=class_names,
        preprocessing=preprocessing,
        max_steps=depth,
        answer=answer,
        points=points,
    )


def _onnx_bytes(path: Path) -> bytes:
    """Read an ONNX file; refuse one that is not what was verified when it was exported."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"no model '{path}': no such file; correct the path") from None
    try:
        record = json.loads((path.parent / PARITY).read_text(encoding="utf-8"))[path.name]
        expected = record["sha256"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return data  # exported elsewhere, or moved without the record
    if hashlib.sha256(data).hexdigest() != expected:
        raise DataError(
            f"{path} is not the file that was verified (its sha256 differs from {PARITY}); "
            "export it again"
        )
    return data


def _onnx_metadata(
    path: Path, data: bytes
) -> tuple[tuple[str, ...], Preprocessing, int | None, float]:
    """Class names, preprocessing, depth, temperature; refuses a file that points to others."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise DataError(f"{path} is not an ONNX file, or damaged; export it again") from None
    functions = [node for function in model.functions for node in function.node]
    if any(t.external_data or t.data_location for t in _tensors(model.graph, functions)):
        raise DataError(
            f"{path} takes weights from other files, which is refused; export it as one file"
        )
    told = {entry.key: entry.value for entry in model.metadata_props}
    try:
        names = json.loads(told["class_names"])
        preprocessing = json.loads(told["preprocessing"])
        depth = int(told["max_steps"]) if "max_steps" in told else None
        temperature = float(told.get("temperature", 1))
        if not 0 < temperature < float("inf"):
            raise ValueError
        if not isinstance(names, list) or not isinstance(preprocessing, dict):
            raise ValueError
    except (KeyError, ValueError):
        raise DataError(
            f"{path} does not say its classes and preprocessing; export it with adafer"
        ) from None
    faces = Preprocessing.from_json(preprocessing)
    return tuple(map(str, names)), faces, depth, temperature


def _tensors(graph: Any, more_nodes: Iterable[Any] = ()) -> Iterator[Any]:
    """Every stored tensor of an ONNX graph, those inside of nodes and their graphs included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in [*graph.node, *more_nodes]:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
