"""Folders named after classes, inside folders named after splits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adafer.data.class_names import LABEL_MAP, Classes, classes_of, read_label_map
from adafer.data.files import (
    IMAGE_SUFFIXES,
    Roots,
    SplitMissing,
    images_under,
    some,
    split_folders,
    visible_folders,
)
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import AFFECTNET_ORDER
from adafer.settings.data import DataSettings


def found(root: Path) -> bool:
    """Whether a train folder with class folders is here."""
    train = split_folders(root).get("train")
    return train is not None and bool(visible_folders(train) or _loose(train))


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """ImageFolder: train/CLASS/.../picture, and the same for val (valid, validation) and test.

    Any data set. Folders named by emotions, in any case and alias, stand in the project's order;
    1 to 7 are RAF-DB's numbers, 0 to 6 or 7 AffectNet's where the root is named after it or
    `label_order` says so; other class sets keep their names, in the order of a
    `label_map.json` in the root, else by name. The classes are those of train: a class that only
    another split has is an error, one that it lacks is noted. FER2013 as Kaggle's msambare/fer2013
    has this layout: 28,709 train, 7,178 test, which are PublicTest and PrivateTest together.
    """
    folders = split_folders(root)
    if split not in folders:
        raise SplitMissing(f"no {split} folder in {root}; add {split}/CLASS/ with pictures")
    folder = folders[split]
    classes = _classes(root, folders.get("train", folder), settings)
    positions = {f.name: classes.position(f.name) for f in visible_folders(folder)}
    unknown = [name for name, position in positions.items() if position is None]
    if unknown:
        known = some(classes.names, len(classes.names), 12)
        raise DataError(
            f"{folder}: {some(unknown, len(unknown))} is no class of train ({known}); rename or "
            "remove it"
        )
    if _loose(folder):
        raise DataError(f"{folder}: pictures lie outside the class folders; move each into its own")
    images, others = images_under(folder, Roots([root], [root, *map(Path, settings.roots)]))
    labels = [positions[path.relative_to(folder).parts[0]] for path in images]
    listing = Listing(
        layout="imagefolder",
        split=split,
        class_names=classes.names,
        ids=tuple(printable(path.relative_to(root).as_posix()) for path in images),
        labels=np.array(labels, np.int64),
        pictures=tuple(images),
        notes=classes.notes + _other_files(folder, others),
    )
    return _without_empty_class(listing, folder)


def _classes(root: Path, train: Path, settings: DataSettings) -> Classes:
    names = [folder.name for folder in visible_folders(train)]
    if not names:
        raise DataError(f"{train}: no class folders; put the pictures of each class in its own")
    label_map, order = read_label_map([root]), settings.label_order
    if label_map is None and order == "auto" and _affectnet_numbers(root, names):
        classes = classes_of(names, None, "affectnet")
        read_as = ", ".join(f"{n} {word}" for n, word in enumerate(AFFECTNET_ORDER[: len(names)]))
        note = f"classes are read in AffectNet's order ({read_as}), as the folder is named after it"
        return replace(classes, notes=(f"{note}; a {LABEL_MAP} or --label-order says otherwise",))
    return classes_of(names, label_map, order)


def _affectnet_numbers(root: Path, names: Sequence[str]) -> bool:
    """Whether folders 0 to 6 or 0 to 7 lie in a place that is named after AffectNet.

    Only its copies are so sure to have its order; RAF-DB and FER2013 come in such folders too.
    """
    numbers = {str(number) for number in range(len(AFFECTNET_ORDER))}
    named = any("affectnet" in part.lower() for part in root.absolute().parts[-3:])
    return named and set(names) in (numbers, numbers - {"7"})


def _without_empty_class(listing: Listing, folder: Path) -> Listing:
    empty = [name for name, count in listing.counts().items() if not count]
    if not empty or not len(listing):
        return listing
    shown = some(empty, len(empty), 12)
    if listing.split == "train":
        raise DataError(f"{folder}: no picture of {shown}; add some or remove the empty folder")
    return replace(listing, notes=(*listing.notes, f"{listing.split} has no picture of {shown}"))


def _other_files(folder: Path, others: Counter[str]) -> tuple[str, ...]:
    if not others:
        return ()
    kinds = ", ".join(f"{count:,} {printable(kind)}" for kind, count in others.most_common(5))
    return (f"{folder.name}: files passed over that are no pictures: {kinds}",)


def _loose(folder: Path) -> bool:
    return any(
        path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and path.is_file()
        for path in folder.iterdir()
    )
