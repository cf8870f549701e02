"""CSV files with a path and a label in every row."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from adafer.data.class_names import Classes, classes_of, read_label_map
from adafer.data.csv_rows import Faults, Table
from adafer.data.files import OutsideRoot, Roots, SplitMissing, some, split_folders, split_of
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

PATH = (
    *("path", "image_path", "img_path", "file_path", "filepath", "image", "img", "file"),
    *("filename", "file_name", "image_name", "img_name", "pth", "subdirectory_filepath", "name"),
)
LABEL = ("label", "emotion", "expression", "class", "class_name", "labels", "target", "category")
SPLIT = ("split", "usage", "subset", "partition")


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
    the CSV, in the data root and in `roots`, and never outside them.
    """
    splits = splits_in(root, PATH, LABEL)
    if split not in splits.tables:
        raise SplitMissing(f"no {split} faces in {root}; add {split}.csv or a split column")
    beside = root if root.is_dir() else root.parent
    first = "train" if "train" in splits.tables else split
    table = splits.tables[first]
    label = table.column(LABEL, "label")
    words = [fields[label] for _, fields in splits.rows(first, Faults(table.path))]
    classes = classes_of(filter(str.strip, words), read_label_map([beside]), settings.label_order)
    folders = [beside, *map(Path, settings.roots)]
    return _listing(splits, split, classes, Roots(folders, folders))


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


def _listing(splits: Splits, split: str, classes: Classes, roots: Roots) -> Listing:
    table = splits.tables[split]
    path_column, label_column = table.column(PATH, "path"), table.column(LABEL, "label")
    faults = Faults(table.path)
    ids: list[str] = []
    labels: list[int] = []
    pictures: list[Path] = []
    seen: dict[str, int] = {}
    for line, fields in splits.rows(split, faults):
        name, word = fields[path_column], fields[label_column].strip()
        position = classes.position(word) if word else None
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
            seen[name] = line
            ids.append(printable(name))
            labels.append(position)
            pictures.append(path)
    faults.check()
    return Listing(
        layout="csv",
        split=split,
        class_names=classes.names,
        ids=tuple(ids),
        labels=np.array(labels, np.int64),
        pictures=tuple(pictures),
        notes=classes.notes,
    )
