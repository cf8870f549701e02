"""Settings of the models."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RecursiveSettings:
    """The recursive network: a stem, one shared block looped up to T times, a halting unit."""

    max_steps: int = 10
    """T, the most steps a face may take; may be changed after training."""
    channels: int = 64
    """Channels of the state that the loop refines."""
    stem_channels: int = 32
    """Channels after the stem's first convolution."""
    stem_stride: int = 4
    """Reduction from face to state; 48 pixels become a 12 by 12 state. 2 or 4."""
    memory: Literal["residual", "gru"] = "residual"
    """How a step enters the state: added to it, or through convolutional GRU gates."""
    halting: Literal["graves", "naive", "ponder", "confidence", "none"] = "graves"
    """Rule that decides when a face has been looked at for long enough."""
    remainder: Literal["additive", "multiplicative"] = "additive"
    """Graves' remainder: what the sum leaves, or the product of (1 - p)."""
    halt_bias: float = 1.0
    """Starting bias of the halting unit; +1 makes every face take two steps at first."""
    halt_epsilon: float = 0.01
    """Halting stops when the cumulative probability reaches 1 minus this."""
    confidence: float = 0.8
    """Probability of the leading emotion at which the `confidence` rule stops."""
    min_steps: int = 1
    """Fewest steps of the `confidence` rule and of PonderNet's quantile exit."""
    run_all_steps: bool = False
    """Train on all T steps even after every face of the batch has halted."""
    pool: int = 3
    """Side of the grid that the classifier reads; 1 is a global average."""
    dropout: float = 0.1
    """Dropout before the classifier."""
    checkpoint_block: bool = False
    """Gradient checkpointing: store only the state of each step and recompute the rest."""


@dataclass(frozen=True, kw_only=True)
class TinyVGGSettings:
    """TinyVGG: two blocks of two convolutions, adaptive average pooling, one linear layer."""

    width: int = 16
    """Channels of every convolution."""
    batch_norm: bool = True
    """Batch normalisation after each convolution."""


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """A backbone of timm, with published weights or from random start, and a head of ours."""

    backbone: str = "resnet50"
    """Any name of timm, with or without the tag of its weights (`resnet18.tv_in1k`)."""
    pretrained: bool = True
    """Start from published weights; without them the backbone starts at random."""
    weights: str = ""
    """File or folder of those weights (safetensors); empty asks the Hugging Face Hub."""
    head: Literal["linear", "deep"] = "linear"
    """One linear layer on the features, or Linear, ReLU, LayerNorm, Dropout, Linear."""
    head_width: int = 512
    """Width of the deeper head."""
    dropout: float = 0.2
    """Dropout in the head."""
    drop_path: float = 0.0
    """Stochastic depth of the backbone: largest chance that a block is passed over."""


@dataclass(frozen=True, kw_only=True)
class GrefelSettings:
    """GReFEL: a ViT, attention from landmarks, and an answer balanced by learned anchors."""

    backbone: str = "vit_base_patch16_224"
    """Any ViT of timm, with or without the tag of its weights."""
    patch_size: int = 0
    """Side of the ViT's patches in pixels; 0 keeps its own. Others need --no-pretrained."""
    stem: Literal["patch", "conv"] = "patch"
    """How faces become patches: one convolution as published, or a stack of 3 by 3 convolutions,
    which small ViTs need to learn from random start."""
    backbone_depth: int = 0
    """Blocks of the ViT; 0 keeps its own. Others need --no-pretrained."""
    pretrained: bool = True
    """Start from published weights; without them the backbone starts at random."""
    weights: str = ""
    """File or folder of those weights (safetensors); empty asks the Hugging Face Hub."""
    dropout: float = 0.1
    """Dropout before the classifier."""
    drop_path: float = 0.0
    """Stochastic depth of the backbone: largest chance that a block is passed over."""
    geometry: bool = True
    """Geometry-aware attention: landmarks ask the patches."""
    geometry_heads: int = 4
    """Heads of that attention."""
    points: int = 0
    """Landmarks of a face; 0 takes as many as the data has, or five."""
    landmark_source: str = ""
    """Where the landmarks come from; filled in when training starts, see --landmarks."""
    anchor_correction: bool = True
    """Correct an unsure answer by the distance to learned anchors."""
    attentive_correction: bool = True
    """Correct an unsure answer by attention over the face's own tokens and the anchors."""
    anchors_per_class: int = 10
    """Anchors (K) of each class."""
    anchor_dim: int = 128
    """Features of the sphere on which faces and anchors lie."""
    anchor_temperature: float = 0.2
    """Distance (delta) over which the similarity to an anchor falls to 1/e."""
    blend: Literal["trust", "confidence"] = "trust"
    """How the correction enters: the less sure the answer, the more, under a trust that rises over
    training; or both by their confidence."""


ModelSettings = RecursiveSettings | TinyVGGSettings | TransferSettings | GrefelSettings

MODEL_SETTINGS: dict[str, type[ModelSettings]] = {
    "recursive": RecursiveSettings,
    "tinyvgg": TinyVGGSettings,
    "transfer": TransferSettings,
    "grefel": GrefelSettings,
}
"""Model name to its settings."""
