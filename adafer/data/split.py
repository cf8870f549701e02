"""Dividing faces at random, yet repeatably: by class, by group, or by both.

Legend: N faces, C classes. A face's place depends on its id, its class, its group and the seed, not
on its position, so a listing in another order is divided alike.
"""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adafer.data.listing import Listing
from adafer.errors import DataError, WordsError

Way = Literal["stratified", "group", "stratified-group"]
"""By class, by group, or by group with the classes as equal as the groups allow."""

Places = NDArray[np.int64]
"""Number of the part or fold of each face, (N,)."""

_FINEST = 100  # most parts of equal size from which fractions are put together
_MANY = 2000  # groups; from here on those of one face are divided apart, which is faster


def carve(train: Listing, fraction: float, seed: int) -> tuple[Listing, Listing]:
    """Divide train into train and validation: seeded, stratified, in the order of the listing.

    Where the listing says which faces belong together, no group is on both sides. Else a class
    with two faces or more gives at least one and keeps at least one; a class with one keeps it.

    Raises:
        WordsError: if the fraction is no share between 0 and 1.
        DataError: if all faces are one group.
    """
    if not 0 < fraction < 1:
        raise WordsError(f"validation_fraction is {fraction}; give a share between 0 and 1")
    if train.groups is None:
        held, drawn = _drawn(train, fraction, seed), "drawn by class"
    else:
        held, drawn = _grouped(train, fraction, seed), "drawn by group, none on both sides"
    kept, carved = train.take(np.flatnonzero(~held)), train.take(np.flatnonzero(held), "val")
    note = f"validation is {len(carved):,} of the {len(train):,} training faces, {drawn}"
    return kept, replace(carved, carved=True, left_out=(), notes=(note,))


def by_fractions(listing: Listing, fractions: Sequence[float], way: Way, seed: int) -> Places:
    """Part of each face: 0 to len(fractions) - 1, of these shares of all faces.

    Raises:
        WordsError: fractions that are no shares of one whole, or that so few groups cannot make.
    """
    if not 2 <= len(fractions) <= 3 or any(not 0 < f < 1 for f in fractions):
        raise WordsError("fractions are two or three shares between 0 and 1, such as 0.8,0.1,0.1")
    if abs(sum(fractions) - 1) > 1e-6:
        raise WordsError(f"fractions sum to {sum(fractions):g}; give shares that sum to 1")
    if way == "stratified":
        return _by_class(listing, fractions, seed)
    exact = [Fraction(f).limit_denominator(_FINEST) for f in fractions]
    number = math.lcm(*(f.denominator for f in exact))
    if number > _FINEST or sum(exact) != 1:
        raise WordsError("fractions by group are whole hundredths, such as 0.7,0.15,0.15")
    return _united(listing, by_folds(listing, number, way, seed), [int(f * number) for f in exact])


def by_folds(listing: Listing, number: int, way: Way, seed: int) -> Places:
    """Fold of each face, 0 to number - 1, of about equal size.

    By scikit-learn's StratifiedKFold, GroupKFold or StratifiedGroupKFold on the sorted ids.

    Raises:
        WordsError: more folds than groups, or than faces of the largest class.
    """
    codes = _codes(listing, seed)
    most, of_what = (
        (int(np.bincount(listing.labels).max()), "faces in the largest class")
        if way == "stratified"
        else (int(codes.max()) + 1, "groups")
    )
    if number < 2 or number > most:
        raise WordsError(f"{number} folds of {most:,} {of_what}; give 2 to {most:,} folds")
    by_name = np.array(sorted(range(len(listing)), key=listing.ids.__getitem__), np.intp)
    sizes = np.bincount(codes)[codes[by_name]]
    pieces = [by_name]
    if way == "stratified-group" and codes.max() >= _MANY:
        # A group of one face is no group: what remains is a plain division by class.
        pieces = [by_name[sizes > 1], by_name[sizes == 1]]
    places = np.zeros(len(listing), np.int64)
    for piece in pieces:
        single = len(pieces) > 1 and len(np.unique(codes[piece])) == len(piece)
        places[piece] = _dealt(
            listing.labels[piece], codes[piece], number, "stratified" if single else way, seed
        )
    return places


def shared_groups(groups: Sequence[str], places: Places) -> int:
    """How many groups have faces in more than one part."""
    seen: dict[str, int] = {}
    shared = set()
    for group, place in zip(groups, places.tolist(), strict=True):
        if seen.setdefault(group, place) != place:
            shared.add(group)
    return len(shared)


