"""A data set divided anew: whose faces, by what, and written so that a training reads it.

Legend: N faces.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.data import READERS, DataSource, open_data
from adafer.data.class_names import LABEL_MAP
from adafer.data.dataset import FaceDataset
from adafer.data.files import SplitMissing
from adafer.data.listing import Listing
from adafer.data.sources import join
from adafer.data.split import Places, Way, by_folds, by_fractions, shared_groups
from adafer.data.split_files import (
    Pictures,
    check_round_trip,
    new_folder,
    place_faces,
    write_list,
)
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing, printable
from adafer.predictions_file import write_bytes
from adafer.settings.data import DataSettings

Clusters = Callable[[NDArray[np.uint8]], NDArray[np.int64]]
"""Pixels of faces to the number of the cluster of near-duplicates that each is in, (N,)."""

SUMMARY = "split.json"
FRACTIONS = (0.8, 0.1, 0.1)
_PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How faces are divided."""

    fractions: tuple[float, ...] = FRACTIONS  # train, val and, where three, test
    folds: int | None = None  # instead of fractions: each face is in the validation of one fold
    by: Way | None = None  # None: by group where groups are known, else by class
    keep_test: bool = False  # the source's own test stays test, and the rest is divided
    pictures: Pictures = "link"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Division:
    """One list, or a set of lists, as it was written."""

    name: str  # "" or "fold1"
    splits: Mapping[str, Listing]
    shared_groups: int | None  # None where no groups are known


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """What was written and how to train on it."""

    folder: Path
    way: Way
    divisions: tuple[Division, ...]
    notes: tuple[str, ...]
    train_with: str  # words after `adafer train`


def split_data(
    settings: DataSettings,
    output: Path,
    plan: SplitPlan,
    *,
    clusters: Clusters | None = None,
    said: Callable[[str], None] = lambda sentence: None,
) -> SplitResult:
    """Divide a source into train, val and test, or into folds, and write lists of them.

    `clusters` finds near-duplicates, which then stay together; for sources that do not say whose
    faces they hold. What is written is read back and compared before it takes its place.

    Raises:
        WordsError: a plan that contradicts itself or the source.
        DataError: a source that cannot be read, or groups that a plan by class would tear apart.
        MachineError: a disk that does not take it.
    """
    source = open_data(settings)
    pool, kept, notes = _pool(source, plan.keep_test)
    pool, kept = _in_clusters(pool, kept, clusters, said)
    way = _way(plan.by, pool, settings.data)
    pool, dropped = _apart_from(pool, kept)
    notes = (*notes, *dropped)
    divisions = tuple(_divided(pool, kept, way, plan))
    everything = pool if kept is None else join([pool, kept], "all")
    with new_folder(output) as folder:
        names = dict(
            zip(
                everything.ids,
                place_faces(everything, source.root, folder, plan.pictures),
                strict=True,
            )
        )
        classes = {name: number for number, name in enumerate(pool.class_names)}
        write_bytes(folder / LABEL_MAP, _json(classes))
        hashes = {d.name: _write(folder, d, names, plan, source.root) for d in divisions}
        summary = _summary(settings, source, way, plan, divisions, hashes, notes, clusters)
        write_bytes(folder / SUMMARY, _json(summary))
    return SplitResult(
        folder=output,
        way=way,
        divisions=divisions,
        notes=notes,
        train_with=_train_with(output, divisions, plan, source.root),
    )


def table(result: SplitResult) -> list[list[str]]:
    """Rows for a person: faces of each split and class, groups, and groups in two splits."""
    classes = next(iter(result.divisions[0].splits.values())).class_names
    rows = [["", "faces", *classes, "groups"]]
    for division in result.divisions:
        for split, listing in division.splits.items():
            groups = "?" if listing.groups is None else f"{len(set(listing.groups)):,}"
            counts = [f"{count:,}" for count in listing.counts().values()]
            name = f"{division.name} {split}".strip()
            rows.append([name, f"{len(listing):,}", *counts, groups])
    return rows


def _pool(source: DataSource, keep_test: bool) -> tuple[Listing, Listing | None, tuple[str, ...]]:
    """Faces to divide, the test faces that stay, and what a user should know."""
    parts, kept = [source.train, source.validation], None
    notes: tuple[str, ...] = ()
    try:
        test = source.test()
    except SplitMissing:
        if keep_test:
            raise WordsError("the source has no test faces; leave --keep-test out") from None
    else:
        if keep_test:
            kept = test
        else:
            parts.append(test)
            notes = (
                "the source's own test faces are divided too, so figures on the new test are not "
                "comparable with published ones; --keep-test leaves them test",
            )
    listings = [*parts, *([kept] if kept else [])]
    if len({name for x in listings for name in x.ids}) < sum(map(len, listings)):
        listings = [replace(x, ids=tuple(f"{x.split}/{name}" for name in x.ids)) for x in listings]
    whole = join(listings[: len(parts)], "all")
    said = tuple(n for n in whole.notes if not n.startswith("validation is "))
    lost = [*(["landmarks"] if whole.landmarks is not None else []), *whole.attributes]
    if lost:
        said += (f"not written: {', '.join(lost)}, which lists of paths do not hold",)
    return whole, listings[-1] if kept else None, (*said, *notes)


