"""Wrong labels made on purpose, to see what a loss makes of them.

Legend: N faces, C classes.
"""

from dataclasses import replace

import numpy as np

from adafer.data.listing import Listing


def flipped(listing: Listing, share: float, seed: int) -> Listing:
    """Give this share of the faces another label, drawn evenly from the other classes.

    Symmetric noise (Patrini et al. 2017, arXiv:1609.03683). The votes of such a face change with
    it: those for the old and the new label change places, as if the whole annotation were wrong.
    Which faces are hit depends on the seed and on the number of faces alone.
    """
    if not share:
        return listing
    random = np.random.default_rng([seed, 7])
    count, classes = len(listing), len(listing.class_names)
    hit = random.permutation(count)[: round(share * count)]  # (n,)
    old = listing.labels[hit]
    new = (old + random.integers(1, classes, len(hit))) % classes
    labels = listing.labels.copy()
    labels[hit] = new
    votes = None
    if listing.votes is not None:
        votes = listing.votes.copy()
        votes[hit, old], votes[hit, new] = listing.votes[hit, new], listing.votes[hit, old]
    note = f"{len(hit):,} of {count:,} training labels were flipped on purpose (--label-noise)"
    return replace(listing, labels=labels, votes=votes, notes=(*listing.notes, note))
