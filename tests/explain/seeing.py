"""Models and faces of which is known what decides: the mouth, and nothing else."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.contracts import Output

SIDE = 32
MOUTH = (slice(20, 28), slice(10, 22))
"""Rows and columns of the mouth."""


def faces(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy faces (N, 3, S, S) with eyes; those of class 1 of 2 (N,) have a striped mouth."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = 0.2 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
    images[:, :, 8:12, 6:12] += 1
    images[:, :, 8:12, 20:26] += 1
    stripes = 1.5 * (2.0 * (torch.arange(MOUTH[1].stop - MOUTH[1].start) % 2) - 1)
    images[:, :, MOUTH[0], MOUTH[1]] += labels[:, None, None, None] * stripes
    return images.repeat(1, 3, 1, 1), labels


class Net(nn.Module):
    """Two convolutions and a linear layer on their average."""

    wants_landmarks = False

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.high = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Output:
        return Output(logits=self.classifier(self.high(self.low(images)).mean((2, 3))))

    def stages(self) -> list[tuple[str, nn.Module]]:
        return [("low", self.low), ("high", self.high), ("classifier", self.classifier)]


def taught(model: nn.Module, steps: int = 80) -> nn.Module:
    """Teach a model the mouth, until it knows it."""
    images, labels = faces(64)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(images).logits, labels).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        assert bool((model(images).logits.argmax(1) == labels).all())
    return model


def share_in_mouth(maps: np.ndarray) -> float:
    """Share of what maps (N, H, W) mark that lies in the mouth, or at most two pixels off."""
    marked = np.abs(maps)
    rows, columns = (slice(part.start - 2, part.stop + 2) for part in MOUTH)
    return float((marked[:, rows, columns].sum((1, 2)) / marked.sum((1, 2)).clip(1e-12)).mean())


MOUTH_AREA = 12 * 16 / SIDE**2
"""Share of a face that the mouth and its rim take."""