def _in_clusters(
    pool: Listing, kept: Listing | None, clusters: Clusters | None, said: Callable[[str], None]
) -> tuple[Listing, Listing | None]:
    """Group near-duplicates, over all faces at once."""
    if clusters is None:
        return pool, kept
    if pool.groups is not None:
        raise WordsError("the source says which faces belong together; leave --groups out")
    everything = pool if kept is None else join([pool, kept], "all")
    said(f"comparing {len(everything):,} faces to find near-duplicates")
    faces = FaceDataset(everything, Preprocessing(size=48, grey=True))
    numbers = clusters(np.asarray(faces.pixels)).tolist()
    groups = tuple(f"cluster{number}" for number in numbers)
    said(f"{len(set(groups)):,} clusters of faces that look the same")
    pool = replace(pool, groups=groups[: len(pool)])
    return pool, kept and replace(kept, groups=groups[len(pool) :])


def _way(asked: Way | None, pool: Listing, source: str) -> Way:
    if asked is None:
        return "stratified" if pool.groups is None else "stratified-group"
    if asked == "stratified" and pool.groups is not None:
        raise DataError(
            f"{printable(source)} says which faces belong together ({len(set(pool.groups)):,} "
            "groups), and by class alone one person would be in two splits; take "
            "--by stratified-group"
        )
    if asked != "stratified" and pool.groups is None:
        raise WordsError(
            f"{printable(source)} does not say which faces belong together; name a column with "
            "--group-column, or take near-duplicates with --groups clusters"
        )
    return asked


def _apart_from(pool: Listing, kept: Listing | None) -> tuple[Listing, tuple[str, ...]]:
    """Leave out the faces whose group has faces in the test that stays."""
    if kept is None or pool.groups is None or kept.groups is None:
        return pool, ()
    held = set(kept.groups)
    apart = [index for index, group in enumerate(pool.groups) if group not in held]
    gone = len(pool) - len(apart)
    if not apart:
        raise DataError("every face is in a group of the test that stays; leave --keep-test out")
    note = f"{gone:,} faces are left out, as their groups have faces in the test that stays"
    return pool.take(apart), (note,) if gone else ()


def _divided(pool: Listing, kept: Listing | None, way: Way, plan: SplitPlan) -> Iterator[Division]:
    own_test = {"test": replace(kept, split="test")} if kept is not None else {}
    if plan.folds is not None:
        places = by_folds(pool, plan.folds, way, plan.seed)
        for fold in range(plan.folds):
            parts = np.where(places == fold, 1, 0)
            yield _division(f"fold{fold + 1}", pool, parts, own_test)
        return
    if kept is not None and len(plan.fractions) == 3:
        raise WordsError("with --keep-test, --fractions are two: train and val, such as 0.9,0.1")
    yield _division("", pool, by_fractions(pool, plan.fractions, way, plan.seed), own_test)


def _division(
    name: str, pool: Listing, places: Places, own_test: Mapping[str, Listing]
) -> Division:
    splits = {
        split: pool.take(np.flatnonzero(places == number), split)
        for number, split in enumerate(_PARTS)
        if (places == number).any()
    } | dict(own_test)
    shared = None
    if all(listing.groups is not None for listing in splits.values()):
        groups = [group for listing in splits.values() for group in listing.groups or ()]
        numbers = np.repeat(np.arange(len(splits)), [len(x) for x in splits.values()])
        shared = shared_groups(groups, numbers)
    return Division(name=name, splits=splits, shared_groups=shared)


def _write(
    folder: Path, division: Division, names: Mapping[str, str], plan: SplitPlan, root: Path
) -> dict[str, str]:
    """Write the lists of a division, read them back, and return the SHA-256 of each file."""
    hashes = {}
    if division.name:
        path = folder / f"{division.name}.csv"
        members = {face: split for split, x in division.splits.items() for face in x.ids}
        whole = join(list(division.splits.values()), "all")
        hashes[path.name] = write_list(path, whole, names, members)
    else:
        for split, listing in division.splits.items():
            path = folder / f"{split}.csv"
            hashes[path.name] = write_list(path, listing, names)
    place = path if division.name else folder
    roots = (str(root.absolute()),) if plan.pictures == "leave" else ()
    for split, listing in division.splits.items():
        read = READERS["csv"](place, split, DataSettings(roots=roots))
        check_round_trip(listing, read, names)
    return hashes


def _summary(
    settings: DataSettings,
    source: DataSource,
    way: Way,
    plan: SplitPlan,
    divisions: Sequence[Division],
    hashes: Mapping[str, Mapping[str, str]],
    notes: Sequence[str],
    clusters: Clusters | None,
) -> dict[str, Any]:
    """What repeats the split and what it holds."""
    groups = None if way == "stratified" else (settings.group_column or "the source's own")
    return {
        "source": settings.data,
        "layout": source.layout,
        "source_sha256": source.hashes(),
        "by": way,
        "groups": "near-duplicate clusters" if clusters else groups,
        "seed": plan.seed,
        "fractions": None if plan.folds else list(plan.fractions),
        "folds": plan.folds,
        "test_kept": plan.keep_test,
        "pictures": plan.pictures,
        "root": str(source.root.absolute()) if plan.pictures == "leave" else "faces",
        "divisions": [
            {
                "name": division.name,
                "splits": {
                    split: {"faces": len(listing), "classes": listing.counts()}
                    for split, listing in division.splits.items()
                },
                "groups_shared": division.shared_groups,
                "sha256": dict(hashes[division.name]),
            }
            for division in divisions
        ],
        "notes": list(notes),
    }


def _train_with(output: Path, divisions: Sequence[Division], plan: SplitPlan, root: Path) -> str:
    place = output / f"{divisions[0].name}.csv" if divisions[0].name else output
    roots = f" --roots {root}" if plan.pictures == "leave" else ""
    return f"--data {place}{roots}"


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
