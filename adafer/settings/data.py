"""Settings of the input: which faces, how they are prepared, balanced and varied."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which faces are read and how they reach the model."""

    data: str = "toy"
    """SOURCE: a path whose layout is recognised, or `toy` for the built-in drawn faces."""
    layout: str = "auto"
    """Layout of the path, where it is recognised wrongly."""
    label_order: Literal["auto", "ferplus", "fer2013"] = "auto"
    """Meaning of the numbers in a CSV with pixels: FER+'s order (0-7) or FER2013's (0-6)."""
    train_labels: Literal["votes", "majority"] = "votes"
    """FER+ training faces: every face with votes, or only those with a clear majority."""
    roots: tuple[str, ...] = ()
    """More folders in which the relative paths of a CSV are looked for."""
    validation_fraction: float = 0.1
    """Share of train carved off, stratified and seeded, where a data set has no validation."""
    split_seed: int = 0
    """Seed of that carving; kept apart from the training seed so that runs share a validation."""
    img_size: int = 48
    """Side of the square face that the model sees, in pixels."""
    grey: bool = True
    """Drop colour (the three channels then hold the same luminance)."""
    balance: Literal["none", "sampler", "weights"] = "none"
    """Class balance: a weighted sampler, or class weights in the loss."""
    balance_power: float = 0.6
    """Class weight = frequency to minus this power, scaled to mean 1 over the faces."""
    augment: Literal["none", "light", "strong"] = "strong"
    """Random shift, scale, rotation, flip, dropout and colour jitter of training faces."""
    batch_size: int = 128
    """Faces per optimiser step."""
    workers: int = -1
    """Processes that prepare faces; -1 chooses from the machine. The result does not change."""
    max_bad: float = 0.0
    """Share of unreadable image files that may be left out; more stops before training."""
    leaks: Literal["stop", "drop", "allow"] = "stop"
    """Faces of train that are in validation or test too, pixel for pixel: stop, drop them from
    train, or allow them; the run record says how many."""
    toy_faces: int = 4000
    """Number of training faces that `toy` draws; a quarter as many for validation and test."""
    toy_classes: Literal[7, 8] = 7
    """Emotions that `toy` draws."""
    toy_ambiguity: float = 0.35
    """Share of toy faces blended from two emotions, whose votes say so."""
    toy_seed: int = 0
    """Seed of the drawing."""
