"""A backbone of timm and a head of ours: the models of transfer learning, and ResNet-18.

Legend: B images, C classes, D features.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from adafer.contracts import Output
from adafer.errors import WordsError
from adafer.models.stages import stages_of_backbone
from adafer.settings.model import GrefelSettings, TransferSettings

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

# timm is imported where it is used: that takes longer than torch, and most models need none of it.

_OLD_NOISY_STUDENT = re.compile(r"(tf_efficientnet_\w+)_ns")


@dataclass(frozen=True, kw_only=True)
class InputNeeds:
    """What the published weights of a backbone were trained on (timm's data configuration)."""

    size: int  # side in pixels
    mean: tuple[float, float, float]  # on the scale 0-1
    std: tuple[float, float, float]


class TransferNet(nn.Module):
    """Any timm backbone with pooled features, and one linear layer or a deeper head on top.

    The deeper head is Linear, ReLU, LayerNorm, Dropout, Linear. Every backbone starts at random;
    `pretrained.load` fills it.
    """

    wants_landmarks = False
    sized = True  # built for one size of face

    def __init__(self, settings: TransferSettings, classes: int, img_size: int) -> None:
        super().__init__()
        self.backbone_name = present_name(settings.backbone)
        self.backbone = backbone_of(self.backbone_name, img_size, drop_path=settings.drop_path)
        self.classifier = _head(_width(self.backbone), settings, classes)

    def forward(self, images: Tensor) -> Output:
        """Answer for faces (B, 3, H, W)."""
        features = self.backbone(images)  # (B, D)
        return Output(logits=self.classifier(features), features=features)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Name the parts from stem to head; loose parameters of the backbone are in the stem."""
        return [*stages_of_backbone(self.backbone), ("classifier", self.classifier)]


def present_name(backbone: str) -> str:
    """Return timm's present name of a backbone, noisy-student EfficientNets by their old one too.

    Raises:
        WordsError: if timm has no such backbone or weights; the nearest names are told.
    """
    import timm

    old = _OLD_NOISY_STUDENT.fullmatch(backbone)
    name = f"{old[1]}.ns_jft_in1k" if old else backbone
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), 3, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them"
        raise WordsError(f"timm has no backbone {backbone!r}; {hint}")
    known = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in known:
        raise WordsError(
            f"timm has no weights {backbone!r}; there are {', '.join(known) or 'none'}"
        )
    return name


def input_needs(settings: TransferSettings | GrefelSettings) -> InputNeeds:
    """Return the size, mean and deviation that the backbone's published weights expect."""
    config = published(present_name(settings.backbone))
    mean, std = tuple(map(float, config.mean)), tuple(map(float, config.std))
    return InputNeeds(
        size=int(config.input_size[-1]),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )


def published(name: str) -> "PretrainedCfg":
    """Return what timm knows of a backbone's published weights; raises WordsError if nothing."""
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise WordsError(f"timm says nothing of the input of {name!r}; choose another --backbone")
    return config


def backbone_of(
    name: str,
    img_size: int,
    *,
    drop_path: float = 0.0,
    patch_size: int = 0,
    depth: int = 0,
    embed_layer: type[nn.Module] | None = None,
) -> Any:
    """Build a backbone of timm with random weights, for faces of this side in pixels.

    `patch_size`, `depth` (blocks) and `embed_layer` are those of a ViT; 0 or None keeps its own.

    Raises:
        WordsError: if it cannot be built so.
    """
    import timm

    extra: dict[str, Any] = {}
    if published(name).fixed_input_size:
        extra["img_size"] = img_size
    given = {
        "drop_path_rate": drop_path,
        "patch_size": patch_size,
        "depth": depth,
        "embed_layer": embed_layer,
    }
    extra |= {word: value for word, value in given.items() if value}
    try:
        backbone = timm.create_model(name, pretrained=False, num_classes=0, **extra)
    except (TypeError, AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise WordsError(
            f"{name} cannot be built for --img-size {img_size} and --drop-path {drop_path:g} "
            f"({told}); change them or --backbone"
        ) from None
    patch = getattr(getattr(backbone, "patch_embed", None), "patch_size", (1, 1))[0]
    if img_size % patch:
        raise WordsError(
            f"{name} reads patches of {patch} pixels, and --img-size {img_size} is no multiple; "
            f"use {max(1, round(img_size / patch)) * patch}"
        )
    return backbone


def _width(backbone: nn.Module) -> int:
    """D, as timm documents it: the width after the pooling and what lies between it and a head."""
    found: Any = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return int(found)


def _head(width: int, settings: TransferSettings, classes: int) -> nn.Module:
    if settings.head == "linear":
        return nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(width, classes))
    return nn.Sequential(
        nn.Linear(width, settings.head_width),
        nn.ReLU(),
        nn.LayerNorm(settings.head_width),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.head_width, classes),
    )
