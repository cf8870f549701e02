"""`adafer data split` and `adafer data extract`: a data set divided anew, an archive unpacked."""

import argparse
from pathlib import Path
from typing import Any

from adafer.commands.columns import add_reading, reading_of
from adafer.errors import WordsError
from adafer.words import command_parser

WAYS = ("stratified", "group", "stratified-group")


def data_split(words: list[str]) -> int:
    """Divide a source and write it as lists that `adafer train --data DIR` reads."""
    parser = command_parser(
        "data split",
        "SOURCE --output DIR [...]",
        "Divide a data set into train, validation and test, or into folds, and write lists of\n"
        "paths that `adafer train --data DIR` reads. Where the data says which faces belong\n"
        "together (a column subject, identity, person or group), no group is in two splits;\n"
        "where nobody knows, --groups clusters keeps near-duplicates together.",
        "  adafer data split faces/ --output faces-split\n"
        "  adafer data split list.csv --output split --group-column subject_no --folds 5\n"
        "  adafer data split ferplus/ --output apart --groups clusters --keep-test "
        "--fractions 0.9,0.1",
    )
    parser.add_argument("source", metavar="SOURCE", help="a path of any layout, hf:, or toy")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", required=True, help="a new folder for the lists"
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--folds", type=int, metavar="K", help="K folds instead of fractions")
    parts.add_argument(
        "--fractions", metavar="A,B[,C]", help="train, validation and test (0.8,0.1,0.1)"
    )
    parser.add_argument(
        "--by", choices=WAYS, help="what is kept equal or together (by what the data knows)"
    )
    grouped = parser.add_mutually_exclusive_group()
    grouped.add_argument("--group-column", metavar="NAME", default="", help="who is on each face")
    grouped.add_argument(
        "--groups", choices=("clusters",), help="keep near-duplicate faces together"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, another split (0)")
    parser.add_argument(
        "--keep-test", action="store_true", help="the source's own test stays test; divide the rest"
    )
    parser.add_argument(
        "--pictures",
        choices=("link", "leave"),
        default="link",
        help="hard links (or copies) below DIR, or leave the files where they are (link)",
    )
    _add_reading(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.studies.data_split import FRACTIONS, SplitPlan, split_data

    default = (0.9, 0.1) if given.keep_test else FRACTIONS
    plan = SplitPlan(
        fractions=_shares(given.fractions) if given.fractions else default,
        folds=given.folds,
        by=given.by,
        keep_test=given.keep_test,
        pictures=given.pictures,
        seed=given.seed,
    )
    result = split_data(
        _settings(given), given.output, plan, clusters=_clusters(given.groups), said=print
    )
    _print(result)
    return 0


def data_extract(words: list[str]) -> int:
    """Unpack a zip of faces, safely."""
    parser = command_parser(
        "data extract",
        "ARCHIVE.zip [FOLDER]",
        "Unpack a zip. Nothing leaves FOLDER, nothing larger than 20 GB comes out, links and\n"
        "passwords are refused, and a broken archive leaves nothing behind. What was unpacked\n"
        "before is used as it is.",
        "  adafer data extract faces.zip faces",
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="a zip file")
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="a new folder (the archive's name)"
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from rich.progress import Progress

    from adafer.archive import extract_dataset

    with Progress(transient=True) as bar:
        task = bar.add_task("unpacking", total=None)
        folder = extract_dataset(
            given.archive,
            given.folder,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(f"unpacked: {folder}")
    return 0


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the settings that say how the source is read, as in `adafer train`."""
    group = parser.add_argument_group("reading SOURCE, as in `adafer train --help`")
    add_reading(group)
    group.add_argument("--train-labels", default="votes", help="FER+: votes or majority (votes)")
    group.add_argument("--max-bad", default="0", help="share of missing files allowed (0)")


def _settings(given: argparse.Namespace) -> Any:
    """Settings of the source, checked like those of a recipe."""
    from adafer.recipes import find_recipe

    return (
        find_recipe("act-graves")
        .changed(
            train_labels=given.train_labels,
            max_bad=given.max_bad,
            group_column=given.group_column,
            **reading_of(given),
        )
        .data
    )


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise WordsError(
            f"--fractions takes numbers such as 0.8,0.1,0.1, not {text!r}; correct it"
        ) from None


def _clusters(asked: str | None) -> Any:
    if asked is None:
        return None
    from adafer.data.duplicates import clusters

    return clusters


def _print(result: Any) -> None:
    """Print the faces of each split and class, and how to go on."""
    from rich.console import Console
    from rich.table import Table

    from adafer.studies.data_split import table

    header, *rows = table(result)
    shown = Table(box=None, pad_edge=False)
    for place, name in enumerate(header):
        shown.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    # Where nobody sets a width, a table of eight classes would lose its numbers.
    console.print(shown, width=None if console.is_terminal else 160)
    for note in result.notes:
        console.print(f"note: {note}", markup=False)
    shared = {division.shared_groups for division in result.divisions}
    told = "not known" if None in shared else str(max(s for s in shared if s is not None))
    console.print(f"divided by {result.way}; groups in two splits: {told}", markup=False)
    console.print(f"written: {result.folder}", markup=False)
    console.print(f"go on:   adafer train {result.train_with}", markup=False)
