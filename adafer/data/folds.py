"""K-fold: all faces but those of test dealt into folds, one of which is held out.

Legend: N faces of the pool, K folds, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from adafer.data.dataset import FaceDataset
from adafer.data.duplicates import find_duplicates
from adafer.data.files import some
from adafer.data.listing import Listing
from adafer.data.sources import join
from adafer.data.split import Places, by_folds
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing, printable
from adafer.settings.data import DataSettings

_COMPARED = Preprocessing(size=48, grey=True)
"""How pictures are compared: the same for every model, so that all have the same folds."""


def check_fold(settings: DataSettings) -> None:
    """Refuse a fold without a number of folds, and the other way round.

    Raises:
        WordsError: with the flag to give.
    """
    folds, fold = settings.folds, settings.fold
    if folds == 0 and fold:
        raise WordsError(f"--fold {fold} is a fold of how many? give --folds too, such as 5")
    if folds < 0 or folds == 1:
        raise WordsError(f"--folds is {folds}; give 2 or more, such as 5")
    if folds and not 1 <= fold <= folds:
        raise WordsError(
            f"--folds {folds} needs the --fold that is held out, 1 to {folds}; `adafer crossval` "
            "trains one after the other"
        )


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold of a pool, and where all faces of the pool went."""

    train: Listing
    held_out: Listing
    pool: Listing  # N faces
    places: Places  # (N,) fold that holds each face out, from 1 on; 0 where none shows it


def one_fold(
    parts: Sequence[Listing], settings: DataSettings, scored: NDArray[np.bool_] | None = None
) -> Fold:
    """Return the faces to train on and the held-out faces of the fold that the settings name.

    `parts` are train and, where the data set has it, validation: the pool. A face is held out in
    exactly one fold. Classes are spread evenly; faces of one group, faces cut from one picture,
    and identical or mirrored pictures share a fold. `scored` (N,) says which faces of the pool a
    held-out part shows; the others of that fold are neither trained on nor shown.

    Raises:
        WordsError: more folds than groups.
        DataError: a class with fewer faces than folds, or a fold with faces of one class.
    """
    pool = joined(parts)
    shown = np.ones(len(pool), bool) if scored is None else scored
    units = inseparable(pool, settings.max_bad)
    places = dealt(pool, units, shown, settings)
    here = places == settings.fold - 1
    held = here & shown
    note = (
        f"fold {settings.fold} of {settings.folds}: {held.sum():,} of {len(pool):,} faces are held "
        f"out, {_how(pool, units)}"
    )
    unseen = int((here & ~shown).sum())
    if unseen:
        note += f"; {unseen:,} more, without a clear label, are neither trained on nor measured"
    listing = pool.take(np.flatnonzero(held), "val")
    return Fold(
        train=pool.take(np.flatnonzero(~here), "train"),
        held_out=replace(listing, carved=True, left_out=(), notes=(note,)),
        pool=pool,
        places=np.where(shown, places + 1, 0),
    )


def joined(parts: Sequence[Listing]) -> Listing:
    """Put splits of one data set together; ids that come twice get their split's name before."""
    names = [name for listing in parts for name in listing.ids]
    if len(set(names)) < len(names):
        parts = [replace(x, ids=tuple(f"{x.split}/{name}" for name in x.ids)) for x in parts]
    return join(parts, "train")


def inseparable(pool: Listing, max_bad: float = 0.0) -> tuple[str, ...]:
    """Name of the set of faces that each face may not be parted from, N; its first face's id.

    Linked, also by way of others, are faces of one group, of one file, or of the same pixels as
    they look in grey at 48 pixels, mirrored or not.
    """
    faces = FaceDataset(pool, _COMPARED, max_bad)
    copies = find_duplicates(np.asarray(faces.pixels), near=False).clusters().tolist()
    alike = dict(zip(faces.listing.ids, copies, strict=True))  # unreadable files are in no cluster
    files = [str(x) if isinstance(x, Path) else None for x in pool.pictures]
    keys: list[Sequence[object]] = [[alike.get(name) for name in pool.ids], files]
    if pool.groups is not None:
        keys.append(pool.groups)
    links: list[tuple[int, int]] = []
    for values in keys:
        first: dict[object, int] = {}
        links += [
            (first.setdefault(value, face), face)
            for face, value in enumerate(values)
            if value is not None
        ]
    ends = np.array(links, np.int64).reshape(-1, 2)
    size = (len(pool), len(pool))
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=size)
    _, numbers = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    for number, name in sorted(zip(numbers.tolist(), pool.ids, strict=True)):
        names.setdefault(number, name)  # the smallest id, whatever the order of the listing
    return tuple(names[number] for number in numbers.tolist())


def dealt(
    pool: Listing, units: Sequence[str], shown: NDArray[np.bool_], settings: DataSettings
) -> Places:
    """Fold of each face, 0 to K - 1, by scikit-learn with `split_seed`; see `by_folds`.

    Raises:
        WordsError: more folds than units.
        DataError: as `one_fold` says.
    """
    folds = settings.folds
    _check_classes(pool.take(np.flatnonzero(shown)), folds)
    number = len(set(units))
    if number < 2:
        raise DataError(
            "all faces belong to one group, so that none can be held out; give faces of more "
            "groups, or another --group-column"
        )
    grouped = replace(pool, groups=tuple(units))
    alone = number == len(pool)
    places = by_folds(
        grouped, folds, "stratified" if alone else "stratified-group", settings.split_seed
    )
    for fold in range(folds):
        for what, faces in (
            ("hold out", (places == fold) & shown),
            ("train on", places != fold),
        ):
            _check_part(pool, faces, f"fold {fold + 1} of {folds} would {what}")
    return places


def _check_classes(shown: Listing, folds: int) -> None:
    """Refuse a class that some fold could hold out no face of."""
    counts = {name: count for name, count in shown.counts().items() if count}
    few = {name: count for name, count in counts.items() if count < folds}
    if not few:
        return
    least = min(few.values())
    named = [f"{name} ({count:,})" for name, count in few.items()]
    way_out = f"give --folds {least} at most, or more faces" if least > 1 else "give more faces"
    raise DataError(
        f"{'a class has' if len(few) == 1 else f'{len(few)} classes have'} fewer faces than the "
        f"{folds} folds: {some(named, len(named), 8)}; {way_out}, or leave "
        f"{'that class' if len(few) == 1 else 'those classes'} out"
    )


def _check_part(pool: Listing, faces: NDArray[np.bool_], what: str) -> None:
    present = [n for n, count in pool.take(np.flatnonzero(faces)).counts().items() if count]
    if len(present) < 2:
        only = f"faces of one class only ({printable(present[0])})" if present else "no face"
        raise DataError(
            f"{what} {only}, as faces of one group stay together; give fewer --folds, or groups "
            "that show more than one class"
        )


def _how(pool: Listing, units: Sequence[str]) -> str:
    """Say what the dealing heeded."""
    if pool.groups is not None:
        return "drawn by class, no group in two folds"
    together = len(units) - len(set(units))
    if not together:
        return "drawn by class"
    noun = "face shares" if together == 1 else "faces share"
    return f"drawn by class; {together:,} {noun} the fold of a copy"
