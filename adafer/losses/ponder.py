"""What thinking costs. Legend: B images, C classes, T steps."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from adafer.contracts import Batch, StepOutput, Terms
from adafer.losses.classification import Targets, blended, cross_entropy, weights_of
from adafer.models.halting import step_distribution
from adafer.settings.loss import PonderLossSettings, PonderNetLossSettings


@dataclass(frozen=True, kw_only=True)
class DifferentiablePonderLoss(PonderLossSettings, Targets):
    """Cross-entropy + lambda x ponder cost, and optionally cross-entropy at every step.

    Graves 2016 (arXiv:1603.08983, eq. 12-13): the cost N + R is differentiated through R alone.
    `ponder_class_weights` (C values) multiply a face's cost by the factor of its true class: dear
    for happiness, lenient for surprise, say; classes then differ in steps by construction.
    Lambda rises linearly from 0 over the first `ponder_warmup` share of training.
    Deep supervision is the mean, not the sum, over the steps that were run, because all of them
    meet the same shared weights.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("classification", "ponder", "steps")

    def __call__(self, output: StepOutput, batch: Batch, progress: float) -> Terms:
        """Return the terms `classification`, `ponder` and, if weighted, `steps`."""
        target, weight = self.targets(batch, output.logits), self.face_weights(batch)
        cost = self.cost(output) * blended(
            weights_of(self.ponder_class_weights, batch.labels), batch
        )
        terms = {
            "classification": (cross_entropy(output.logits, target) * weight).mean(),
            "ponder": self.lambda_at(progress) * cost.mean(),
        }
        if self.deep_supervision:
            every_step = cross_entropy(output.step_logits, target[None])  # (T, B)
            terms["steps"] = self.deep_supervision * (every_step.mean(0) * weight).mean()
        return terms

    def cost(self, output: StepOutput) -> Tensor:
        """Cost of thinking of each face (B,)."""
        if self.ponder_cost == "remainder":
            return output.remainder
        if self.ponder_cost == "expected":
            return expected_steps(output.weights)
        return output.ponder_cost

    def lambda_at(self, progress: float) -> float:
        """Weight of the ponder cost when this share of training is done."""
        if self.ponder_warmup <= 0:
            return self.ponder_lambda
        return self.ponder_lambda * min(1.0, progress / self.ponder_warmup)


@dataclass(frozen=True, kw_only=True)
class PonderNetLoss(PonderNetLossSettings, Targets):
    """Expected cross-entropy under P(N = n) + beta x KL(P || truncated geometric prior).

    Banino et al. 2021, arXiv:2107.05407, eq. 4. Differs: the prior is normalised over the T steps.
    P is read from the scores of all steps, as `weights` end at the exit.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("classification", "prior")

    def __call__(self, output: StepOutput, batch: Batch, progress: float) -> Terms:
        """Return the terms `classification` and `prior`."""
        target, weight = self.targets(batch, output.logits), self.face_weights(batch)
        every_step = cross_entropy(output.step_logits, target[None])  # (T, B)
        chance = step_distribution(output.step_probs)  # (T, B)
        expected = (chance * every_step).sum(0)  # (B,)
        prior = geometric_prior(self.prior_lambda, chance)  # (T,)
        share = chance.clamp_min(1e-8)
        divergence = (share * (share.log() - prior.log()[:, None])).sum(0)  # (B,)
        return {
            "classification": (expected * weight).mean(),
            "prior": self.prior_beta * divergence.mean(),
        }


def expected_steps(weights: Tensor) -> Tensor:
    """Expected number of steps (B,) under weights (T, B)."""
    numbers = torch.arange(1, len(weights) + 1, device=weights.device, dtype=weights.dtype)
    return (weights * numbers[:, None]).sum(0)


def geometric_prior(parameter: float, like: Tensor) -> Tensor:
    """Geometric distribution on 1..T, normalised over the T rows of `like`."""
    numbers = torch.arange(len(like), device=like.device, dtype=like.dtype)
    masses = parameter * (1 - parameter) ** numbers
    return masses / masses.sum()
