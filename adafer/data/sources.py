"""Several data sets as one: their training faces joined, what is synthetic capped and said.

Validation and test stay those of the first data set, so that figures keep their meaning. Leaks from
a further source into them are found like any other, by the comparison of pixels.
Legend: N faces, C classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.data.files import some
from adafer.data.listing import Listing
from adafer.data.split import stratified_choice
from adafer.errors import DataError, WordsError
from adafer.image import printable
from adafer.settings.data import DataSettings

ATTRIBUTE = "source"
"""Attribute of a joined listing: which source each face is from."""

_WHOLE = (0, 0, 2**31 - 1, 2**31 - 1)  # a box around any picture; it is clipped to the picture


@dataclass(frozen=True, kw_only=True)
class Part:
    """Training faces of one source."""

    name: str  # short and unique among the sources
    source: str  # as it was given
    synthetic: bool
    listing: Listing


def name_sources(sources: Sequence[str]) -> list[str]:
    """Short names, one of each kind: the last part of a path, numbered where it comes again."""
    names: list[str] = []
    for source in sources:
        word = printable(source.rstrip("/\\").replace("\\", "/").rpartition("/")[2]) or "source"
        again = sum(name == word or name.startswith(f"{word}-") for name in names)
        names.append(f"{word}-{again + 1}" if again else word)
    return names


def join_parts(parts: Sequence[Part], settings: DataSettings) -> Listing:
    """Join the training faces of several sources; the first one's classes are those of all.

    Synthetic faces are at most `synthetic_fraction` of the whole, drawn by class and source with
    `split_seed`. Ids of further sources begin with their name.

    Raises:
        DataError: a class that the first source lacks, unless `unknown_classes` says drop.
        WordsError: a fraction that is none.
    """
    share = settings.synthetic_fraction
    if not 0 <= share < 1:
        raise WordsError(f"synthetic_fraction is {share}; give a share from 0 to below 1")
    first = parts[0]
    others = [_fitted(part, first, settings.unknown_classes == "drop") for part in parts[1:]]
    real = sum(len(part.listing) for part in (first, *others) if not part.synthetic)
    made = [part for part in others if part.synthetic]
    most = int(share / (1 - share) * real + 1e-9)
    given = sum(len(part.listing) for part in made)
    if given > most:
        kept = _capped(made, most, settings.split_seed)
        others = [kept.get(part.name, part) for part in others]
    joined = join([first.listing, *(part.listing for part in others)], "train")
    names = tuple(p.name for p in (first, *others) for _ in range(len(p.listing)))
    left_out = (*joined.left_out, *_left("synthetic, above the share", given - min(given, most)))
    return replace(
        joined,
        layout=first.listing.layout,
        attributes={**joined.attributes, ATTRIBUTE: names},
        left_out=left_out,
        notes=(*joined.notes, _sentence([first, *others], given)),
    )


def composition(
    train: Listing, parts: Sequence[tuple[str, str, bool]], limit: float
) -> dict[str, Any]:
    """Sources of the faces that are trained on: (name, source, synthetic) with realised counts."""
    counts = Counter(train.attributes.get(ATTRIBUTE, (parts[0][0],) * len(train)))
    made = sum(counts[name] for name, _, synthetic in parts if synthetic)
    return {
        "sources": [
            {"name": name, "source": source, "synthetic": synthetic, "train": counts[name]}
            for name, source, synthetic in parts
        ],
        "synthetic_fraction": round(made / max(len(train), 1), 6),
        "synthetic_fraction_limit": limit,
    }


def join(listings: Sequence[Listing], split: str) -> Listing:
    """Put listings of the same classes after each other.

    Votes are filled in as one-hot where a listing has none and another has; a box as the whole
    picture; a group as the face alone. Landmarks stay if all have the same points. Attributes
    that some lack are "" there.
    """
    first = listings[0]
    assert all(listing.class_names == first.class_names for listing in listings)
    points = {listing.mirror_points for listing in listings}
    landmarks = None
    notes = [note for listing in listings for note in listing.notes]
    if len(points) == 1 and all(listing.landmarks is not None for listing in listings):
        landmarks = np.concatenate([_known(listing.landmarks) for listing in listings])
    elif any(listing.landmarks is not None for listing in listings):
        notes.append("landmarks are left out, as the sources have other points or none")
    if len({listing.votes is None for listing in listings}) == 2:
        bare = sum(len(listing) for listing in listings if listing.votes is None)
        notes.append(f"{bare:,} faces have no votes; their label stands for all of them")
    left_out: Counter[str] = Counter()
    for listing in listings:
        left_out.update(dict(listing.left_out))
    return replace(
        first,
        split=split,
        ids=tuple(name for listing in listings for name in listing.ids),
        labels=np.concatenate([listing.labels for listing in listings]),
        votes=_votes(listings),
        pictures=tuple(picture for listing in listings for picture in listing.pictures),
        boxes=_boxes(listings),
        left_out=tuple(left_out.items()),
        notes=tuple(dict.fromkeys(notes)),
        landmarks=landmarks,
        mirror_points=first.mirror_points if landmarks is not None else (),
        attributes=_attributes(listings),
        groups=_groups(listings),
    )


def _fitted(part: Part, first: Part, drop: bool) -> Part:
    """The part with the first source's classes, its names told apart from the others'."""
    ours, listing = first.listing.class_names, part.listing
    unknown = [name for name in listing.class_names if name not in ours and listing.counts()[name]]
    if unknown and not drop:
        raise DataError(
            f"{printable(part.source)} has the class {some(unknown, len(unknown))}, which "
            f"{printable(first.source)} lacks; leave its faces out with --unknown-classes drop, or "
            "name the source that has all classes first"
        )
    places = np.array([ours.index(n) if n in ours else -1 for n in listing.class_names], np.intp)
    kept = np.flatnonzero(places[listing.labels] >= 0)
    if not len(kept):
        raise DataError(
            f"{printable(part.source)} has no face of a class of {printable(first.source)}; "
            "leave it out"
        )
    left = listing.take(kept)
    labels = places[left.labels].astype(np.int64)
    attributes = {name: values for name, values in left.attributes.items() if name != ATTRIBUTE}
    reasons = dict(listing.left_out) | dict(
        _left("class that the first source lacks", len(listing) - len(kept))
    )
    fitted = replace(
        left,
        class_names=ours,
        labels=labels,
        votes=None if left.votes is None else _matched(left.votes, labels, places, len(ours)),
        ids=tuple(f"{part.name}:{name}" for name in left.ids),
        groups=None if left.groups is None else tuple(f"{part.name}:{g}" for g in left.groups),
        attributes=attributes,
        left_out=tuple((f"{part.name}: {reason}", n) for reason, n in reasons.items()),
        notes=tuple(f"{part.name}: {note}" for note in listing.notes),
    )
    return replace(part, listing=fitted)


def _matched(
    votes: NDArray[np.float32],
    labels: NDArray[np.int64],
    places: NDArray[np.intp],
    classes: int,
) -> NDArray[np.float32]:
    """Votes (N, C) for the first source's classes; those for others go, the rest sums to 1."""
    matched = np.zeros((len(votes), classes), np.float32)
    for column, place in enumerate(places.tolist()):
        if place >= 0:
            matched[:, place] = votes[:, column]
    gone = matched.sum(1) == 0
    matched[gone, labels[gone]] = 1
    return np.asarray(matched / matched.sum(1, keepdims=True), np.float32)


