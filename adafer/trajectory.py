"""What a model that thinks in steps said of every face at every step; the analysis reads only this.

Legend: N faces, T steps, C classes, D features.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from adafer.errors import DataError
from adafer.predictions import Predictions
from adafer.predictions_file import write_bytes

Floats = NDArray[np.float64]
Mixing = Literal["one", "additive", "multiplicative"]
"""Who answers: the last step taken alone, or the mixture with Graves' (or the product's) rest."""

COLUMNS = (
    "labels", "probabilities", "steps", "ponder_cost", "votes", "step_correct",
)  # fmt: skip
"""Arrays of the predictions that travel with a trajectory."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """All steps of one model on one split, whether or not it would have halted before.

    `predictions` holds what the model answers by its own halting within `trained_steps`. There
    may be more steps here than the model was trained for, to see what thinking on does.
    """

    predictions: Predictions
    logits: NDArray[np.float32]  # (N, T, C) of each step alone
    halting: NDArray[np.float32]  # (N, T) the score that the halting rule reads
    features: NDArray[np.float32]  # (N, D) the state after step 1, averaged over its map
    mixing: Mixing
    trained_steps: int  # T in training; logits may hold more
    sharpness: Floats | None = None  # (N,) variance of the Laplacian of the grey face
    brightness: Floats | None = None  # (N,) mean grey level, 0 to 255

    def __len__(self) -> int:
        return len(self.predictions)

    def take(self, faces: NDArray[np.intp]) -> "Trajectory":
        """Return the faces at these places, in that order."""
        table = self.predictions
        arrays = {name: getattr(table, name) for name in COLUMNS}
        chosen: dict[str, Any] = {n: None if a is None else a[faces] for n, a in arrays.items()}
        return replace(
            self,
            predictions=replace(table, ids=tuple(table.ids[i] for i in faces), loss=None, **chosen),
            logits=self.logits[faces],
            halting=self.halting[faces],
            features=self.features[faces],
            sharpness=None if self.sharpness is None else self.sharpness[faces],
            brightness=None if self.brightness is None else self.brightness[faces],
        )

    @property
    def probabilities(self) -> Floats:
        """Class probabilities of each step alone, (N, T, C)."""
        return softmax(self.logits.astype(np.float64))

    def stopped(self) -> Floats:
        """Probabilities (N, T, C) of the answer if a face were stopped after each step.

        A mixture gives the stopping step what the steps before it have left (Graves 2016,
        arXiv:1603.08983, eq. 6-7); otherwise it is that step's own answer.
        """
        if self.mixing == "one":
            return self.probabilities
        logits, scores = self.logits.astype(np.float64), self.halting.astype(np.float64)
        if self.mixing == "additive":
            before = np.cumsum(scores, 1) - scores  # (N, T) sum of the steps before
            shares, left = scores, 1 - before
        else:
            survived = np.cumprod(1 - scores, 1)  # (N, T)
            left = np.concatenate([np.ones_like(survived[:, :1]), survived[:, :-1]], 1)
            shares = scores * left
        mixed = np.cumsum(shares[..., None] * logits, 1) - shares[..., None] * logits
        return softmax(mixed + left[..., None] * logits)


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def write_trajectory(path: Path, trajectory: Trajectory) -> None:
    """Write a whole safetensors file or nothing."""
    table = trajectory.predictions
    arrays = {
        "logits": trajectory.logits,
        "scores": trajectory.halting,
        "features": trajectory.features,
        "sharpness": trajectory.sharpness,
        "brightness": trajectory.brightness,
        **{name: getattr(table, name) for name in COLUMNS},
    }
    facts = {
        "class_names": table.class_names,
        "ids": table.ids,
        "mixing": trajectory.mixing,
        "trained_steps": trajectory.trained_steps,
        "loss": table.loss,
    }
    present = {name: np.ascontiguousarray(a) for name, a in arrays.items() if a is not None}
    write_bytes(path, save(present, metadata={"adafer": json.dumps(facts, allow_nan=False)}))


def read_trajectory(path: Path) -> Trajectory:
    """Read what `write_trajectory` wrote.

    Raises:
        DataError: if the file is missing or is something else.
    """
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {})["adafer"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        columns: dict[str, Any] = {name: arrays.get(name) for name in COLUMNS}
        table = Predictions(
            class_names=tuple(facts["class_names"]),
            ids=tuple(facts["ids"]),
            loss=facts["loss"],
            **columns,
        )
        return Trajectory(
            predictions=table,
            logits=arrays["logits"],
            halting=arrays["scores"],
            features=arrays["features"],
            mixing=facts["mixing"],
            trained_steps=facts["trained_steps"],
            sharpness=arrays.get("sharpness"),
            brightness=arrays.get("brightness"),
        )
    except FileNotFoundError:
        raise DataError(f"no {path}; write it with `adafer steps RUN`") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is no trajectory ({error}); write it again with `adafer steps RUN`"
        ) from None
