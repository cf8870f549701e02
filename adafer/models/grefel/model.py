"""GReFEL: a ViT of timm, attention from landmarks, and an answer balanced by anchors.

Legend: B images, C classes, P landmarks, N patches, D features, K anchors a class, R their width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adafer.contracts import Output
from adafer.errors import WordsError
from adafer.models.grefel.anchors import ReliabilityBalancing
from adafer.models.grefel.attention import GeometryAttention, in_face
from adafer.models.grefel.stem import ConvStem
from adafer.models.stages import Parts, stages_of_backbone
from adafer.models.transfer import backbone_of, present_name
from adafer.settings.model import GrefelSettings

CANONICAL = "canonical"
"""Landmark source of a model that sees none: the learned layout stands for every face's."""


@dataclass(frozen=True, kw_only=True)
class GrefelOutput(Output):
    """An answer and how it came about; logs of distributions, None where a part is off.

    `logits` are the logarithms of the corrected distribution.
    """

    primary: Tensor  # (B, C) what the classifier alone says
    correction: Tensor | None = None  # (B, C) what anchors and attention say
    confidence: Tensor | None = None  # (B,) of the primary, 0 to 1
    embedding: Tensor | None = None  # (B, R) of length 1
    anchors: Tensor | None = None  # (C, K, R) of length 1


class GrefelNet(nn.Module):
    """Geometry-aware and reliability-balanced expression learning (GReFEL).

    Wasi et al. 2024, arXiv:2410.15927. Written anew from the formulas; no figures of the paper are
    claimed. Differs: see GeometryAttention and ReliabilityBalancing. With `geometry`,
    `anchor_correction` and `attentive_correction` off this is the backbone and one linear layer.
    """

    sized = True  # built for one size of face

    def __init__(self, settings: GrefelSettings, classes: int, img_size: int) -> None:
        super().__init__()
        self.wants_landmarks = settings.geometry and settings.landmark_source != CANONICAL
        self.points = settings.points or 5
        self.backbone_name = present_name(settings.backbone)
        self.backbone = backbone_of(
            self.backbone_name,
            img_size,
            drop_path=settings.drop_path,
            patch_size=settings.patch_size,
            depth=settings.backbone_depth,
            embed_layer=ConvStem if settings.stem == "conv" else None,
        )
        width, grid = _patches(self.backbone, self.backbone_name)
        if width % settings.geometry_heads or settings.anchor_dim % 4:
            raise WordsError(
                f"--geometry-heads must divide the {width} features of {self.backbone_name}, and "
                "4 must divide --anchor-dim; change them"
            )
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(width, classes)
        self.geometry = self.balancing = None
        if settings.geometry:
            self.geometry = GeometryAttention(width, self.points, settings.geometry_heads, grid)
        if settings.anchor_correction or settings.attentive_correction:
            self.balancing = ReliabilityBalancing(width, classes, settings)
        self.register_buffer("progress", torch.ones(()))  # set by the training loop
        self.progress: Tensor

    def forward(self, images: Tensor, landmarks: Tensor | None = None) -> GrefelOutput:
        """Answer for faces (B, 3, H, W) with landmarks (B, P, 2) in pixels, NaN where unknown."""
        seen = self.backbone.forward_features(images)  # (B, prefix + N, D)
        features = self.backbone.forward_head(seen, pre_logits=True)  # (B, D)
        tokens = seen[:, self.backbone.num_prefix_tokens :]  # (B, N, D)
        if self.geometry is not None:
            given = None if landmarks is None else in_face(landmarks, *images.shape[2:])
            added, landmark_tokens = self.geometry(tokens, given)
            features = features + added
            tokens = torch.cat([tokens, landmark_tokens], 1)
        logits = self.classifier(self.dropout(features))
        if self.balancing is None:
            return GrefelOutput(logits=logits, primary=logits.log_softmax(1), features=features)
        found = self.balancing(features, tokens, logits, self.progress)
        return GrefelOutput(
            logits=found.answer,
            features=features,
            primary=found.primary,
            correction=found.correction,
            confidence=found.confidence,
            embedding=found.embedding,
            anchors=found.anchors,
        )

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Name the parts from stem to head; all that is new over the backbone is the head."""
        new = [part for part in (self.geometry, self.balancing) if part is not None]
        head = Parts([*new, self.classifier]) if new else self.classifier
        return [*stages_of_backbone(self.backbone), ("classifier", head)]


def _patches(backbone: Any, name: str) -> tuple[int, tuple[int, int]]:
    """D and the grid of patches of a ViT; raises WordsError for another kind of backbone."""
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if grid is None or not hasattr(backbone, "num_prefix_tokens"):
        raise WordsError(
            f"{name} has no patch tokens for landmarks to ask; give a ViT, such as "
            "--backbone vit_tiny_patch16_224"
        )
    return int(backbone.num_features), (int(grid[0]), int(grid[1]))
