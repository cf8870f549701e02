"""How right and how sure a model is at every step. Legend: N faces, T steps, C classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from adafer.analysis.resampling import Estimate, mean_estimate, resamples
from adafer.metrics import reliability
from adafer.trajectory import Floats, Trajectory


@dataclass(frozen=True, kw_only=True)
class StepScore:
    """Figures of one depth over some faces; None where there is no face, or one outcome only."""

    step: int
    faces: int
    accuracy: Estimate
    confidence: float | None = None
    ece: float | None = None  # expected calibration error, 15 bins
    nll: float | None = None  # nats a face, against the label
    auroc: float | None = None  # does confidence tell right answers from wrong ones

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class BySteps:
    """Every face at each depth, and the faces that stopped there by the model's own halting."""

    every: tuple[StepScore, ...]  # may go beyond the steps of training
    stopped: tuple[StepScore, ...]
    trained_steps: int
    right_then_wrong: float  # share of faces right at some step and wrong at the last of training

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "every": [item.to_json() for item in self.every],
            "stopped": [item.to_json() for item in self.stopped],
            "trained_steps": self.trained_steps,
            "right_then_wrong": self.right_then_wrong,
        }


def by_steps(trajectory: Trajectory, seed: int = 0) -> BySteps:
    """Score every depth, on all faces and on those that stop there.

    Calibration is no measure of an exit rule; whether confidence predicts failure (AUROC) is
    (arXiv:2508.21495).
    """
    table = trajectory.predictions
    steps, every = table.steps, trajectory.probabilities
    assert steps is not None
    counts = resamples(len(table), seed)
    everyone = np.arange(len(table))
    trained = trajectory.trained_steps
    right = every.argmax(2) == table.labels[:, None]  # (N, T)
    answers = table.probabilities
    return BySteps(
        every=tuple(
            _score(step + 1, every[:, step], table.labels, everyone, counts)
            for step in range(every.shape[1])
        ),
        stopped=tuple(
            _score(step, answers, table.labels, np.flatnonzero(steps == step), counts)
            for step in range(1, trained + 1)
        ),
        trained_steps=trained,
        right_then_wrong=float((right[:, :trained].any(1) & ~right[:, trained - 1]).mean()),
    )


def _score(
    step: int,
    probabilities: Floats,
    labels: NDArray[np.int64],
    faces: NDArray[np.intp],
    counts: NDArray[np.float32],
) -> StepScore:
    if not len(faces):
        return StepScore(step=step, faces=0, accuracy=Estimate(None))
    chosen = probabilities[faces]
    confidence = chosen.max(1)
    correct = chosen.argmax(1) == labels[faces]
    bins = reliability(confidence, correct)
    gaps = [
        b.count * abs(b.confidence - b.accuracy)
        for b in bins
        if b.confidence is not None and b.accuracy is not None
    ]
    told = chosen[np.arange(len(faces)), labels[faces]].clip(np.finfo(np.float64).eps)
    drawn = counts[:, faces]
    return StepScore(
        step=step,
        faces=len(faces),
        accuracy=mean_estimate(correct, drawn[drawn.sum(1) > 0]),
        confidence=float(confidence.mean()),
        ece=sum(gaps) / len(faces),
        nll=float(-np.log(told).mean()),
        auroc=None if correct.all() or not correct.any() else _auroc(correct, confidence),
    )


def _auroc(correct: NDArray[np.bool_], confidence: Floats) -> float:
    return float(roc_auc_score(correct, confidence))
