"""A training small enough to run dozens of times: model, loss and faces made in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.contracts import Batch, Output
from adafer.settings.training import PhaseSettings, TrainSettings

CLASSES = 3
PHASES = (
    PhaseSettings(epochs=1, stages=("head",), lr=1e-2),
    PhaseSettings(epochs=2, lr=5e-3, lr_backbone_factor=0.5),
)
TRAIN = TrainSettings(accumulate=2, device="cpu", precision="fp32", ema=0.9, seed=3)


class TinyModel(nn.Module):
    """A stem with batch norm and dropout, so that a wrong mode or seed shows, and a head."""

    wants_landmarks = False

    def __init__(self, classes: int = CLASSES, dropout: float = 0.2, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Output:
        features = self.stem(images).mean((2, 3))
        return Output(logits=self.head(self.dropout(features)))

    def stages(self) -> list[tuple[str, nn.Module]]:
        return [("stem", self.stem), ("head", self.head)]


class NormlessModel(TinyModel):
    """Without batch norm and dropout: each face's gradient is its own."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def cross_entropy(output: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
    """The one term `classification`."""
    return {"classification": functional.cross_entropy(output.logits.float(), batch.labels)}


@dataclass(frozen=True)
class MemoryBatches:
    """Faces drawn from a seed; their order is a pure function of (seed, epoch)."""

    faces: int = 27
    batch_size: int = 4
    seed: int = 0
    ignore_start: bool = False  # the mistake that the negative control makes

    @property
    def batches_per_epoch(self) -> int:
        return -(-self.faces // self.batch_size)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        images, labels = self.all()
        order = torch.randperm(
            self.faces, generator=torch.Generator().manual_seed(1000 * self.seed + epoch)
        )
        for number in range(0 if self.ignore_start else start, self.batches_per_epoch):
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield Batch(
                images=images[chosen],
                labels=labels[chosen],
                ids=tuple(f"face-{i}" for i in chosen.tolist()),
            )

    def all(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        images = torch.randn(self.faces, 3, 6, 6, generator=generator)
        labels = torch.arange(self.faces) % CLASSES
        images[:, 0] += labels[:, None, None]
        return images, labels
