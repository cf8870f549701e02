"""TinyVGG: the floor that any other model has to beat.

The CNN Explainer's TinyVGG (Wang et al. 2020, arXiv:2004.15004). Differs: adaptive average pooling
before the classifier, so that any input size works. Legend: B images, C classes, D features.
"""

from torch import Tensor, nn

from adafer.contracts import Output
from adafer.settings.model import TinyVGGSettings


def _block(inputs: int, width: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, width):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class TinyVGG(nn.Module):
    """Two blocks of two 3x3 convolutions, pooled to a 3 by 3 grid, one linear layer."""

    wants_landmarks = False

    def __init__(self, settings: TinyVGGSettings, classes: int) -> None:
        super().__init__()
        width = settings.width
        self.block_1 = _block(3, width, settings.batch_norm)
        self.block_2 = _block(width, width, settings.batch_norm)
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Linear(width * 9, classes)

    def forward(self, images: Tensor) -> Output:
        """Answer for faces (B, 3, H, W) of at least 12 by 12 pixels."""
        features = self.pool(self.block_2(self.block_1(images))).flatten(1)  # (B, D)
        return Output(logits=self.classifier(features), features=features)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Name the parts from stem to head."""
        return [
            ("block_1", self.block_1),
            ("block_2", self.block_2),
            ("classifier", self.classifier),
        ]
