"""Does an ONNX graph compute what PyTorch computes? Legend: B faces, C classes, T steps."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adafer.engine.batches import wants_landmarks
from adafer.errors import AdaferError
from adafer.models.recursive import RecursiveFER
from adafer.predictor import INPUTS

BATCHES = (1, 2, 3, 8, 17, 32)
"""Batch sizes on which both are run."""

LARGEST_LOGIT = 10.0
"""Above it the tolerance of logits grows with them: float32 has seven digits."""

_MOVED = 4  # faces on which a change of the input must change the answer

LOGIT_TOLERANCE = 1e-4
PROBABILITY_TOLERANCE = 1e-5
CLEAR_MARGIN = 1e-4
"""Lead in logits above which both must name the same class."""
BOUNDARY = 1e-5
"""Distance of a cumulative score from its threshold within which a face may halt a step apart."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far ONNX Runtime and PyTorch lie apart, over all faces that were compared."""

    faces: int
    batches: tuple[int, ...]
    logit_difference: float  # largest
    largest_logit: float  # of PyTorch, as absolute value
    probability_difference: float  # largest
    class_differences: int  # faces with a clear lead that got another class; 0
    step_differences: int  # faces away from the halting threshold with other steps; 0
    boundary_faces: int  # faces so near to the threshold that they may halt a step apart
    boundary_step_differences: int  # those of them that did


def trial_faces(side: int) -> Tensor:
    """Return inputs (63, 3, S, S): noise, soft pictures and faint ones, all different, seeded.

    None is quite flat: normalisation divides by the contrast of its features, so where there is
    none the answer is rounding, which the two runtimes do differently (up to 5e-5 on logits).
    """
    count = sum(BATCHES)
    random = np.random.default_rng(0)
    noise = random.standard_normal((count, 3, side, side)) * 2
    coarse = random.standard_normal((count, 3, 6, 6)) * 2
    soft = torch.nn.functional.interpolate(
        torch.from_numpy(coarse), size=(side, side), mode="bilinear", align_corners=False
    ).numpy()
    levels = random.uniform(-2, 2, (count, 1, 1, 1))  # black to white with mean 0.5 and std 0.25
    kind = np.arange(count)[:, None, None, None] % 4
    faces = np.select([kind == 0, kind == 3], [noise, levels + noise / 20], soft)
    return torch.from_numpy(faces.astype(np.float32))


def trial_inputs(module: nn.Module, side: int) -> tuple[Tensor, ...]:
    """Return trial faces, and landmarks (63, P, 2) where the model reads some, a few unknown."""
    faces = trial_faces(side)
    if not wants_landmarks(module):
        return (faces,)
    points = cast(int, module.points)
    random = np.random.default_rng(1)
    landmarks = random.uniform(0, side - 1, (len(faces), points, 2)).astype(np.float32)
    landmarks[::5] = np.nan  # faces that no detector found
    landmarks[1::7, 0] = np.nan
    return (faces, torch.from_numpy(landmarks))


def compared(module: nn.Module, data: bytes, inputs: tuple[Tensor, ...]) -> Parity:
    """Run PyTorch and ONNX Runtime on every batch of faces (63, 3, S, S), landmarks beside them.

    Raises:
        AdaferError: where they differ by more than is allowed, or the input changes nothing.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    pairs, boundaries = [], []
    for batch in zip(*(torch.split(values, list(BATCHES)) for values in inputs), strict=True):
        ours, near = _by_torch(module, batch)
        pairs.append((ours, _by_onnx(session, batch)))
        boundaries.append(near)
    for place in range(len(inputs)):
        _refuse_unmoved(module, session, inputs, place)
    parity = _parity(pairs, boundaries)
    _refuse_differences(parity)
    return parity


def _by_torch(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Arrays, NDArray[np.bool_]]:
    """PyTorch's answers, and which faces are so near the threshold that rounding halts them."""
    with torch.no_grad():
        output = module(*inputs)
        found = {"logits": output.logits, "probabilities": output.logits.softmax(1)}
        near = torch.zeros(len(inputs[0]), dtype=torch.bool)
        if isinstance(module, RecursiveFER):
            found |= {"steps": output.steps, "step_logits": output.step_logits}
            found["ponder_cost"] = output.ponder_cost
            shift = BOUNDARY / len(output.step_probs)
            more = module.decide(output.step_probs + shift).steps
            near = more != module.decide(output.step_probs - shift).steps
    return {name: value.numpy() for name, value in found.items()}, near.numpy()


