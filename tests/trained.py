"""Small models with seeded weights, and run folders that hold them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from adafer.bundle import save_bundle
from adafer.image import Preprocessing
from adafer.models import build
from adafer.models.recursive import RecursiveFER
from adafer.settings.model import (
    GrefelSettings,
    RecursiveSettings,
    TinyVGGSettings,
    TransferSettings,
)

NAMES = ("neutral", "happiness", "surprise", "sadness", "anger")
SIDE = 32
SMALL: dict[str, Any] = {
    "recursive": RecursiveSettings(max_steps=4, channels=16, stem_channels=8, halt_bias=-0.5),
    "tinyvgg": TinyVGGSettings(width=8),
    "transfer": TransferSettings(backbone="test_resnet", pretrained=False),
    "grefel": GrefelSettings(
        backbone="test_vit", patch_size=8, pretrained=False, anchors_per_class=2, anchor_dim=16
    ),
}


def module(
    name: str = "recursive", settings: Any = None, *, classes: int = len(NAMES)
) -> nn.Module:
    """A model whose faces halt at different steps and whose answers are not flat."""
    torch.manual_seed(7)
    model = build(settings or SMALL[name], classes, SIDE).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.startswith("classifier"):
                value.mul_(8)
            if key.endswith("weight") and not bool(value.any()):
                value.fill_(0.5)  # residual branches that start at nothing
        for key, value in model.named_buffers():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
        if isinstance(model, RecursiveFER):
            _spread_halting(model)
    return model


def _spread_halting(model: RecursiveFER) -> None:
    """Give the halting unit logits of mean -0.5 and deviation 1.5 over faces."""
    state = model.step(model.begin(inputs(32))).state.mean((2, 3))  # (B, D)
    unit = model.halting.linear
    unit.weight.normal_()
    logits = state @ unit.weight[0]
    unit.weight.mul_(1.5 / logits.std())
    unit.bias.fill_(-0.5 - 1.5 * float(logits.mean() / logits.std()))


def recipe(name: str = "recursive", settings: Any = None) -> dict[str, Any]:
    """What a bundle keeps of a recipe."""
    return {"name": "small", "model_name": name, "model": asdict(settings or SMALL[name])}


def run_folder(folder: Path, name: str = "recursive", settings: Any = None, **facts: Any) -> Path:
    """Save a model as the best of a run and return the run's folder."""
    save_bundle(
        folder,
        "best",
        module(name, settings),
        recipe=recipe(name, settings),
        class_names=NAMES,
        preprocessing=Preprocessing(SIDE, grey=True),
        facts={"epoch": 3, "metric": 0.5, **facts},
    )
    return folder


def pictures(count: int, side: int = 30) -> list[NDArray[np.uint8]]:
    """Smooth colour pictures (side, side, 3), all different."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (count, 4, 4, 3))
    rows = np.linspace(0, 3, side).round().astype(int)
    return list(coarse[:, rows][:, :, rows].astype(np.uint8))


def inputs(count: int, side: int = SIDE) -> torch.Tensor:
    """Seeded faces (count, 3, side, side), from smooth to noisy."""
    generator = torch.Generator().manual_seed(11)
    coarse = torch.randn(count, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    share = torch.linspace(0, 1, count)[:, None, None, None]
    return 2 * smooth + share * torch.randn(count, 3, side, side, generator=generator)
