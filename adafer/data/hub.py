"""Data sets of the Hugging Face hub, and parquet, arrow and picture folders in its formats.

Legend: N faces, C classes.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adafer.data.class_names import Classes, read_label_map
from adafer.data.files import Roots, refuse_missing, some, split_folders
from adafer.data.hub_classes import hub_classes, read_pairs
from adafer.data.hub_columns import class_order, find_columns, groups_of, votes_of, words_of
from adafer.data.hub_files import (
    METADATA,
    chosen_split,
    files_by_split,
    holds,
    named_splits,
    picture_folders,
)
from adafer.data.hub_rows import faces_of, labels_of
from adafer.data.hub_sets import Opened, open_files, open_hub, open_pictures, open_saved
from adafer.data.listing import Listing
from adafer.image import printable
from adafer.settings.data import DataSettings

LAYOUTS = ("hub-images", "parquet", "arrow", "hf")
"""Layouts that are read here, with `image_col`, `label_col` and `map`."""


def found_parquet(root: Path) -> bool:
    """Whether this is a parquet file, or a folder with some near its top."""
    return holds(root, ".parquet")


def found_arrow(root: Path) -> bool:
    """Whether `save_to_disk` wrote this folder, or arrow files are here."""
    return _saved(root) or holds(root, ".arrow")


def found_pictures(root: Path) -> bool:
    """Whether a metadata file lies beside the pictures of a split, or of the whole set."""
    folders = (root, *split_folders(root).values())
    return any((folder / name).is_file() for folder in folders for name in METADATA)


def read_parquet(root: Path, split: str, settings: DataSettings) -> Listing:
    """Parquet as the Hugging Face hub stores pictures: a column of them and a column of labels.

    Any data set. A file or folder of a split is named by a word such as train, validation, test;
    shards such as `data/train-00000-of-00002.parquet` belong together. Pictures are encoded bytes,
    or paths inside the folder. Classes, other splits and votes: as `read_hub` says.
    """
    opened = open_files("parquet", root, files_by_split(root, ".parquet"))
    return _listing(opened, "parquet", root, split, settings)


def read_arrow(root: Path, split: str, settings: DataSettings) -> Listing:
    """Arrow: what `save_to_disk` of `datasets` wrote, or arrow files as `read_parquet` says.

    Any data set. A table that was saved alone is train.
    Classes, other splits and votes: as `read_hub` says.
    """
    if _saved(root):
        opened = open_saved(root)
    else:
        opened = open_files("arrow", root, files_by_split(root, ".arrow"))
    return _listing(opened, "arrow", root, split, settings)


def read_pictures(root: Path, split: str, settings: DataSettings) -> Listing:
    """Folders of pictures with metadata.csv, .jsonl or .parquet beside them, as on the hub.

    Any data set. The metadata has `file_name` and a column of labels; folders are named after the
    splits, or the root is train. Classes and votes: as `read_hub` says.
    """
    opened = open_pictures(root, picture_folders(root))
    return _listing(opened, "hub-images", root, split, settings)


def read_hub(root: Path, split: str, settings: DataSettings) -> Listing:
    """`hf:OWNER/NAME[:CONFIG][@REVISION]`: a data set of the Hugging Face hub; `root` is not used.

    Any data set with a column of pictures and one of labels; no code of a set is run. Classes named
    by emotions, in any case and alias, stand in the project's order; a set whose classes are none
    keeps its names in its own order; where only some are, `map` must say what the others mean.
    Any usual words for the splits. Columns `votes_CLASS` hold votes; `subject`, `identity`,
    `person` or `group` says which faces belong together.
    """
    return _listing(open_hub(settings.data), "hf", None, split, settings)


def _saved(root: Path) -> bool:
    alone = (root / "state.json").is_file() and (root / "dataset_info.json").is_file()
    return alone or (root / "dataset_dict.json").is_file()


def _listing(
    opened: Opened, layout: str, root: Path | None, split: str, settings: DataSettings
) -> Listing:
    place = printable(opened.name)
    splits, aside = named_splits(opened.tables, place)
    name = chosen_split(splits, split, place, opened.tables)
    table, train = opened.tables[name], opened.tables[splits.get("train", name)]
    columns = find_columns(
        table.features, place, settings.image_col, settings.label_col, settings.group_column
    )
    classes = _classes(train, columns.label, settings, root, place)
    here = f"{place}, {name}"
    rows = labels_of(table, columns.label, classes, settings, here)
    folders = [*opened.folders, *map(Path, settings.roots)]
    faces = faces_of(table, columns.image, rows.kept, Roots(folders, folders), place, name, root)
    left_out = refuse_missing(
        Path(here), faces.missing, len(rows.kept), settings.max_bad, "put them back"
    )
    listing = Listing(
        layout=layout,
        split=split,
        class_names=classes.names,
        ids=faces.ids,
        labels=np.array([rows.labels[row] for row in faces.rows], np.int64),
        votes=votes_of(table, classes, faces.rows, here),
        pictures=faces.pictures,
        left_out=(*rows.left_out, *left_out),
        notes=(*classes.notes, *((*_commit(opened), *aside) if split == "train" else ())),
        groups=groups_of(table, columns.group, faces.rows, here),
    )
    return _with_empty_classes(listing)


def _classes(
    train: Any, label: str, settings: DataSettings, root: Path | None, place: str
) -> Classes:
    order = class_order(train, label, words_of(train, label, place))
    beside = [] if root is None else [root if root.is_dir() else root.parent]
    return hub_classes(
        order,
        read_pairs(settings.map),
        read_label_map(beside),
        settings.label_order,
        place,
        declared=getattr(train.features[label], "names", None) or (),
    )


def _commit(opened: Opened) -> Iterator[str]:
    if opened.commit:
        yield (
            f"{opened.name} is read at commit {opened.commit}; put @ and the commit behind its "
            "name to repeat this"
        )


def _with_empty_classes(listing: Listing) -> Listing:
    """Note the classes of train that another split lacks."""
    empty = [name for name, count in listing.counts().items() if not count]
    if not empty or not len(listing):
        return listing
    note = f"{listing.split} has no picture of {some(empty, len(empty), 12)}"
    return replace(listing, notes=(*listing.notes, note))