def _by_onnx(session: onnxruntime.InferenceSession, inputs: tuple[Tensor, ...]) -> Arrays:
    given = dict(zip(INPUTS, (values.numpy() for values in inputs), strict=False))
    names = [output.name for output in session.get_outputs()]
    found: list[NDArray[Any]] = session.run(names, given)
    return dict(zip(names, found, strict=True))


def _parity(pairs: list[tuple[Arrays, Arrays]], boundaries: list[NDArray[np.bool_]]) -> Parity:
    logits, probabilities, classes, steps, near_steps = 0.0, 0.0, 0, 0, 0
    largest = 0.0
    for (ours, theirs), near in zip(pairs, boundaries, strict=True):
        apart = near & False
        if "steps" in ours:
            apart = ours["steps"] != theirs["steps"]
            steps += int((apart & ~near).sum())
            near_steps += int((apart & near).sum())
        alike = ~(apart & near)  # a face that halts a step apart answers with another step
        ordered = np.sort(ours["logits"], axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > CLEAR_MARGIN if ordered.shape[1] > 1 else alike
        other = ours["logits"].argmax(1) != theirs["logits"].argmax(1)
        classes += int((other & clear & alike).sum())
        largest = max(largest, float(np.abs(ours["logits"]).max()))
        logits = max(logits, _apart(ours["logits"], theirs["logits"], alike))
        probabilities = max(
            probabilities, _apart(ours["probabilities"], theirs["probabilities"], alike)
        )
        if "step_logits" in ours:
            everywhere = np.ones(len(ours["step_logits"]), bool)
            logits = max(logits, _apart(ours["step_logits"], theirs["step_logits"], everywhere))
            logits = max(logits, _apart(ours["ponder_cost"], theirs["ponder_cost"], alike))
    return Parity(
        faces=sum(BATCHES),
        batches=BATCHES,
        logit_difference=logits,
        largest_logit=largest,
        probability_difference=probabilities,
        class_differences=classes,
        step_differences=steps,
        boundary_faces=int(sum(near.sum() for near in boundaries)),
        boundary_step_differences=near_steps,
    )


def _apart(ours: NDArray[Any], theirs: NDArray[Any], rows: NDArray[np.bool_]) -> float:
    """Largest absolute difference over these rows; infinite where either is not finite."""
    difference = np.abs(ours.astype(np.float64) - theirs)[rows]
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def _refuse_differences(parity: Parity) -> None:
    within = (
        parity.logit_difference <= LOGIT_TOLERANCE * max(1.0, parity.largest_logit / LARGEST_LOGIT)
        and parity.probability_difference <= PROBABILITY_TOLERANCE
        and parity.class_differences == 0
        and parity.step_differences == 0
    )
    if not within:
        raise AdaferError(
            f"the ONNX file does not compute what PyTorch computes (logits differ by "
            f"{parity.logit_difference:.1e}, probabilities by {parity.probability_difference:.1e}, "
            f"{parity.class_differences} classes and {parity.step_differences} step counts "
            "differ), so it was not kept; report it with the recipe and the versions in run.json"
        )


def _refuse_unmoved(
    module: nn.Module,
    session: onnxruntime.InferenceSession,
    inputs: tuple[Tensor, ...],
    place: int,
) -> None:
    """Refuse a graph whose answer does not follow a change of this input where PyTorch's does."""
    before = tuple(values[:_MOVED] for values in inputs)
    moved = before[place] + inputs[place][-_MOVED:].nan_to_num() / 2
    after = (*before[:place], moved, *before[place + 1 :])
    ours = _by_torch(module, after)[0]["logits"] - _by_torch(module, before)[0]["logits"]
    theirs = _by_onnx(session, after)["logits"] - _by_onnx(session, before)["logits"]
    followed = np.abs(theirs).max(1) > 0  # (B,)
    if bool((~followed & (np.abs(ours).max(1) > LOGIT_TOLERANCE)).any()):
        raise AdaferError(
            f"the ONNX graph ignores its input {INPUTS[place]}, so it was not kept; report it with "
            "the recipe"
        )
