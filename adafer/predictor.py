"""A trained model asked for answers: from its weights, or from an ONNX file and then without torch.

Legend: B faces in a batch, C classes, S side of a face in pixels.
"""

import copy
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adafer import image
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.image import ImageError, Preprocessing
from adafer.predictions import scaled

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A file or a folder of files, encoded bytes, or pixels (H, W) or (H, W, 3)."""

Answer = tuple[NDArray[np.float64], NDArray[np.int64] | None]
"""Probabilities (B, C), and whole steps (B,) where the model thinks in steps."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""Names that are taken for pictures in a folder."""

FLAT_CONTRAST = 2.0
"""Standard deviation, in grey levels of 255, below which a picture shows nothing."""

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
    answer: Callable[[NDArray[np.float32], int | None], Answer]  # of faces (B, 3, S, S)

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
        waiting: list[tuple[str, NDArray[np.uint8] | ImageError]] = []
        for source, picture in _named(images):
            waiting.append((source, self._face(source, picture)))
            if len(waiting) == batch_size:
                yield from self._answers(waiting, max_steps)
                waiting = []
        yield from self._answers(waiting, max_steps)

    def _face(self, source: str, picture: Picture) -> NDArray[np.uint8] | ImageError:
        try:
            return self.preprocessing.resized(_pixels(source, picture))
        except ImageError as error:
            return error

    def _answers(
        self, waiting: Sequence[tuple[str, NDArray[np.uint8] | ImageError]], max_steps: int | None
    ) -> Iterator[Prediction | Failure]:
        faces = [face for _, face in waiting if not isinstance(face, ImageError)]
        rows: Iterator[tuple[NDArray[np.float64], int | None]] = iter(())
        if faces:
            normalised = self.preprocessing.normalised(np.stack(faces))
            probabilities, steps = self.answer(normalised, max_steps)
            whole = [None] * len(faces) if steps is None else steps.tolist()
            rows = iter(zip(probabilities, whole, strict=True))
        for source, face in waiting:
            if isinstance(face, ImageError):
                yield Failure(source=source, error=face)
            else:
                yield self._prediction(source, face, *next(rows))

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


def load(path: str | Path, *, device: str = "cpu") -> Predictor:
    """Load a model from a run folder, weights, or an ONNX file (which needs no torch).

    `device` is where PyTorch computes; an ONNX file is computed on the CPU.

    Raises:
        DataError: if there is no model, or it is damaged.
        MachineError: if the device is not there.
    """
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
    from adafer.engine.thinking import think

    bundle = load_bundle(path)
    try:
        model = bundle.model.to(device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise MachineError(f"no device {device!r} here ({why}); use device='cpu'") from None
    trained_steps = model.max_steps if isinstance(model, StepModel) else None

    def answer(faces: NDArray[np.float32], max_steps: int | None) -> Answer:
        chosen: Any = model
        if max_steps is not None:
            if trained_steps is None:
                raise WordsError(f"{path} takes no steps; leave max_steps out")
            chosen = copy.copy(model)  # shares the weights, so that threads may differ in depth
            chosen.max_steps = max_steps
        with torch.inference_mode():
            images = torch.from_numpy(faces).to(device)
            output = think(chosen, images) if isinstance(chosen, StepModel) else chosen(images)
        steps = output.steps.cpu().numpy() if isinstance(output, StepOutput) else None
        told = output.logits.double().softmax(1).cpu().numpy()
        return scaled(told, bundle.temperature), steps

    return Predictor(
        path=bundle.path,
        class_names=bundle.class_names,
        preprocessing=bundle.preprocessing,
        max_steps=trained_steps,
        answer=answer,
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
    outputs = {given.name: given.shape[1:] for given in session.get_outputs()}
    side = preprocessing.size
    if inputs != {"images": [3, side, side]} or outputs.get("probabilities") != [len(class_names)]:
        raise DataError(
            f"{path} does not turn {side}x{side} images into {len(class_names)} probabilities; "
            "export it again"
        )
    wanted = ["probabilities", "steps"] if "steps" in outputs else ["probabilities"]

    def answer(faces: NDArray[np.float32], max_steps: int | None) -> Answer:
        if max_steps not in (None, depth):
            raise WordsError(
                f"{path} has a fixed depth of {depth or 'no'} steps; "
                f"export another with --steps {max_steps}, or leave max_steps out"
            )
        found = session.run(wanted, {"images": faces})
        return scaled(found[0], temperature), found[1] if len(found) > 1 else None

    return Predictor(
        path=path,
        class_names=class_names,
        preprocessing=preprocessing,
        max_steps=depth,
        answer=answer,
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


def _named(images: Picture | Iterable[Picture]) -> Iterator[tuple[str, Picture]]:
    """Every picture with a name for messages; a folder gives its pictures in order."""
    if isinstance(images, str | Path):
        path = Path(images)
        if not path.is_dir():
            yield image.printable(str(path)), path
            return
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise DataError(
                f"no pictures in '{path}': expected {', '.join(sorted(SUFFIXES))} files"
            )
        yield from ((image.printable(str(file)), file) for file in found)
    elif isinstance(images, bytes | Image.Image | np.ndarray):
        yield str(getattr(images, "filename", "") or "image"), images
    else:
        for number, picture in enumerate(images):
            for name, one in _named(picture):
                yield (f"image {number}" if name == "image" else name), one


def _pixels(source: str, picture: Picture) -> NDArray[np.uint8]:
    """Upright RGB pixels (H, W, 3), by the one decoder whatever was given; raises ImageError."""
    if isinstance(picture, str | Path):
        return image.read(Path(picture))
    if isinstance(picture, bytes):
        return image.decode(picture, source)
    if isinstance(picture, np.ndarray):
        fits = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
        if picture.dtype != np.uint8 or not fits or 0 in picture.shape:
            raise ImageError(
                f"{source}: an array {picture.dtype} of shape {picture.shape} is no picture; "
                "give uint8 (H, W) or (H, W, 3)"
            )
        picture = Image.fromarray(picture)
    stored = io.BytesIO()
    try:
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):  # those that PNG cannot hold
            picture = picture.convert("RGB")
        picture.save(stored, "PNG", compress_level=0, exif=picture.getexif())
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{source}: cannot be read ({error}); save it as PNG or JPEG") from None
    return image.decode(stored.getvalue(), source)
