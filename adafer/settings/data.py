"""Settings of the input: which faces, how they are prepared, balanced and varied."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which faces are read and how they reach the model."""

    data: str = "toy"
    """SOURCE: a path whose layout is recognised, `hf:OWNER/NAME[:CONFIG][@REVISION]` of the Hugging
    Face hub, `kaggle[:NAME]` for what is attached on Kaggle (NAME: a part of its path), or `toy`
    for the built-in drawn faces."""
    layout: str = "auto"
    """Layout of the path, where it is recognised wrongly."""
    train_csv: str = ""
    """CSV of the training faces, instead of --data: columns `pixels` and `emotion`, whose numbers
    0-7 are in FER+'s order unless --label-order says otherwise; or a path and a label column."""
    val_csv: str = ""
    """CSV of the validation faces, of the same kind as --train-csv; without it validation is carved
    from train."""
    label_order: Literal["auto", "ferplus", "fer2013", "affectnet"] = "auto"
    """Whose order the numbers of a CSV or of class folders have: FER+'s (0-7), FER2013's (0-6) or
    AffectNet's (0-7)."""
    num_classes: int = 0
    """Classes that the data must have, else nothing is trained; 0 takes as many as it has."""
    affectnet_classes: Literal[7, 8] = 8
    """Emotions of AffectNet; 7 leaves contempt out."""
    rafdb_pictures: Literal["aligned", "original"] = "aligned"
    """RAF-DB's aligned faces, or the faces cut from its original pictures, which have landmarks."""
    rafdb_landmarks: Literal[5, 37] = 5
    """Points of each original face of RAF-DB: 5 set by hand or 37 found by a program."""
    train_labels: Literal["votes", "majority"] = "votes"
    """FER+ training faces: every face with votes, or only those with a clear majority."""
    evaluation_faces: Literal["majority", "votes"] = "majority"
    """FER+ validation and test faces: those with a clear majority, as the protocol says, or every
    face with votes, for comparisons with people."""
    roots: tuple[str, ...] = ()
    """More folders in which the relative paths of a CSV are looked for."""
    group_column: str = ""
    """Column of a CSV, or attribute of the faces, that says which faces belong together, such as
    those of one person; `subject`, `identity`, `person` and `group` are found without it."""
    image_col: str = ""
    """Column of a parquet, arrow or hub data set that holds the faces, where there are several."""
    label_col: str = ""
    """Column of a parquet, arrow or hub data set that holds the labels, where that is unclear."""
    map: tuple[str, ...] = ()
    """Classes of such a data set under other names: NAME=EMOTION,...; NAME=drop leaves its faces
    out, NAME=NAME keeps a name that is no basic emotion."""
    landmarks: str = "auto"
    """Landmarks, for a model that reads them: `auto` (those of the data set, where it has some),
    `data`, `canonical` (none: a learned layout stands for all faces), `detector`, or a CSV that
    `adafer data landmarks` wrote."""
    face_detector: str = ""
    """File of the face detector (YuNet, ONNX) of `--landmarks detector`."""
    also: tuple[str, ...] = ()
    """More SOURCEs, whose training faces join those of the first; their classes are matched by
    name."""
    synthetic: tuple[str, ...] = ()
    """SOURCEs of drawn or generated faces, such as `toy`, that join train and nothing else."""
    synthetic_fraction: float = 0.5
    """Largest share of the training faces that may be synthetic; the rest of them is left out."""
    unknown_classes: Literal["stop", "drop"] = "stop"
    """Faces of a further source whose class the first lacks: stop, or drop them and count them."""
    validation_fraction: float = 0.1
    """Share of train carved off, stratified and seeded, where a data set has no validation."""
    split_seed: int = 0
    """Seed of that carving, and of the folds; kept apart from the training seed so that runs share
    a validation."""
    folds: int = 0
    """K-fold: train and validation are put together and dealt into so many folds, test is left
    alone; 0 keeps the data set's own splits. `adafer crossval` trains all folds."""
    fold: int = 0
    """Which of the --folds is held out as validation, from 1 on."""
    img_size: int = 48
    """Side of the square face that the model sees, in pixels; 0 takes the backbone's own."""
    crop: float = 1.0
    """Share of each side that evaluation keeps around the middle; 0.875 resizes to 1.14 times
    --img-size first."""
    grey: bool = True
    """Drop colour (the three channels then hold the same luminance)."""
    balance: Literal["none", "sampler", "weights"] = "none"
    """Class balance: a weighted sampler, or class weights in the loss."""
    balance_power: float = 0.6
    """Class weight = frequency to minus this power, scaled to mean 1 over the faces."""
    augment: Literal["none", "light", "strong", "transfer"] = "strong"
    """Random shift, scale, rotation, flip, dropout and colour jitter of training faces; `transfer`
    is a resized crop, flip, rotation, colour jitter and one erased patch."""
    augment_engine: Literal["face", "batch"] = "face"
    """Vary training faces one by one (albumentations), or whole batches on the device, which is
    faster; the same family, other random numbers."""
    batch_size: int = 128
    """Faces per optimiser step."""
    workers: int = -1
    """Processes that prepare faces; -1 chooses from the machine. The result does not change."""
    cache: Literal["auto", "memory", "disk"] = "auto"
    """Where decoded faces are kept: in memory, in a temporary file, or auto, which takes a file
    where they need more than half of the free memory. The result does not change."""
    max_bad: float = 0.0
    """Share of missing or of unreadable image files that may be left out; more stops a training."""
    label_noise: float = 0.0
    """Share of the training labels that is flipped on purpose, to study what a loss makes of wrong
    labels; validation and test stay as they are."""
    leaks: Literal["stop", "drop", "drop-near", "allow"] = "stop"
    """Faces of train that are in validation or test too: stop, drop those that are there pixel for
    pixel, drop re-encoded, cut and mirrored ones as well (takes a minute to find them), or allow
    them; the run record says how many."""
    toy_faces: int = 4000
    """Number of training faces that `toy` draws; a quarter as many for validation and test."""
    toy_classes: Literal[7, 8] = 7
    """Emotions that `toy` draws."""
    toy_ambiguity: float = 0.35
    """Share of toy faces blended from two emotions, whose votes say so."""
    toy_seed: int = 0
    """Seed of the drawing."""

    @property
    def source(self) -> str:
        """What was named: SOURCE, or the CSV files that stand instead of it."""
        return " and ".join(filter(None, (self.train_csv, self.val_csv))) or self.data