def _dealt(labels: Places, codes: Places, number: int, way: Way, seed: int) -> Places:
    """Fold of each face by scikit-learn, imported for it alone; few faces are dealt in turn."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

    places = np.arange(len(labels), dtype=np.int64) % number
    enough = len(labels) and np.bincount(labels).max() >= number
    if not enough or len(np.unique(codes)) < number:
        return places if way == "stratified" else np.unique(codes, return_inverse=True)[1] % number
    splitter: Any = {
        "stratified": StratifiedKFold(number, shuffle=True, random_state=seed),
        "group": GroupKFold(number),  # its order is that of the codes, which the seed draws
        "stratified-group": StratifiedGroupKFold(number, shuffle=True, random_state=seed),
    }[way]
    with warnings.catch_warnings():
        # A class with fewer faces than folds is missing in some; the table of the split shows it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        together = None if way == "stratified" else codes
        for fold, (_, held) in enumerate(splitter.split(labels, labels, together)):
            places[held] = fold
    return places


def _by_class(listing: Listing, fractions: Sequence[float], seed: int) -> Places:
    """Last part first, each drawn from what is left."""
    places = np.zeros(len(listing), np.int64)
    left, share = np.arange(len(listing)), 1.0
    for part in range(len(fractions) - 1, 0, -1):
        held = _drawn(listing.take(left), fractions[part] / share, seed)
        places[left[held]] = part
        left, share = left[~held], share - fractions[part]
    return places


def _drawn(listing: Listing, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which faces are held back: of each class the share with the lowest rank."""
    rank = np.array([_rank(name, seed) for name in listing.ids])
    held = np.zeros(len(listing), bool)
    for label in range(len(listing.class_names)):
        members = np.flatnonzero(listing.labels == label)
        if len(members) > 1:
            share = min(max(round(fraction * len(members)), 1), len(members) - 1)
            held[members[np.argsort(rank[members], kind="stable")[:share]]] = True
    return held


def _grouped(listing: Listing, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which faces are held back: whole groups, near the share of each class."""
    groups = len(set(listing.groups or ()))
    if groups < 2:
        raise DataError(
            "all training faces are one group, so none can be held back for validation; give "
            "validation faces, or another --group-column"
        )
    exact = Fraction(fraction).limit_denominator(20)
    if exact.denominator > groups or exact in (0, 1):
        exact = Fraction(min(max(round(fraction * groups), 1), groups - 1), groups)
    places = by_folds(listing, exact.denominator, "stratified-group", seed)
    counts = [exact.denominator - exact.numerator, exact.numerator]
    return np.asarray(_united(listing, places, counts) == 1)


def _united(listing: Listing, folds: Places, counts: Sequence[int]) -> Places:
    """Parts of so many folds each, chosen so that they lack few classes and have their sizes."""
    number, parts = sum(counts), np.repeat(np.arange(len(counts)), counts)
    wanted = np.array(counts) * len(listing) / number

    def lacking(parts_of_folds: Places) -> tuple[float, ...]:
        places = parts_of_folds[folds]
        table = np.zeros((len(counts), len(listing.class_names)), np.int64)
        np.add.at(table, (places, listing.labels), 1)
        return (*(table == 0).sum(1).tolist(), float(np.abs(table.sum(1) - wanted).sum()))

    best = min((np.roll(parts, turn) for turn in range(number)), key=lacking)
    return np.asarray(best[folds], np.int64)


def _codes(listing: Listing, seed: int) -> Places:
    """Number of each face's group, in an order drawn by the seed; each face alone without any."""
    names = listing.groups or listing.ids
    ranks = {name: _rank(name, seed) for name in set(names)}
    numbers = {name: number for number, name in enumerate(sorted(ranks, key=ranks.__getitem__))}
    return np.array([numbers[name] for name in names], np.int64)


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def stratified_choice(
    ids: Sequence[str], labels: Places, number: int, seed: int
) -> NDArray[np.bool_]:
    """Choose exactly so many faces, of each class its share, by the rank of their ids, (N,)."""
    chosen = np.zeros(len(ids), bool)
    if number >= len(ids):
        return ~chosen
    rank = np.array([_rank(name, seed) for name in ids])
    names, sizes = np.unique(labels, return_counts=True)
    exact = sizes * number / max(len(ids), 1)
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - shares), kind="stable")[: number - int(shares.sum())]
    shares[rest] += 1
    for name, share in zip(names, shares, strict=True):
        members = np.flatnonzero(labels == name)
        chosen[members[np.argsort(rank[members], kind="stable")[:share]]] = True
    return chosen
