"""`adafer data show`: faces as a model sees them, before and after random variation.

Legend: N faces, S side in pixels, P landmarks.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data import DataSource, open_data
from adafer.data.augment import Augmentation, Face, Points
from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.data.loader import augmentation_for
from adafer.errors import WordsError
from adafer.image import Preprocessing
from adafer.predictions_file import write_bytes
from adafer.report.sheet import Row, draw_sheet
from adafer.settings.data import DataSettings
from adafer.studies.data_check import plain_name, refuse_inside

MOST_FACES, MOST_DRAWS = 200, 50
USUAL_SIZE = 224
"""Side of a face, in pixels, where the settings leave it to the backbone."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sheet of faces and where it lies."""

    path: Path
    ids: tuple[str, ...]  # of the faces, from top to bottom
    landmarks: int  # points drawn in each face; 0 where the data has none


def show_data(
    settings: DataSettings,
    *,
    split: str = "train",
    count: int = 12,
    draws: int = 6,
    seed: int = 0,
    output: Path | None = None,
) -> Shown:
    """Write a sheet: a row for each face, as it is and as training would vary it.

    Faces are drawn at random from the split with `seed`. Variation number n is what a face gets
    in epoch n of a training with that seed, at the level that the settings say.

    Raises:
        DataError: no data there, or pictures that cannot be read.
        WordsError: an unknown split, too many faces or draws, or an output inside the data.
    """
    for name, value, most in (("count", count, MOST_FACES), ("draws", draws, MOST_DRAWS)):
        if not 1 <= value <= most:
            raise WordsError(f"--{name} is {value}; give a number from 1 to {most}")
    path = output or Path("data_show") / f"{plain_name(settings.data)}-{split}.png"
    refuse_inside(settings.data, path)
    listing = _listing(open_data(settings), split)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(listing))[:count])
    preprocessing = Preprocessing(
        settings.img_size or USUAL_SIZE, settings.grey, crop=settings.crop
    )
    dataset = FaceDataset(listing.take(chosen), preprocessing, settings.max_bad)
    places = dict(zip(listing.ids, range(len(listing)), strict=True))
    augmentation = augmentation_for(settings.augment, seed, preprocessing)
    rows = [
        _row(dataset, row, augmentation, places[name], draws)
        for row, name in enumerate(dataset.listing.ids)
    ]
    headings = ["as it is", *(f"epoch {epoch}" for epoch in range(1, draws + 1))]
    side = max(72, min(160, preprocessing.size))
    write_bytes(path, draw_sheet(rows, headings, side=side))
    points = 0 if dataset.landmarks is None else dataset.landmarks.shape[1]
    return Shown(path=path, ids=dataset.listing.ids, landmarks=points)


def _listing(source: DataSource, split: str) -> Listing:
    splits = {"train": lambda: source.train, "val": lambda: source.validation, "test": source.test}
    if split not in splits:
        raise WordsError(f"no split {split!r}; choose train, val or test")
    return splits[split]()


def _row(dataset: FaceDataset, row: int, augmentation: Augmentation, place: int, draws: int) -> Row:
    listing, face = dataset.listing, dataset.pixels[row]  # the whole of it
    points = None if dataset.landmarks is None else dataset.landmarks[row]
    varied = [
        _varied(augmentation, face, points, listing.mirror_points, epoch, place)
        for epoch in range(1, draws + 1)
    ]
    return Row(
        title=listing.class_names[int(listing.labels[row])],
        below=_votes(listing, row),
        faces=(face, *(pixels for pixels, _ in varied)),
        points=(points, *(moved for _, moved in varied)),
    )


def _varied(
    augmentation: Augmentation,
    face: Face,
    points: Points | None,
    mirror_points: tuple[int, ...],
    epoch: int,
    place: int,
) -> tuple[Face, Points | None]:
    if points is None:
        return augmentation(face, epoch, place), None
    return augmentation.with_points(face, points, mirror_points, epoch, place)


def _votes(listing: Listing, row: int) -> str:
    """The two most chosen classes, where the data has votes and the annotators disagree."""
    if listing.votes is None:
        return ""
    shares: NDArray[np.float32] = listing.votes[row]
    first, second = np.argsort(-shares, kind="stable")[:2].tolist()
    if shares[second] <= 0:
        return "all votes"
    return (
        f"{100 * shares[first]:.0f} %, {listing.class_names[second]} {100 * shares[second]:.0f} %"
    )
