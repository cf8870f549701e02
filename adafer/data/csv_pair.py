"""Training and validation faces as two CSV files that are named one by one, wherever they lie."""

from dataclasses import replace
from pathlib import Path

from adafer.data import fer2013, table
from adafer.data.class_names import ORDERS
from adafer.data.csv_rows import Faults, Table
from adafer.data.files import SplitMissing, split_of
from adafer.data.listing import Listing
from adafer.data.source import Reader
from adafer.data.table import Splits
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import FERPLUS_ORDER
from adafer.settings.data import DataSettings


def reader_of(settings: DataSettings) -> tuple[str, Reader]:
    """Layout and reader of `train_csv` and `val_csv`: `fer-csv` for pixels, `csv` for paths.

    Numbers beside pixels are FER+'s, whatever their shares, unless `label_order` says otherwise;
    a note says so. The faces of a list of paths are looked for beside their own list.

    Raises:
        DataError: a file that is missing, empty or without its columns, the same file twice, or
            one that holds several splits.
    """
    splits = _tables(settings)
    layout = settings.layout
    if layout == "auto":
        first = splits.tables["train"]
        layout = "csv" if _has_paths(first) else "fer-csv"
    columns = table.PATH if layout == "csv" else fer2013.PIXELS
    for one in splits.tables.values():
        one.column(columns, columns[0])
        one.column(table.LABEL if layout == "csv" else fer2013.LABEL, "label")
        _refuse_several_splits(one)
    order: tuple[tuple[str, ...], str] | None = None

    def read(root: Path, split: str, settings: DataSettings) -> Listing:
        nonlocal order
        if split not in splits.tables:
            raise _missing(split)
        if layout == "csv":
            listing = table.listed(splits, split, settings)
        else:
            order = order or _order(splits, settings)
            names, note = order
            listing = fer2013.listed(
                splits, split, names, note if split == "train" else "", settings.group_column
            )
        if not len(listing):
            name = printable(str(splits.tables[split].path))
            raise DataError(f"{name}: no rows below its header; write the file again")
        return replace(listing, layout=layout)

    return layout, read


def _tables(settings: DataSettings) -> Splits:
    given = {"train": settings.train_csv, "val": settings.val_csv}
    paths = {split: Path(name).expanduser() for split, name in given.items() if name}
    for path in paths.values():
        if path.exists() and not path.is_file():
            raise DataError(f"{printable(str(path))} is no file; name a CSV file, or use --data")
    tables = {split: Table(path) for split, path in paths.items()}
    if len(tables) == 2 and paths["train"].samefile(paths["val"]):
        raise DataError(
            f"{printable(str(paths['train']))} is both --train-csv and --val-csv; give each its "
            "own file, or leave --val-csv out and a part of train is carved off"
        )
    return Splits(tables, None)


def _has_paths(one: Table) -> bool:
    """Whether a table without pixels has a path column; one without either is judged by pixels."""
    return one.find(fer2013.PIXELS) is None and one.find(table.PATH) is not None


def _refuse_several_splits(one: Table) -> None:
    """Refuse a file whose split column says that it holds more than the one that it is given as."""
    column = one.find(table.SPLIT)
    if column is None:
        return
    words = {fields[column].strip().lower() for _, fields in one.rows(Faults(one.path))}
    found = sorted({split for split in map(split_of, words) if split})
    if len(found) > 1:
        name = printable(str(one.path))
        raise DataError(
            f"{name} holds {' and '.join(found)} (column {one.columns[column]!r}); give it whole "
            f"with --data {name}, or one file for each split"
        )


def _order(splits: Splits, settings: DataSettings) -> tuple[tuple[str, ...], str]:
    """Emotions in the order of the numbers, and what a user should know about that choice."""
    if settings.label_order != "auto":
        return ORDERS[settings.label_order], ""
    likely, certain = fer2013.likely_order(splits)
    note = f"labels 0-7 are read in FER+'s order: {fer2013.in_words(FERPLUS_ORDER)}"
    if certain:
        return FERPLUS_ORDER, note
    named = next((t for t in splits.tables.values() if t.find(table.SPLIT) is not None), None)
    if named is not None:
        raise DataError(
            f"{printable(str(named.path))} has labels 0-6 and a Usage column, as FER2013 has; say "
            "whose numbers they are with --label-order fer2013 or ferplus"
        )
    doubt = "; their shares fit FER2013's better" if likely == "fer2013" else ""
    return FERPLUS_ORDER, f"{note}{doubt}; if they are FER2013's, give --label-order fer2013"


def _missing(split: str) -> SplitMissing:
    if split == "val":
        return SplitMissing("no --val-csv; give the file, or a part of train is carved off")
    return SplitMissing(
        f"--train-csv and --val-csv bring no {split} faces; measure them with `adafer evaluate RUN "
        f"--split {split} --data SOURCE`"
    )
