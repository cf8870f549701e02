"""Where a face would stop under other rules on the same trajectory, at a requested mean.

Every rule here reads a signal (N, T) and stops at the first step whose signal reaches a
threshold. Legend: N faces, T steps, C classes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from adafer.trajectory import Floats, Trajectory

Signal = Callable[[Floats], Floats]
"""Class probabilities (N, T, C) to a signal (N, T) that is larger the more there is to stop."""

TINY = 1e-12


def confidence(probabilities: Floats) -> Floats:
    """Probability of the leading class (Teerapittayanon et al. 2016, with confidence)."""
    return np.asarray(probabilities.max(2))


def entropy(probabilities: Floats) -> Floats:
    """Negative entropy in nats. BranchyNet, Teerapittayanon et al. 2016, arXiv:1709.01686."""
    return np.asarray((probabilities * np.log(probabilities.clip(TINY))).sum(2))


def margin(probabilities: Floats) -> Floats:
    """Lead of the first class over the second."""
    ordered = np.sort(probabilities, 2)
    return np.asarray(ordered[:, :, -1] - ordered[:, :, -2])


def patience(probabilities: Floats) -> Floats:
    """Steps in a row, this one included, with the same answer. PABEE, arXiv:2006.04152."""
    answers = probabilities.argmax(2)  # (N, T)
    run = np.ones(answers.shape)
    for step in range(1, answers.shape[1]):
        same = answers[:, step] == answers[:, step - 1]
        run[:, step] = np.where(same, run[:, step - 1] + 1, 1)
    return run


def change(probabilities: Floats) -> Floats:
    """Negative divergence (KL) from the step before; the first step has none. arXiv:2502.05171."""
    logs = np.log(probabilities.clip(TINY))
    moved = (probabilities[:, 1:] * (logs[:, 1:] - logs[:, :-1])).sum(2)
    first = np.full((len(probabilities), 1), -np.inf)
    return np.concatenate([first, -moved], 1)


SIGNALS: dict[str, Signal] = {
    "confidence": confidence,
    "entropy": entropy,
    "margin": margin,
    "patience": patience,
    "change": change,
}
"""Exit rule by name."""


@dataclass(frozen=True)
class Threshold:
    """Two neighbouring thresholds; a share of the faces, drawn by lot, takes the stricter one.

    Rules whose signal has few values, such as patience, cannot meet a mean with one threshold.
    """

    bold: float
    strict: float
    strict_share: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a curve."""

    mean_steps: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy against mean steps under one rule, and the area under it, from 1 to T."""

    name: str
    points: tuple[Point, ...]
    area: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def first_reaching(signal: Floats, threshold: float) -> NDArray[np.int64]:
    """First step (N,) whose signal reaches the threshold, else the last."""
    reached = signal >= threshold
    reached[:, -1] = True
    return np.asarray(reached.argmax(1) + 1, dtype=np.int64)


def fit_threshold(signal: Floats, mean_steps: float) -> Threshold:
    """Choose the threshold whose mean number of steps is as asked, on these faces."""
    levels = np.unique(signal[:, :-1])
    levels = np.append(levels[np.isfinite(levels)], np.inf)
    low, high = 0, len(levels) - 1  # means grow with the threshold
    if float(first_reaching(signal, levels[0]).mean()) >= mean_steps:
        return Threshold(levels[0], levels[0], 0.0)
    while high - low > 1:
        middle = (low + high) // 2
        if float(first_reaching(signal, levels[middle]).mean()) <= mean_steps:
            low = middle
        else:
            high = middle
    bold, strict = (float(first_reaching(signal, levels[i]).mean()) for i in (low, high))
    share = (mean_steps - bold) / (strict - bold) if strict > bold else 0.0
    return Threshold(float(levels[low]), float(levels[high]), float(np.clip(share, 0, 1)))


def apply_threshold(signal: Floats, threshold: Threshold, seed: int = 0) -> NDArray[np.int64]:
    """Steps (N,) under a threshold that was chosen before."""
    strict = np.random.default_rng(seed).random(len(signal)) < threshold.strict_share
    return np.where(
        strict,
        first_reaching(signal, threshold.strict),
        first_reaching(signal, threshold.bold),
    )


def exit_steps(
    name: str,
    trajectory: Trajectory,
    mean_steps: float,
    chosen_on: Trajectory | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Steps (N,) of a rule at a requested mean, its threshold chosen on other faces.

    `chosen_on` is the validation trajectory where this one is test. Without it the faces are
    halved by lot: each half stops by the threshold of the other.
    """
    signal = _signal(name, trajectory)
    if chosen_on is not None:
        return apply_threshold(signal, fit_threshold(_signal(name, chosen_on), mean_steps), seed)
    order = np.random.default_rng(seed).permutation(len(signal))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    steps = np.empty(len(signal), np.int64)
    for here, there in (halves, halves[::-1]):
        steps[here] = apply_threshold(signal[here], fit_threshold(signal[there], mean_steps), seed)
    return steps


def curves(trajectory: Trajectory, chosen_on: Trajectory | None = None) -> tuple[Curve, ...]:
    """Accuracy against mean steps for every rule, for fixed depths and for the oracle."""
    right = step_correct(trajectory)
    longest = right.shape[1]
    wanted = np.linspace(1, longest, 4 * (longest - 1) + 1)
    found = []
    for name in SIGNALS:
        points = [Point(mean_steps=1.0, accuracy=float(right[:, 0].mean()))]
        for mean in wanted[1:-1]:
            steps = exit_steps(name, trajectory, float(mean), chosen_on)
            points.append(Point(mean_steps=float(steps.mean()), accuracy=accuracy_at(right, steps)))
        points.append(Point(mean_steps=float(longest), accuracy=float(right[:, -1].mean())))
        found.append(_curve(name, points, longest))
    depths = [
        Point(mean_steps=float(step + 1), accuracy=float(right[:, step].mean()))
        for step in range(longest)
    ]
    return (*found, _curve("fixed depth", depths, longest))


def step_correct(trajectory: Trajectory) -> NDArray[np.bool_]:
    """Whether each step of training alone is right, (N, T)."""
    answers = trajectory.logits[:, : trajectory.trained_steps].argmax(2)
    return np.asarray(answers == trajectory.predictions.labels[:, None])


def accuracy_at(right: NDArray[np.bool_], steps: NDArray[np.int64]) -> float:
    """Accuracy if each face stops after its number of steps."""
    return float(right[np.arange(len(right)), steps - 1].mean())


def _signal(name: str, trajectory: Trajectory) -> Floats:
    return SIGNALS[name](trajectory.probabilities[:, : trajectory.trained_steps])


def _curve(name: str, points: list[Point], longest: int) -> Curve:
    ordered = sorted(points, key=lambda point: point.mean_steps)
    means = np.array([point.mean_steps for point in ordered])
    heights = np.array([point.accuracy for point in ordered])
    area = float(trapezoid(heights, means) / (longest - 1)) if longest > 1 else heights[0]
    return Curve(name=name, points=tuple(ordered), area=float(area))
