"""The spread of weights and gradients, layer by layer, as a table and as text."""

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from adafer.contracts import Model

Layers = Literal["head", "all"]

NUMBERS = ("mean", "std", "min", "max", "l2")
COLUMNS = (
    "epoch",
    "parameter",
    *(f"weight_{name}" for name in NUMBERS),
    *(f"gradient_{name}" for name in NUMBERS),
)
"""Columns of weight_stats.csv."""

FIRST_VALUES = 4
"""How many values of a tensor stand in the text."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Five numbers of a tensor, computed in float64; the deviation is that of all its values."""

    mean: float
    std: float
    min: float
    max: float
    l2: float  # Euclidean norm


@torch.no_grad()
def spread(tensor: Tensor) -> Spread:
    """Return the spread of a tensor; all are not a number where it holds no values."""
    values = tensor.detach().flatten().to("cpu", torch.float64)
    if not len(values):
        return Spread(mean=math.nan, std=math.nan, min=math.nan, max=math.nan, l2=0.0)
    return Spread(
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        min=float(values.min()),
        max=float(values.max()),
        l2=float(values.norm()),
    )


def spreads(model: nn.Module, layers: Layers) -> Iterator[tuple[str, Spread, Spread | None]]:
    """Name, spread of the weights and spread of the gradient of each parameter, in model order.

    `head` takes the last of the model's stages alone. The gradient is the one of the last step,
    clipped; None for a parameter that did not learn.
    """
    stages = cast(Model, model).stages()
    chosen = {id(parameter) for parameter in stages[-1][1].parameters()}
    for name, parameter in model.named_parameters():
        if layers == "all" or id(parameter) in chosen:
            gradient = None if parameter.grad is None else spread(parameter.grad)
            yield name.removeprefix("_orig_mod."), spread(parameter), gradient


def extended_table(path: Path, epoch: int, model: nn.Module, layers: Layers) -> str:
    """Return weight_stats.csv with the rows of an epoch that has just been trained, as text.

    The rows of earlier epochs are those of the file at `path`, if there is one; later ones, which
    a resumed training comes by again, are left out.
    """
    earlier = [row for row in _rows_of(path) if 0 < _epoch(row) < epoch]
    new = [
        [epoch, name, *_cells(weights), *_cells(gradient)]
        for name, weights, gradient in spreads(model, layers)
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *earlier, *new])
    return text.getvalue()


def weights_text(tensors: Mapping[str, Tensor]) -> str:
    """Describe each tensor in a block of lines; equal tensors give equal text.

    Name, shape and type, the five numbers, the SHA-256 of its bytes in memory order, and its first
    values. For reading and comparing; the weights themselves are the safetensors file.
    """
    return "\n".join(_block(name, tensor) for name, tensor in tensors.items())


def _block(name: str, tensor: Tensor) -> str:
    held = tensor.detach().cpu().contiguous()
    numbers = zip(NUMBERS, astuple(spread(held)), strict=True)
    first = ", ".join(f"{value:.9g}" for value in held.flatten()[:FIRST_VALUES].tolist())
    more = ", ..." if held.numel() > FIRST_VALUES else ""
    shape = "x".join(map(str, held.shape)) or "scalar"
    return (
        f"{name}\n"
        f"  shape {shape}, {str(held.dtype).removeprefix('torch.')}\n"
        f"  {', '.join(f'{word} {value:.9g}' for word, value in numbers)}\n"
        f"  sha256 {_digest(held)}\n"
        f"  values {first}{more}\n"
    )


def _digest(tensor: Tensor) -> str:
    # As bytes, since NumPy has no bfloat16.
    return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _cells(numbers: Spread | None) -> list[str]:
    if numbers is None:
        return [""] * len(NUMBERS)
    return [repr(value) if math.isfinite(value) else "" for value in astuple(numbers)]


def _rows_of(path: Path) -> list[list[str]]:
    """Rows below the head of the table that have all their cells."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == len(COLUMNS)]


def _epoch(row: list[str]) -> int:
    return int(row[0]) if row[0].isdecimal() else 0
