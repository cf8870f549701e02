"""Focal loss. Legend: B images, C classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adafer.contracts import Batch, Output, Terms
from adafer.losses.classification import Targets
from adafer.models.halting import at_least_float32
from adafer.settings.loss import FocalSettings


@dataclass(frozen=True, kw_only=True)
class FocalLoss(FocalSettings, Targets):
    """Cross-entropy times (1 - p)^gamma: what is already right counts less.

    Lin et al. 2017, arXiv:1708.02002, eq. 4; class weights are its alpha (eq. 5). Differs: a target
    that is a distribution (votes, smoothing, MixUp) counts each class by its share, so that the
    loss of a blended face is the blend of both losses.
    """

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the one term `classification`."""
        per_face = focal(output.logits, self.targets(batch, output.logits), self.gamma)  # (B,)
        return {"classification": (per_face * self.face_weights(batch)).mean()}


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Focal loss (...) of logits (..., C) with a target distribution, float32 or wider."""
    log_p = at_least_float32(logits).log_softmax(-1)
    # Away from 0, because the slope of a power below 1 is infinite there and 0 x infinity is NaN.
    missing = -torch.expm1(log_p).clamp_max(-torch.finfo(log_p.dtype).eps)
    return -(target * log_p * missing**gamma).sum(-1)