def _capped(made: Sequence[Part], most: int, seed: int) -> dict[str, Part]:
    """The synthetic parts with so many faces in all, drawn by source and class."""
    labels = np.concatenate(
        [part.listing.labels + place * 10_000 for place, part in enumerate(made)]
    )
    ids = tuple(name for part in made for name in part.listing.ids)
    chosen = stratified_choice(ids, labels, most, seed)
    ends = np.cumsum([0, *(len(part.listing) for part in made)])
    return {
        part.name: replace(
            part, listing=part.listing.take(np.flatnonzero(chosen[start:end]), "train")
        )
        for part, start, end in zip(made, ends, ends[1:], strict=False)
    }


def _sentence(parts: Sequence[Part], given: int) -> str:
    total = sum(len(part.listing) for part in parts)
    made = sum(len(part.listing) for part in parts if part.synthetic)
    each = ", ".join(
        f"{len(p.listing):,} of {p.name}{' (synthetic)' if p.synthetic else ''}" for p in parts
    )
    rest = f" of {given:,}" if given > made else ""
    synthetic = f"; {made:,}{rest} synthetic faces, {made / total:.1%} of train" if given else ""
    return f"train joins {each}{synthetic}; validation and test are {parts[0].name}'s alone"


def _left(reason: str, count: int) -> tuple[tuple[str, int], ...]:
    return ((reason, count),) if count else ()


def _known(array: NDArray[np.float32] | None) -> NDArray[np.float32]:
    assert array is not None
    return array


def _votes(listings: Sequence[Listing]) -> NDArray[np.float32] | None:
    if all(listing.votes is None for listing in listings):
        return None
    shares = np.eye(len(listings[0].class_names), dtype=np.float32)
    return np.concatenate([x.votes if x.votes is not None else shares[x.labels] for x in listings])


def _boxes(listings: Sequence[Listing]) -> NDArray[np.int64] | None:
    if all(listing.boxes is None for listing in listings):
        return None
    whole = np.array(_WHOLE, np.int64)
    return np.concatenate(
        [x.boxes if x.boxes is not None else np.tile(whole, (len(x), 1)) for x in listings]
    )


def _groups(listings: Sequence[Listing]) -> tuple[str, ...] | None:
    if all(listing.groups is None for listing in listings):
        return None
    return tuple(
        name for x in listings for name in (x.groups or tuple(f"alone:{n}" for n in x.ids))
    )


def _attributes(listings: Sequence[Listing]) -> Mapping[str, tuple[str, ...]]:
    names = dict.fromkeys(name for listing in listings for name in listing.attributes)
    return {
        name: tuple(v for x in listings for v in x.attributes.get(name, ("",) * len(x)))
        for name in names
    }
