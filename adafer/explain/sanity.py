"""What speaks for a map: it changes with the weights, and the answer with what it marks.

Legend: N faces, P points of a curve, S stages.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from adafer.contracts import Model
from adafer.explain.maps import as_found, explain

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Probability of the class as pixels are taken away or put in, most marked ones first.

    Each (N, P); from 0 to all pixels in even steps. Petsiuk et al. 2018, arXiv:1806.07421.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random_deletion: NDArray[np.float64]  # the same in a random order of pixels
    random_insertion: NDArray[np.float64]

    def area(self, name: str) -> float:
        """Mean height of a curve over faces and points, 0 to 1."""
        return float(getattr(self, name).mean())


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    maps: NDArray[np.float32],
    *,
    baseline: Tensor | None = None,
    points: int = 20,
    seed: int = 0,
) -> Curves:
    """Take pixels away, and put them in, in the order of maps (N, H, W) and at random.

    What is taken away shows `baseline` (3, H, W), or the mean grey of the data.
    """
    generator = np.random.default_rng(seed)
    empty = torch.zeros_like(images[0]) if baseline is None else baseline
    curves: dict[str, list[NDArray[np.float64]]] = {}
    with as_found(model), torch.no_grad():
        for image, target, values in zip(images, targets.tolist(), maps, strict=True):
            # Equal values in a random order, so that a flat map is no better than chance.
            shuffled = generator.permutation(values.size)
            marked = shuffled[np.argsort(-values.reshape(-1)[shuffled], kind="stable")]
            for name, order in (("", marked), ("random_", shuffled)):
                shown = _masks(order, image.shape[1:], points).to(image.device)  # (P, H, W)
                for what, mask in (("insertion", shown), ("deletion", ~shown)):
                    faces = torch.where(mask[:, None], image, empty)
                    curve = _probability(model, faces, target)
                    curves.setdefault(name + what, []).append(curve)
    return Curves(**{name: np.stack(rows) for name, rows in curves.items()})


def _masks(order: NDArray[np.intp], size: Sequence[int], points: int) -> Tensor:
    """Which pixels are among the first 0, 1, ... of P - 1 equal parts, (P, H, W)."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    limits = np.linspace(0, len(order), points)
    return torch.from_numpy(rank[None] < limits[:, None]).reshape(points, *size)


def _probability(model: nn.Module, faces: Tensor, target: int) -> NDArray[np.float64]:
    told = [model(part).logits.softmax(1)[:, target] for part in torch.split(faces, BATCH)]
    return np.asarray(torch.cat(told).double().cpu().numpy())


@dataclass(frozen=True)
class Similarity:
    """How much a map stays the same once a stage, and all above it, lost what it had learned."""

    stage: str
    correlation: float  # Spearman's, mean over faces; near 0 for a map that depends on the weights


def randomised_similarity(
    method: str,
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str = "",
    background: Tensor | None = None,
    seed: int = 0,
    samples: int = 0,
) -> list[Similarity]:
    """Randomise a model stage by stage, head first, and compare its maps with the original ones.

    Adebayo et al. 2018, arXiv:1810.03292, cascading randomisation. Differs: the values of every
    tensor are shuffled, which keeps their distribution. A map that stays the same says nothing of
    what the model learned.
    """
    own = {"background": background, "seed": seed, "samples": samples}
    original = explain(method, model, images, targets, layer=layer, **own)  # type: ignore[arg-type]
    broken = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    read = layer or (original.layer if original.layer in dict(cast(Model, model).stages()) else "")
    found = []
    for name, stage in reversed(cast(Model, broken).stages()):
        _shuffle(stage, generator)
        after = explain(method, broken, images, targets, layer=read, **own)  # type: ignore[arg-type]
        found.append(Similarity(name, _correlation(original.values[-1], after.values[-1])))
    return found


def _shuffle(stage: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in stage.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean rank correlation of maps (N, H, W); a flat map correlates with nothing."""
    found = []
    for first, second in zip(np.abs(one), np.abs(other), strict=True):
        flat = np.ptp(first) == 0 or np.ptp(second) == 0
        found.append(0.0 if flat else float(spearmanr(first, second, axis=None).statistic))
    return float(np.mean(found))
