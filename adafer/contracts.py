"""The types that parts hand to each other, and what is asked of a model and of a loss.

Legend used everywhere: B images in a batch, C classes, D features, T thinking steps, N in a split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

Memory = TypeVar("Memory")
Terms = Mapping[str, Tensor]
"""Named scalar terms of a loss, already weighted; the engine adds them up."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Faces ready for a model, and what is known about them."""

    images: Tensor  # (B, 3, H, W) normalised
    labels: Tensor  # (B,) class index in the order of the listing's class names
    votes: Tensor | None = None  # (B, C) annotator share, where the data set has it
    landmarks: Tensor | None = None  # (B, P, 2) in pixels of `images`
    teacher: Tensor | None = None  # (B, C) a larger model's logits
    partners: Tensor | None = None  # (B,) place in this batch of the face blended into each one
    shares: Tensor | None = None  # (B,) what is left of the face itself, 0 to 1
    ids: tuple[str, ...]  # B stable names, so a prediction can be traced to its image
    whole: int | None = None  # faces of the batch that this is a process's part of


@dataclass(frozen=True, kw_only=True)
class Output:
    """What any model answers."""

    logits: Tensor  # (B, C) the answer: all that metrics, export and serving read
    features: Tensor | None = None  # (B, D)


@dataclass(frozen=True, kw_only=True)
class StepOutput(Output):
    """What a model that thinks in steps answers; T is the number of steps that were run.

    Only `step_logits` and `step_probs` may hold more steps than a face needed: which faces share
    its batch then decides how many, never what they say.
    """

    step_logits: Tensor  # (T, B, C)
    step_probs: Tensor  # (T, B) raw halting probabilities
    weights: Tensor  # (T, B), sums to 1 over T
    remainder: Tensor  # (B,) probability mass given to the last step
    ponder_cost: Tensor  # (B,) continuous cost, Graves' N + R
    steps: Tensor  # (B,) whole steps taken

    def __iter__(self) -> Iterator[Tensor]:
        """Unpack as `logits, ponder_cost, step_probs`."""
        return iter((self.logits, self.ponder_cost, self.step_probs))


@runtime_checkable
class Model(Protocol):
    """An nn.Module that also says how it is built up."""

    wants_landmarks: bool

    def __call__(self, images: Tensor) -> Output:
        """Answer for a batch of faces (B, 3, H, W)."""
        ...

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Name the parts from stem to head."""
        ...


@runtime_checkable
class StepModel(Protocol):
    """A model whose loop can be run from outside, one step at a time."""

    max_steps: int

    def begin(self, images: Tensor) -> Any:
        """Start a memory, a frozen dataclass of tensors (B, ...), from a batch of faces."""
        ...

    def step(self, memory: Any) -> Any:
        """Think once."""
        ...

    def read(self, memory: Any) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and halting probability (B,) of the memory."""
        ...

    def finished(self, scores: Tensor) -> Tensor:
        """Whether each face (B,) needs no more, from its scores (t, B) of the steps so far."""
        ...

    def answer(self, step_logits: Tensor, scores: Tensor) -> StepOutput:
        """Answer from the logits (t, B, C) and the scores (t, B) of the steps that were run."""
        ...


class Loss(Protocol):
    """Named terms from an answer; `progress` runs from 0 to 1 over the training."""

    def __call__(self, output: Any, batch: Batch, progress: float) -> Terms:
        """Weighted scalar terms whose sum is the loss."""
        ...
