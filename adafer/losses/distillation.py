"""Learning a larger model's answers. Legend: B images, C classes."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from adafer.contracts import Batch, Output, Terms
from adafer.errors import WordsError
from adafer.losses.classification import Targets, cross_entropy
from adafer.models.halting import at_least_float32
from adafer.settings.loss import DistillationSettings


@dataclass(frozen=True, kw_only=True)
class DistillationLoss(DistillationSettings, Targets):
    """(1 - alpha) x cross-entropy + alpha x T^2 x KL(teacher || student) at temperature T.

    Hinton et al. 2015, arXiv:1503.02531, sec. 2; T^2 keeps the size of the gradient. The teacher's
    logits come with the batch. Class weights multiply the cross-entropy alone: the teacher has
    learned under its own.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("classification", "distillation")

    def __call__(self, output: Output, batch: Batch, progress: float) -> Terms:
        """Return the terms `classification` and `distillation`.

        Raises:
            WordsError: a batch without a teacher's logits.
        """
        if batch.teacher is None:
            raise WordsError("--loss distillation needs a trained model; give --teacher RUN")
        per_face = cross_entropy(output.logits, self.targets(batch, output.logits))  # (B,)
        learned = divergence(output.logits, batch.teacher, self.temperature)  # (B,)
        return {
            "classification": (1 - self.alpha) * (per_face * self.face_weights(batch)).mean(),
            "distillation": self.alpha * self.temperature**2 * learned.mean(),
        }


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) (B,) of two rows of logits (B, C), both divided by a temperature."""
    ours = (at_least_float32(student) / temperature).log_softmax(-1)
    theirs = (at_least_float32(teacher) / temperature).log_softmax(-1)
    return (theirs.exp() * (theirs - ours)).sum(-1)
