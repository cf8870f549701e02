"""Cross-entropy on labels or on votes. Legend: B images, C classes, T steps."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from adafer.contracts import Batch, Output, Terms
from adafer.models.halting import at_least_float32
from adafer.settings.loss import CrossEntropySettings


@dataclass(frozen=True, kw_only=True)
class Targets(CrossEntropySettings):
    """What a face should be called, and how much it counts.

    `class_weights` (C values) multiply each face's loss by the weight of its label; the mean is
    taken over faces, so weights of mean 1 over the data keep the scale.
    """

    class_weights: tuple[float, ...] = ()

    def targets(self, batch: Batch, like: Tensor) -> Tensor:
        """Target distribution (B, C) in float32."""
        classes = like.shape[-1]
        if self.soft_targets and batch.votes is not None:
            target = batch.votes.float()
        else:
            target = functional.one_hot(batch.labels, classes).float()
        target = blended(target, batch)
        return target * (1 - self.label_smoothing) + self.label_smoothing / classes

    def face_weights(self, batch: Batch) -> Tensor:
        """Weight of each face (B,), by its label, or by both labels of a blended face."""
        return blended(weights_of(self.class_weights, batch.labels), batch)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Targets):
    """Cross-entropy on labels, or on the share of votes where the batch has them.

    With soft targets this is the loss of Barsoum et al. 2016 (arXiv:1608.01041, eq. 5).
    """

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the one term `classification`."""
        per_face = cross_entropy(output.logits, self.targets(batch, output.logits))  # (B,)
        return {"classification": (per_face * self.face_weights(batch)).mean()}


def blended(values: Tensor, batch: Batch) -> Tensor:
    """Blend values (B, ...) of faces as the faces of the batch are blended, if they are."""
    if batch.partners is None or batch.shares is None:
        return values
    share = batch.shares.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * values[batch.partners]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits (..., C) with a target distribution (..., C), float32 or wider."""
    return -(target * at_least_float32(logits).log_softmax(-1)).sum(-1)


def weights_of(class_weights: tuple[float, ...], labels: Tensor) -> Tensor:
    """Weight of each label (B,); 1 where no weights are given."""
    if not class_weights:
        return labels.new_ones(labels.shape).float()
    return labels.new_tensor(class_weights, dtype=torch.float32)[labels]
