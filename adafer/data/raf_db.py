"""RAF-DB, in its own layout and in Kaggle's."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adafer.data.csv_rows import Faults, Table, lines
from adafer.data.files import (
    OutsideRoot,
    Roots,
    SplitMissing,
    images_under,
    refuse_missing,
    some,
    split_folders,
    split_of,
)
from adafer.data.listing import Listing
from adafer.data.raf_db_annotation import annotated
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import RAFDB_ORDER, in_project_order
from adafer.settings.data import DataSettings

LISTS = ("EmoLabel/list_patition_label.txt", "list_patition_label.txt", "list_partition_label.txt")
"""The official list of both splits; its name is misspelt there too."""

SPLIT_LISTS = ("{}_label.txt", "EmoLabel/{}_label.txt")
_ALIGNED = ("Image/aligned", "aligned")
_ORIGINAL = ("Image/original", "original")
_FOLDERS = (*_ALIGNED, *_ORIGINAL, "Image", "", "{}")
_NAMES = in_project_order(frozenset(RAFDB_ORDER))
_NUMBERS = tuple(str(number) for number in range(1, len(RAFDB_ORDER) + 1))


def found(root: Path) -> bool:
    """Whether one of RAF-DB's label lists is here, or in `basic` below."""
    return _base(root) is not None


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """RAF-DB, single-label subset: EmoLabel/list_patition_label.txt beside Image/aligned.

    Also train_label.txt and test_label.txt beside the images; aligned faces go before original
    pictures. `rafdb_pictures` "original" takes the latter, cut to Annotation/boundingbox, with the
    landmarks of Annotation/manual (5) or auto (37, `rafdb_landmarks`), which belong to them alone.
    Gender, race and age as annotators saw them are attributes.
    Source: http://www.whdeng.cn/RAF/model1.html. Licence: by request, research only.
    Class order: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness,
    6 anger, 7 neutral. Counts: 12,271 train, 3,068 test, no validation; train by class 1-7: 1,290,
    281, 717, 4,772, 1,982, 705, 2,524; test: 329, 74, 160, 1,185, 478, 162, 680.
    Paper: Li, Deng and Du, CVPR 2017.
    """
    base = _base(root)
    if base is None:
        raise DataError(f"no RAF-DB in {root}: expected {LISTS[0]} or train_label.txt there")
    path = _list_of(base, split)
    if path is None:
        raise SplitMissing(f"no {split} list in {base}; add {split}_label.txt")
    original = settings.rafdb_pictures == "original"
    folders = [base / f.format(split) for f in (_ORIGINAL if original else _FOLDERS)]
    roots = Roots(folders, [root, *map(Path, settings.roots)])
    labels, pictures, missing = _faces(path, split, roots, original)
    way_out = f"put them in {_ORIGINAL[0] if original else 'Image/aligned or Image/original'}"
    total = len(missing) + len(labels)
    left_out = refuse_missing(path, missing, total, settings.max_bad, way_out)
    listing = Listing(
        layout="rafdb",
        split=split,
        class_names=_NAMES,
        ids=tuple(map(printable, labels)),
        labels=np.array(list(labels.values()), np.int64),
        pictures=tuple(pictures),
        left_out=left_out,
    )
    return annotated(listing, base / "Annotation", roots, settings.rafdb_landmarks)


def _faces(
    path: Path, split: str, roots: Roots, original: bool
) -> tuple[dict[str, int], list[Path], list[str]]:
    """Class position by image name, the pictures, and the names without a picture."""
    faults = Faults(path)
    labels: dict[str, int] = {}
    pictures: list[Path] = []
    missing: list[str] = []
    for line, name, number in _entries(path, split, faults):
        try:
            picture = (None if original else roots.find(_aligned(name))) or roots.find(name)
        except OutsideRoot:
            faults.add(line, f"{printable(name)!r} is outside the data root")
            continue
        if name in labels:
            faults.add(line, f"{printable(name)!r} stands twice")
        elif picture is None:
            missing.append(name)
        else:
            labels[name] = _position(number)
            pictures.append(picture)
    faults.check()
    return labels, pictures, missing


