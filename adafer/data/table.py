"""CSV files with a path and a label in every row."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from adafer.data.class_names import Classes, classes_of, read_label_map
from adafer.data.csv_rows import Faults, Table
from adafer.data.files import OutsideRoot, Roots, SplitMissing, some, split_folders, split_of
from adafer.data.listing import Listing
from adafer.data.vote_columns import shares, vote_columns
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

PATH = (
    *("path", "image_path", "img_path", "file_path", "filepath", "image", "img", "file"),
    *("filename", "file_name", "image_name", "img_name", "pth", "subdirectory_filepath", "name"),
)
LABEL = ("label", "emotion", "expression", "class", "class_name", "labels", "target", "category")
SPLIT = ("split", "usage", "subset", "partition")
GROUP = (
    *("group", "groups", "subject", "subject_id", "identity", "identity_id"),
    *("person", "person_id"),
)
"""Columns whose faces may not be split: the same person, or what else belongs together."""


@dataclass(frozen=True)
class Splits:
    """Which table holds which split; one table holds all of them where a column divides it."""

    tables: dict[str, Table]
    column: int | None  # the dividing column

    def rows(self, split: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
        """Line and fields of the rows of a split; an unknown word in the column is a fault."""
        for line, fields in self.tables[split].rows(faults):
            named = split if self.column is None else split_of(fields[self.column])
            if named is None and self.column is not None:
                faults.add(line, f"unknown split {printable(fields[self.column][:20])!r}")
            elif named == split:
                yield line, fields


def found(root: Path) -> bool:
    """Whether CSV files with a path column and a label column are here."""
    tables = tables_in(root)
    named = [
        table for table in tables if split_of(table.path.stem) or table.find(SPLIT) is not None
    ]
    if any(table.find(PATH) is not None or table.find(LABEL) is not None for table in named):
        return True
    return any(_has_faces(table) for table in tables) and not split_folders(root)


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """CSV with a path and a label: train.csv, val.csv, test.csv, or one file with a split column.

    Any data set, any label names: emotions stand in the project's order, others in the order of a
    `label_map.json` beside the CSV, else as they first appear in train. Paths are looked for beside
    the CSV, in the data root and in `roots`, and never outside them. A column `subject`,
    `identity`, `person` or `group` says which faces belong together, or `group_column`. Columns
    `votes_CLASS`, one for each class, hold the votes of annotators as counts or shares.
    """
    splits = splits_in(root, PATH, LABEL)
    if split not in splits.tables:
        raise SplitMissing(f"no {split} faces in {root}; add {split}.csv or a split column")
    return listed(splits, split, settings)


def listed(splits: Splits, split: str, settings: DataSettings) -> Listing:
    """List the pictures of a split; train says what the classes are, where it is there."""
    first = "train" if "train" in splits.tables else split
    table = splits.tables[first]
    label = table.column(LABEL, "label")
    words = [fields[label] for _, fields in splits.rows(first, Faults(table.path))]
    label_map = read_label_map([table.path.parent])
    classes = classes_of(filter(str.strip, words), label_map, settings.label_order)
    folders = [splits.tables[split].path.parent, *map(Path, settings.roots)]
    return _listing(splits, split, classes, Roots(folders, folders), settings.group_column)


def group_column(table: Table, name: str) -> int | None:
    """Column that says which faces belong together: the one asked for, or a usual name."""
    if not name:
        return table.find(GROUP)
    return table.column((re.sub(r"\s+", "_", name.strip().lower()),), "group")


def tables_in(root: Path) -> list[Table]:
    """Every CSV file of a folder, or the file itself, with its header read."""
    if root.is_file():
        return [Table(root)] if root.suffix.lower() == ".csv" else []
    if not root.is_dir():
        return []
    names = sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv")
    return [Table(p) for p in names if p.is_file() and p.stat().st_size and p.name[0] != "."]


def splits_in(root: Path, needed: Sequence[str], label: Sequence[str]) -> Splits:
    """Find the table of each split among the tables that have a needed column.

    Files named after splits go first; else one table with a split column; else a lone table, which
    then is train.
    """
    tables = [table for table in tables_in(root) if table.find(needed) is not None]
    if not tables:
        _complain(root, needed)
    named = _named(root, tables)
    if sum(table.find(label) is not None for table in named.values()) > 1:
        return Splits(named, None)
    divided = [table for table in tables if table.find(SPLIT) is not None]
    divided = [t for t in divided if t.path.stem.lower() == "fer2013"] or divided
    if len(divided) > 1 or (not divided and not named and len(tables) > 1):
        listed = some((t.path.name for t in divided or tables), len(divided or tables))
        raise DataError(f"{root}: which table is the data ({listed})? name one file of them")
    if divided:
        column = divided[0].column(SPLIT, "split")
        rows = divided[0].rows(Faults(divided[0].path))
        words = {fields[column] for _, fields in rows}
        return Splits({s: divided[0] for s in map(split_of, sorted(words)) if s}, column)
    return Splits(named or {"train": tables[0]}, None)


def _named(root: Path, tables: Iterable[Table]) -> dict[str, Table]:
    by_split: dict[str, Table] = {}
    for table in tables:
        split = split_of(table.path.stem)
        if split in by_split:
            both = f"{by_split[split].path.name} and {table.path.name}"
            raise DataError(f"{root}: both {both} hold {split}; keep one")
        if split:
            by_split[split] = table
    return by_split


def _complain(root: Path, needed: Sequence[str]) -> NoReturn:
    for table in tables_in(root):
        table.column(needed, needed[0])
    raise DataError(f"{root}: no CSV file with rows; expected train.csv, val.csv and test.csv")


def _has_faces(table: Table) -> bool:
    return table.find(PATH) is not None and table.find(LABEL) is not None


def _listing(
    splits: Splits, split: str, classes: Classes, roots: Roots, grouped_by: str
) -> Listing:
    table = splits.tables[split]
    path_column, label_column = table.column(PATH, "path"), table.column(LABEL, "label")
    by, counted = group_column(table, grouped_by), vote_columns(table, classes)
    faults = Faults(table.path)
    ids: list[str] = []
    labels: list[int] = []
    pictures: list[Path] = []
    groups: list[str] = []
    votes: list[list[float]] = []
    seen: dict[str, int] = {}
    for line, fields in splits.rows(split, faults):
        name, word = fields[path_column], fields[label_column].strip()
        position = classes.position(word) if word else None
        group = "" if by is None else fields[by].strip()
        if by is not None and not group:
            faults.add(line, f"no {table.columns[by]}; fill it or remove the column")
            continue
        if position is None:
            known = some(classes.names, len(classes.names), 12)
            shown = printable(word[:40])
            faults.add(line, f"label {shown!r} is none of {known}" if word else "no label")
            continue
        try:
            path = roots.find(name)
        except OutsideRoot:
            faults.add(line, f"{printable(name[:80])!r} is outside the data root (see --roots)")
            continue
        if path is None:
            faults.add(line, f"no file {printable(name[:80])!r} (see --roots)")
        elif name in seen:
            faults.add(line, f"{printable(name[:80])!r} stands in line {seen[name]} already")
        else:
            share = shares(line, fields, counted, faults) if counted else []
            if share is None:
                continue
            seen[name] = line
            votes.append(share)
            ids.append(printable(name))
            labels.append(position)
            pictures.append(path)
            groups.append(printable(group))
    faults.check()
    return Listing(
        layout="csv",
        split=split,
        class_names=classes.names,
        ids=tuple(ids),
        labels=np.array(labels, np.int64),
        votes=np.array(votes, np.float32).reshape(len(votes), -1) if counted else None,
        pictures=tuple(pictures),
        notes=(*classes.notes, *_other_folders(pictures, labels, classes, table.path)),
        groups=None if by is None else tuple(groups),
    )


def _other_folders(
    pictures: Sequence[Path], labels: Sequence[int], classes: Classes, path: Path
) -> tuple[str, ...]:
    """Note how many faces lie in a folder that is named after another class than theirs."""
    meant = [classes.position(picture.parent.name) for picture in pictures]
    named = sum(place is not None for place in meant)
    differ = sum(p not in (None, label) for p, label in zip(meant, labels, strict=True))
    if not differ or named < len(pictures):
        return ()
    note = f"{differ:,} of {len(pictures):,} labels of {printable(path.name)} are not the class "
    return (note + "that their folder is named after; the labels of the list are used",)
