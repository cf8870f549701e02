"""Settings of the training loop."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PhaseSettings:
    """One stretch of training: how long, which stages learn, how fast."""

    epochs: int = 20
    """Passes over the training faces in this phase."""
    freeze_backbone_epochs: int = 0
    """The first of these epochs, in which only the head learns, under a linearly rising rate."""
    stages: tuple[str, ...] = ()
    """Names of the model's stages that learn, `head` for the last; empty means all of them."""
    lr: float = 2e-3
    """Peak learning rate of AdamW; the head's, where the backbone has its own."""
    lr_backbone_factor: float = 1.0
    """Learning rate of every stage but the last, as a share of `lr`; --lr-backbone sets it as a
    rate."""
    layer_decay: float = 1.0
    """Factor on the rate per stage, from the head down to the stem (layer-wise rates)."""
    weight_decay: float = 0.05
    """Decoupled weight decay, on matrices and kernels only."""
    warmup: float = 0.1
    """Share of the phase with a linearly rising rate, before `schedule` sets in."""
    schedule: Literal["cosine", "one-cycle", "cosine-restarts", "constant"] = "cosine"
    """Cosine to zero; one cycle (rise over the first 0.3, then down, whatever --warmup says); a
    cosine that starts again, each time twice as long; or a constant rate."""
    restarts: int = 2
    """How often `cosine-restarts` starts again."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What holds for the whole training, whatever the phase."""

    clip: float = 1.0
    """Largest norm of the gradient; 0 switches clipping off."""
    ema: float = 0.998
    """Decay of the moving average of the weights that is validated and kept; 0 switches it off."""
    mixup: float = 0.0
    """MixUp: faces blended in pairs, in a share drawn from Beta(this, this); 0 switches it off."""
    cutmix: float = 0.0
    """CutMix: a box of another face pasted in, its area drawn from Beta(this, this); 0 switches it
    off. With MixUp too, each batch gets one of them."""
    mix_probability: float = 1.0
    """Share of the batches that MixUp or CutMix changes."""
    accumulate: int = 1
    """Batches whose gradients are summed before a step."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward pass; auto asks the machine."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    processes: int = 0
    """Processes that share each batch, a GPU each; 0 takes every GPU that gets 16 faces of a batch,
    unless --device names one."""
    compile: bool = False
    """torch.compile the model; pays on long GPU runs."""
    monitor: Literal["val_macro_f1", "val_acc", "val_loss"] = "val_macro_f1"
    """Figure by which the best epoch is chosen and early stopping decides."""
    patience: int = 0
    """Epochs without a better figure before training stops early; 0 never stops."""
    min_delta: float = 0.0
    """Smallest change of that figure that counts as better."""
    seed: int = 0
    """Seed of the weights, the order and the augmentation."""
    deterministic: bool = False
    """Refuse operations whose result can change from run to run."""
    weight_stats: Literal["off", "head", "all"] = "off"
    """Write the spread of weights and gradients of each layer after every epoch, and the final
    weights as text."""