def found_kaggle(root: Path) -> bool:
    """Whether Kaggle's tree of numbered folders is here, with its label lists or DATASET."""
    base = _kaggle_base(root)
    if not (base / "train" / "1").is_dir():
        return False
    beside = (
        base.name,
        *(f.name for f in (base, base.parent) if (f / "train_labels.csv").exists()),
    )
    return "DATASET" in beside or len(beside) > 1


def read_kaggle(root: Path, split: str, settings: DataSettings) -> Listing:
    """RAF-DB as Kaggle's shuvoalok/raf-db-dataset: DATASET/train/1..7, with train_labels.csv.

    Source: https://www.kaggle.com/datasets/shuvoalok/raf-db-dataset, a copy of RAF-DB's aligned
    faces; licence, class order, counts and paper as RAF-DB. Folders are RAF-DB's numbers; where the
    lists of labels are there, they must agree with the folders.
    """
    base = _kaggle_base(root)
    folder = split_folders(base).get(split)
    if folder is None:
        raise SplitMissing(f"no {split} folder in {base}; add {split}/1 to {split}/7")
    roots = Roots([base], [root, *map(Path, settings.roots)])
    images, _ = images_under(folder, roots)
    numbers = [path.relative_to(folder).parts[0] for path in images]
    stray = [str(p) for p, number in zip(images, numbers, strict=True) if number not in _NUMBERS]
    if stray:
        raise DataError(
            f"{folder}: {len(stray):,} images are in no folder from 1 to 7 "
            f"({some(stray, len(stray))}); move them there"
        )
    _agree(base, split, {p.name: n for p, n in zip(images, numbers, strict=True)})
    return Listing(
        layout="rafdb-kaggle",
        split=split,
        class_names=_NAMES,
        ids=tuple(printable(path.relative_to(base).as_posix()) for path in images),
        labels=np.array([_position(number) for number in numbers], np.int64),
        pictures=tuple(images),
    )


def _agree(base: Path, split: str, folder_of: dict[str, str]) -> None:
    """Refuse where a label list and the folders say different things."""
    places = (base.parent / f"{split}_labels.csv", base / f"{split}_labels.csv")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return
    table, faults = Table(path), Faults(path)
    image = table.column(("image", "file", "filename", "name", "path"), "image name")
    label = table.column(("label", "emotion", "class"), "label")
    listed = set()
    for line, fields in table.rows(faults):
        name, number = fields[image].strip(), fields[label].strip()
        listed.add(name)
        if name not in folder_of:
            faults.add(line, f"{printable(name[:80])!r} is in no folder")
        elif folder_of[name] != number:
            shown = f"{printable(name[:80])!r} is in folder {folder_of[name]}"
            faults.add(line, f"{shown}, its label is {printable(number[:20])!r}")
    faults.check()
    more = sorted(set(folder_of) - listed)
    if more:
        raise DataError(
            f"{path}: {len(more):,} images of the folders are not listed "
            f"({some(more, len(more))}); list or remove them"
        )


def _base(root: Path) -> Path | None:
    """Folder that the label lists are relative to."""
    return next((b for b in (root, root / "basic") if _list_of(b, "train")), None)


def _list_of(base: Path, split: str) -> Path | None:
    names = [template.format(split) for template in SPLIT_LISTS]
    if split != "val":
        names = [*LISTS, *names]
    return next((base / name for name in names if (base / name).is_file()), None)


def _kaggle_base(root: Path) -> Path:
    return root / "DATASET" if (root / "DATASET").is_dir() else root


def _entries(path: Path, split: str, faults: Faults) -> Iterator[tuple[int, str, str]]:
    """Line, image name and label 1-7 of the rows of a split, two words a line."""
    holds_both = path.name.startswith("list_")
    for line, text in enumerate(lines(path), 1):
        words = text.split()
        if not words:
            continue
        named = split_of(words[0].split("_")[0]) if holds_both else split
        if len(words) != 2:
            faults.add(line, f"{len(words)} words instead of an image name and a label")
        elif words[1] not in _NUMBERS:
            faults.add(line, f"label {printable(words[1][:20])!r} is not a number from 1 to 7")
        elif named is None:
            faults.add(line, f"{printable(words[0])!r} does not begin with train_ or test_")
        elif named == split:
            yield line, words[0], words[1]


def _aligned(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_aligned{dot}{suffix}" if dot else name


def _position(number: str) -> int:
    return _NAMES.index(RAFDB_ORDER[int(number) - 1])
