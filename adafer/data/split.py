"""Carving a validation split out of train."""

import hashlib
from dataclasses import replace

import numpy as np

from adafer.data.listing import Listing
from adafer.errors import WordsError


def carve(train: Listing, fraction: float, seed: int) -> tuple[Listing, Listing]:
    """Divide train into train and validation: seeded, stratified, in the order of the listing.

    A face's place depends on its id, its class and the seed, not on its position, so a listing in
    another order gives the same split. A class with two faces or more gives at least one and keeps
    at least one; a class with one face keeps it.
    """
    if not 0 < fraction < 1:
        raise WordsError(f"validation_fraction is {fraction}; give a share between 0 and 1")
    rank = np.array([_rank(name, seed) for name in train.ids])
    chosen = np.zeros(len(train), bool)
    for label in range(len(train.class_names)):
        members = np.flatnonzero(train.labels == label)
        if len(members) > 1:
            share = min(max(round(fraction * len(members)), 1), len(members) - 1)
            chosen[members[np.argsort(rank[members], kind="stable")[:share]]] = True
    kept, carved = train.take(np.flatnonzero(~chosen)), train.take(np.flatnonzero(chosen), "val")
    note = f"validation is {len(carved):,} of the {len(train):,} training faces, drawn by class"
    return kept, replace(carved, carved=True, left_out=(), notes=(note,))


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
