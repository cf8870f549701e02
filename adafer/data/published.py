"""Faces of each class that a complete copy of a data set has, and who counted them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adafer.labels import AFFECTNET_ORDER, FER2013_ORDER, FERPLUS_ORDER, RAFDB_ORDER


@dataclass(frozen=True, kw_only=True)
class PublishedCounts:
    """Counts of the splits of one data set under one rule."""

    splits: Mapping[str, Mapping[str, int]]
    source: str


def _counts(order: Sequence[str], source: str, **splits: Sequence[int]) -> PublishedCounts:
    return PublishedCounts(
        splits={split: dict(zip(order, numbers, strict=True)) for split, numbers in splits.items()},
        source=source,
    )


RAFDB = _counts(
    RAFDB_ORDER,
    "RAF-DB's EmoLabel/list_patition_label.txt; Li, Deng and Du, CVPR 2017",
    train=(1290, 281, 717, 4772, 1982, 705, 2524),
    test=(329, 74, 160, 1185, 478, 162, 680),
)
FER2013 = _counts(
    FER2013_ORDER,
    "Usage of fer2013.csv; Goodfellow et al. 2013, arXiv:1307.0414",
    train=(3995, 436, 4097, 7215, 4830, 3171, 4965),
    val=(467, 56, 496, 895, 653, 415, 607),
    test=(491, 55, 528, 879, 594, 416, 626),
)
FERPLUS = _counts(
    FERPLUS_ORDER,
    "majority of label.csv, ones dropped: 25,045 / 3,191 / 3,137; Barsoum et al. 2016, "
    "arXiv:1608.01041; classes counted by this project",
    train=(8733, 7284, 3136, 3022, 2098, 116, 536, 120),
    val=(1180, 862, 411, 348, 289, 25, 60, 16),
    test=(1083, 892, 394, 382, 269, 16, 86, 15),
)
FERPLUS_VOTES = _counts(
    FERPLUS_ORDER,
    "most votes for an emotion in label.csv, ones dropped; counted by this project",
    train=(10376, 7537, 3583, 3559, 2476, 195, 659, 170),
)
FERPLUS_CSV = _counts(
    FERPLUS_ORDER,
    "majority of fer2013new.csv, ones dropped; counted by this project",
    train=(8739, 7287, 3149, 3013, 2099, 119, 532, 119),
    val=(1182, 865, 415, 351, 287, 24, 62, 13),
    test=(1089, 893, 396, 384, 273, 18, 83, 16),
)
FERPLUS_CSV_VOTES = _counts(
    FERPLUS_ORDER,
    "most votes for an emotion in fer2013new.csv, ones dropped; counted by this project",
    train=(10386, 7539, 3588, 3548, 2477, 194, 656, 167),
)
_AFFECTNET_TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
AFFECTNET = _counts(
    AFFECTNET_ORDER,
    "AffectNet's manual lists; Mollahosseini et al. 2017, arXiv:1708.03985, table 3",
    train=_AFFECTNET_TRAIN,
    val=(500,) * 8,
)
AFFECTNET_RELEASE = _counts(
    AFFECTNET_ORDER,
    "AffectNet's release of 2021: 287,651 train, 3,999 validation",
    train=_AFFECTNET_TRAIN,
    val=(*(500,) * 7, 499),
)

_BY_LAYOUT = {
    "rafdb": RAFDB,
    "rafdb-kaggle": RAFDB,
    "affectnet": AFFECTNET,
    "affectnet-npy": AFFECTNET_RELEASE,
    "affectnet-txt": AFFECTNET_RELEASE,
}


def published(
    layout: str, split: str, classes: int | None = None, train_labels: str = "votes"
) -> Mapping[str, int] | None:
    """Faces of each class in a complete split, or None where nobody has published them.

    `classes` is the number of class names of the listing: it tells FER2013 (7) from FER+ (8) in
    `fer-csv`, and AffectNet without contempt (7). `train_labels` is FER+'s setting of that name.
    A carved validation is a part of train: compare the sum of both with train.
    """
    known = _known(layout, split, classes, train_labels)
    counts = known.splits.get(split) if known else None
    if counts and layout.startswith("affectnet") and classes == len(AFFECTNET_ORDER) - 1:
        return {name: count for name, count in counts.items() if name != "contempt"}
    return counts


def counted_by(
    layout: str, split: str, classes: int | None = None, train_labels: str = "votes"
) -> str | None:
    """Say where the counts that `published` gives come from, or None where it gives none."""
    known = _known(layout, split, classes, train_labels)
    return known.source if known and split in known.splits else None


def _known(
    layout: str, split: str, classes: int | None, train_labels: str
) -> PublishedCounts | None:
    by_votes = split == "train" and train_labels == "votes"
    if layout == "ferplus":
        return FERPLUS_VOTES if by_votes else FERPLUS
    if layout == "ferplus-csv":
        return FERPLUS_CSV_VOTES if by_votes else FERPLUS_CSV
    if layout == "fer-csv":
        return {len(FER2013_ORDER): FER2013, len(FERPLUS_ORDER): FERPLUS}.get(classes or 7)
    return _BY_LAYOUT.get(layout)
