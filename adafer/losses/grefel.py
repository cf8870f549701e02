"""The loss of GReFEL: anchors apart, faces near them.

Legend: B images, C classes, K anchors a class, R their width.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from adafer.contracts import Batch, Output, Terms
from adafer.losses.classification import CrossEntropy
from adafer.models.grefel import GrefelOutput
from adafer.settings.loss import GrefelLossSettings

_SHARPNESS = 2.0  # of the potential; that of Wang & Isola


def anchor_loss(anchors: Tensor) -> Tensor:
    """How close anchors (C, K, R) of different classes lie: 0 if none were near, 1 if all are one.

    The logarithm of the mean Gaussian potential over all pairs from different classes (Wang and
    Isola 2020, arXiv:2005.10242, eq. for uniformity), scaled to 0-1. Differs from Wasi et al., who
    sum squared distances: those have no lower bound, and two heaps of anchors are their optimum on
    a sphere.
    """
    classes, each, _ = anchors.shape
    flat = anchors.flatten(0, 1)
    squared = (flat[:, None] - flat).square().sum(2)  # (C K, C K)
    owner = torch.arange(classes, device=flat.device).repeat_interleave(each)
    apart = squared[owner[:, None] != owner]
    mean = (-_SHARPNESS * apart).logsumexp(0) - torch.tensor(float(len(apart))).log()
    return 1 + mean / (4 * _SHARPNESS)


def center_loss(
    embedding: Tensor, anchors: Tensor, labels: Tensor, confidence: Tensor, counted: Tensor
) -> Tensor:
    """Mean squared distance (0 to 4) of faces (B, R) to the nearest anchor of their class.

    Each face counts by its `confidence` (B,) and by `counted` (B,), both 0 to 1. Differs: no
    gradient reaches the confidence, or being unsure would pay.
    """
    own = anchors[labels]  # (B, K, R)
    nearest = (embedding[:, None] - own).square().sum(2).amin(1)  # (B,)
    return (confidence.detach() * counted * nearest).mean()


@dataclass(frozen=True, kw_only=True)
class GrefelLoss(GrefelLossSettings, CrossEntropy):
    """Cross-entropy of the corrected answer + anchor loss + center loss (Wasi et al. 2024).

    Without anchors only the first is left.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("classification", "anchor", "center")

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the terms `classification`, `anchor` and `center`."""
        terms = dict(super().__call__(output, batch, progress))
        if not isinstance(output, GrefelOutput) or output.anchors is None:
            return terms
        assert output.embedding is not None
        assert output.confidence is not None
        rise = min(1.0, progress / self.center_warmup) if self.center_warmup else 1.0
        counted = output.confidence.new_ones(output.confidence.shape)
        if batch.shares is not None:  # of a blended face, its own part
            counted = batch.shares.to(counted.dtype)
        center = center_loss(
            output.embedding, output.anchors, batch.labels, output.confidence, counted
        )
        return terms | {
            "anchor": self.anchor_weight * rise * anchor_loss(output.anchors),
            "center": self.center_weight * rise * center,
        }
