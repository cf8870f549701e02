"""Trajectories small enough to work out by hand."""

import numpy as np

from adafer.predictions import Predictions
from adafer.trajectory import Mixing, Trajectory, softmax


def trajectory(
    logits,
    labels,
    steps,
    *,
    halting=None,
    votes=None,
    features=None,
    mixing: Mixing = "one",
    trained: int | None = None,
) -> Trajectory:
    """From logits (N, T, C), labels (N,) and steps (N,); answers with the step taken."""
    logits = np.asarray(logits, np.float32)
    faces, depth, classes = logits.shape
    steps = np.asarray(steps, np.int64)
    halting = np.full((faces, depth), 0.5) if halting is None else np.asarray(halting)
    found = Trajectory(
        predictions=Predictions(
            class_names=tuple("abcdefgh"[:classes]),
            ids=tuple(f"face {n}" for n in range(faces)),
            labels=np.asarray(labels, np.int64),
            probabilities=softmax(logits[np.arange(faces), steps - 1].astype(np.float64)),
            steps=steps,
            votes=None if votes is None else np.asarray(votes, np.float64),
            step_correct=logits.argmax(2) == np.asarray(labels)[:, None],
        ),
        logits=logits,
        halting=halting.astype(np.float32),
        features=np.zeros((faces, 1), np.float32) if features is None else np.asarray(features),
        mixing=mixing,
        trained_steps=trained or depth,
    )
    stopped = found.stopped()[np.arange(faces), steps - 1]
    object.__setattr__(found.predictions, "probabilities", stopped)
    return found


def answers(rows, classes: int = 3, sure=4.0) -> np.ndarray:
    """Logits (N, T, C) that answer with these classes (N, T)."""
    return sure * np.eye(classes)[np.asarray(rows)]


def random_faces(count: int, *, depth: int = 4, classes: int = 5, seed: int = 0, **named):
    """Faces whose logits sharpen with depth, more slowly for the harder ones."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    ease = random.normal(1.0, 1.0, count)
    noise = random.normal(0, 1, (count, depth, classes)) * 0.4 + random.normal(
        0, 1, (count, 1, classes)
    )
    growth = np.arange(1, depth + 1) / depth
    logits = noise + (ease[:, None] * growth)[..., None] * np.eye(classes)[labels][:, None]
    steps = named.pop("steps", random.integers(1, depth + 1, count))
    return trajectory(logits, labels, steps, **named)
