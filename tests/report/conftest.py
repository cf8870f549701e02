"""Contexts of any size, drawn from a seed."""

import numpy as np
import pytest

from adafer.metrics import score
from adafer.predictions import Predictions
from adafer.report import Context

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


def history(epochs):
    return [
        {
            "epoch": epoch,
            "phase": 1 + (epoch > epochs // 2),
            "train_loss": f"{2 / epoch}",
            "train_acc": 1 - 0.8 / epoch,
            "val_loss": 2.2 / epoch,
            "val_acc": 1 - 0.9 / epoch,
            "val_macro_f1": "" if epoch == 1 else 1 - 1 / epoch,
            "lr_backbone": 0.001,
            "lr_head": 0.001,
            "mean_steps": None,
            "ponder_cost": "nan",
            "epoch_time": 60.0,
            "status": "",
        }
        for epoch in range(1, epochs + 1)
    ]


@pytest.fixture
def make():
    """Return a function that makes a context."""

    def build(
        count=60,
        names=EMOTIONS,
        *,
        longest=6,
        stepped=True,
        side=8,
        epochs=4,
        seed=0,
        channels=3,
        **changes,
    ):
        random = np.random.default_rng(seed)
        classes = len(names)
        labels = random.integers(0, classes, count)
        probabilities = random.dirichlet(np.full(classes, 0.5), count)
        probabilities = 0.7 * probabilities + 0.3 * np.eye(classes)[labels]
        values = {
            "class_names": tuple(names),
            "ids": tuple(f"face-{i}.png" for i in range(count)),
            "labels": labels,
            "probabilities": probabilities,
            "steps": random.integers(2, longest, count) if stepped else None,
            "ponder_cost": random.random(count) if stepped else None,
            "votes": random.multinomial(10, probabilities) / 10 if stepped else None,
            "step_correct": random.random((count, longest)) < 0.7 if stepped else None,
        }
        given = {key: changes.pop(key) for key in tuple(changes) if key in values}
        predictions = Predictions(**(values | given))
        pictures = random.integers(0, 255, (count, side, side, 3), dtype=np.uint8)
        about = {
            "name": "first",
            "split": "val",
            "history": history(epochs),
            "recipe": {
                "name": "act-graves",
                "summary": "a summary",
                "data": {"data": "toy", "roots": []},
                "model_name": "recursive",
                "model": {"max_steps": longest} if stepped else {"width": 16},
                "loss_name": "ponder",
                "loss": {"soft_targets": True},
                "phases": [{"epochs": 2, "lr": 0.002}, {"epochs": 2, "lr": 0.001}],
                "train": {"seed": 0, "monitor": "val_macro_f1"},
            },
            "run": {"command": "adafer train", "versions": {"torch": "2.7"}, "test_uses": 0},
            "faces": pictures[..., :channels] if side else None,
        }
        return Context(
            predictions=predictions, scores=score(predictions, bootstrap=50), **(about | changes)
        )

    return build
