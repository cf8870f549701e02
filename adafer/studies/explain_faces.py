"""Which faces are explained: the surest mistakes, a class, named ones, a probe, or pictures.

Legend: N faces, S side in pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer import image
from adafer.bundle import Bundle
from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.errors import DataError, WordsError
from adafer.evaluation import listing_of, measured
from adafer.pictures import SUFFIXES
from adafer.predictions import Predictions
from adafer.recipe import Recipe
from adafer.run import Run


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Faces as the model sees them, before normalisation."""

    ids: tuple[str, ...]
    pixels: NDArray[np.uint8]  # (N, S, S, 3)
    labels: NDArray[np.int64]  # (N,) class index, -1 where nobody said


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which faces a person asked for; the first that is set counts."""

    images: tuple[Path, ...] = ()
    probe: Path | None = None
    names: tuple[str, ...] = ()
    worst: int = 0
    class_name: str = ""
    per_class: int = 2


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A split as it was measured, and where its faces are."""

    listing: Listing
    predictions: Predictions
    bundle: Bundle
    max_bad: float

    def faces(self, places: Sequence[int] | NDArray[np.intp]) -> Faces:
        """Read these faces, and no others."""
        chosen = np.asarray(places, dtype=np.intp)
        dataset = FaceDataset(self.listing.take(chosen), self.bundle.preprocessing, self.max_bad)
        return Faces(
            ids=dataset.listing.ids,
            pixels=dataset.faces(np.arange(len(dataset))),
            labels=np.asarray(dataset.listing.labels, dtype=np.int64),
        )

    def place(self, name: str) -> int | None:
        """Place of a face by its name."""
        return self._places.get(name)

    @property
    def _places(self) -> dict[str, int]:
        return dict(zip(self.listing.ids, range(len(self.listing)), strict=True))


def measured_split(run: Run, recipe: Recipe, bundle: Bundle, split: str) -> Measured:
    """Open a split that was measured.

    Raises:
        DataError: if it was not, or if its faces are others now.
    """
    predictions = measured(run, split)
    listing = listing_of(recipe, split, bundle)
    if set(listing.ids) != set(predictions.ids):
        raise DataError(
            f"the {split} faces are others than those that were measured; run `adafer evaluate "
            f"{run.path} --split {split}` again"
        )
    order = {name: place for place, name in enumerate(listing.ids)}
    listing = listing.take(np.array([order[name] for name in predictions.ids], dtype=np.intp))
    return Measured(
        listing=listing, predictions=predictions, bundle=bundle, max_bad=recipe.data.max_bad
    )


def choose(wish: Wish, split: Measured | None, bundle: Bundle) -> Faces:
    """Return the faces of a wish; `split` is needed for all but pictures.

    Raises:
        WordsError: a class that the model does not know, no mistakes, or too little of a wish.
        DataError: a face or a picture that is not there.
    """
    if wish.images:
        return _pictures(list(_files(wish.images)), bundle)
    assert split is not None
    if wish.probe is not None:
        return _named(_lines(wish.probe), split, bundle)
    if wish.names:
        return _named(list(wish.names), split, bundle)
    if wish.worst:
        return split.faces(_mistakes(split.predictions, wish.worst))
    if wish.class_name:
        return split.faces(_of_class(split.predictions, wish.class_name))
    return split.faces(_some_of_each(split.predictions, wish.per_class))


def _mistakes(predictions: Predictions, count: int) -> NDArray[np.intp]:
    """The most confident wrong answers, surest first."""
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    if not len(wrong):
        raise WordsError("every face is named as it is labelled; leave --worst out")
    sure = predictions.probabilities[wrong].max(1)
    return wrong[np.argsort(-sure, kind="stable")][:count]


def _of_class(predictions: Predictions, name: str) -> NDArray[np.intp]:
    """Up to six right and six wrong faces of a label, surest first."""
    if name not in predictions.class_names:
        raise WordsError(
            f"the model knows no {name!r}; it knows {', '.join(predictions.class_names)}"
        )
    here = np.flatnonzero(predictions.labels == predictions.class_names.index(name))
    if not len(here):
        raise WordsError(f"no face here is labelled {name!r}; choose another --class")
    return _half_and_half(predictions, here, 6)


def _some_of_each(predictions: Predictions, count: int) -> NDArray[np.intp]:
    """Faces of each label, half of them right and half wrong where there are such."""
    chosen = [
        _half_and_half(predictions, here, max(1, count // 2))
        for number in range(len(predictions.class_names))
        if len(here := np.flatnonzero(predictions.labels == number))
    ]
    return np.concatenate(chosen)


def _half_and_half(predictions: Predictions, here: NDArray[np.intp], each: int) -> NDArray[np.intp]:
    sure = predictions.probabilities[here].max(1)
    ordered = here[np.argsort(-sure, kind="stable")]
    right = predictions.predicted[ordered] == predictions.labels[ordered]
    return np.concatenate([ordered[right][:each], ordered[~right][:each]])


def _named(names: list[str], split: Measured, bundle: Bundle) -> Faces:
    """Faces of the split by name, and pictures by path."""
    places = [split.place(name) for name in names]
    lost = [
        name
        for name, place in zip(names, places, strict=True)
        if place is None and not Path(name).is_file()
    ]
    if lost:
        raise DataError(
            f"no face {image.printable(lost[0])!r} in {split.listing.split}, and no such picture "
            f"({len(lost)} of {len(names)} are missing); correct the names"
        )
    inside = [place for place in places if place is not None]
    parts = [split.faces(inside)] if inside else []
    outside = [Path(name) for name, place in zip(names, places, strict=True) if place is None]
    if outside:
        parts.append(_pictures(outside, bundle))
    return Faces(
        ids=tuple(name for part in parts for name in part.ids),
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


def _lines(probe: Path) -> list[str]:
    try:
        names = [line.strip() for line in probe.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise DataError(f"no list of faces in '{probe}'; write one with --save-probe") from None
    if not any(names):
        raise DataError(f"'{probe}' names no face; write one name a line")
    return [name for name in names if name]


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """Pictures that were named, and those in folders that were."""
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise DataError(f"no pictures in '{path}'; give JPEG, PNG, WebP or BMP files")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise DataError(f"no picture '{path}'; correct --images")


def _pictures(paths: Sequence[Path], bundle: Bundle) -> Faces:
    pixels = [bundle.preprocessing.resized(image.read(path)) for path in paths]
    return Faces(
        ids=tuple(image.printable(str(path)) for path in paths),
        pixels=np.stack(pixels),
        labels=np.full(len(paths), -1, dtype=np.int64),
    )
