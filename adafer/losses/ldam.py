"""Losses that know how frequent each class is. Legend: B images, C classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adafer.contracts import Batch, Output, Terms
from adafer.losses.classification import Targets, blended, cross_entropy, weights_of
from adafer.models.halting import at_least_float32
from adafer.settings.loss import LDAMSettings, LogitAdjustmentSettings

RAREST = 1e-6
"""Least frequency of a class that logit adjustment takes at its word."""


@dataclass(frozen=True, kw_only=True)
class LDAMLoss(LDAMSettings, Targets):
    """Cross-entropy in which a class has to win by a margin, the larger the rarer it is.

    Cao et al. 2019, arXiv:1906.07413, sec. 3.2; deferred re-weighting is algorithm 1, by the
    effective numbers of Cui et al. 2019 (arXiv:1901.05555, sec. 3). Differs: there the logits are
    cosines times `ldam_scale`; here a model's logits are taken to hold that scale already, so that
    their softmax stays its probability, and the margin is `ldam_scale` times as large. A target
    that is a distribution counts the loss of each label by its share.

    `class_counts` are the training faces of each class (C values); without them all margins are
    `ldam_margin` and no class counts more.
    """

    class_counts: tuple[int, ...] = ()

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the one term `classification`."""
        target = self.targets(batch, output.logits)
        per_face = margin_cross_entropy(
            output.logits, target, self.margins(output.logits) * self.ldam_scale
        )  # (B,)
        return {"classification": (per_face * self.weights_at(progress, batch)).mean()}

    def margins(self, like: Tensor) -> Tensor:
        """Margin of each class (C,), before the scale, in float32 or wider.

        C / n^(1/4), the largest of those with faces scaled to `ldam_margin`; a class without faces
        gets that largest one.
        """
        values = ldam_margins(self.class_counts or [1] * like.shape[-1], self.ldam_margin)
        return at_least_float32(like).new_tensor(values)

    def weights_at(self, progress: float, batch: Batch) -> Tensor:
        """Weight of each face (B,) when this share of training is done."""
        if self.drw == 1 or progress < self.drw:
            return self.face_weights(batch)
        weights = effective_number_weights(self.class_counts, self.drw_beta)
        return blended(weights_of(weights, batch.labels), batch)


@dataclass(frozen=True, kw_only=True)
class LogitAdjustedLoss(LogitAdjustmentSettings, Targets):
    """Cross-entropy of logits to which tau x the log of the class frequencies is added.

    Menon et al. 2021, arXiv:2007.07314, eq. 10: the logits themselves, which are what is predicted
    from, then aim at the balanced error. Class weights count in the frequencies, as a weighted
    class is to the loss a more frequent one.

    `class_frequencies` are the shares of each class (C values) among the faces that training
    shows; without them nothing is added. A share below `RAREST` counts as that, so that a class
    without faces stays finite.
    """

    class_frequencies: tuple[float, ...] = ()

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the one term `classification`."""
        logits = at_least_float32(output.logits)
        logits = logits + self.tau * self.log_prior(logits)
        per_face = cross_entropy(logits, self.targets(batch, output.logits))  # (B,)
        return {"classification": (per_face * self.face_weights(batch)).mean()}

    def log_prior(self, like: Tensor) -> Tensor:
        """Logarithm of the frequency of each class (C,) as the weighted loss meets it."""
        if not self.class_frequencies:
            return like.new_zeros(like.shape[-1])
        frequencies = like.new_tensor(self.class_frequencies)
        if self.class_weights:
            frequencies = frequencies * like.new_tensor(self.class_weights)
        return (frequencies / frequencies.sum()).clamp_min(RAREST).log()


def ldam_margins(counts: Sequence[int], largest: float) -> tuple[float, ...]:
    """Margin of each class from its number of faces; that of the rarest present is `largest`."""
    rarest = min((count for count in counts if count > 0), default=1)
    return tuple(largest * (rarest / max(count, rarest)) ** 0.25 for count in counts)


def effective_number_weights(counts: Sequence[int], beta: float) -> tuple[float, ...]:
    """Weight (1 - beta) / (1 - beta^n) of each class, of mean 1 over the faces; 0 without faces."""
    raw = [(1 - beta) / (1 - beta**count) if count else 0.0 for count in counts]
    total = sum(weight * count for weight, count in zip(raw, counts, strict=True))
    return tuple(weight * sum(counts) / total for weight in raw) if total else ()


def margin_cross_entropy(logits: Tensor, target: Tensor, margins: Tensor) -> Tensor:
    """Cross-entropy (B,) of logits (B, C) in which each label's own logit is less by its margin."""
    lowered = at_least_float32(logits)[:, None, :] - torch.diag(margins)  # (B, C labels, C)
    log_p = lowered.log_softmax(-1).diagonal(dim1=-2, dim2=-1)  # (B, C) of each label, if true
    return -(target * log_p).sum(-1)
