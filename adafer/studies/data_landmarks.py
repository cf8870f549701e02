"""Find the landmarks of every face of a data set, and write them to a file."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console as Terminal
from rich.progress import Progress, TaskID

from adafer.data import open_data
from adafer.data.face_points import detected, write_landmarks
from adafer.data.files import SplitMissing
from adafer.data.listing import Listing
from adafer.data.sources import join
from adafer.errors import DataError
from adafer.faces import FaceDetector
from adafer.settings.data import DataSettings


def find_landmarks(settings: DataSettings, detector: Path, output: Path) -> Iterator[str]:
    """Look for the landmarks of every split; write the file, and say what was found.

    Raises:
        DataError: no such detector or data, or no face found at all.
    """
    model = FaceDetector(detector)
    found: dict[str, Listing] = {}
    for split, listing in _splits(replace(settings, landmarks="canonical")).items():
        with Progress(transient=True, console=Terminal(stderr=True)) as bar:
            task = bar.add_task(f"landmarks of {split}", total=len(listing))
            advance = partial(_shown, bar, task)
            found[split] = detected(listing, model, advance)
        yield found[split].notes[-1]
    points = [each.landmarks for each in found.values() if each.landmarks is not None]
    if not any(np.isfinite(landmarks).any() for landmarks in points):
        raise DataError("the detector found no face in any picture; look at `adafer data show`")
    write_landmarks(output, found)
    yield f"landmarks: {output}"


def _splits(settings: DataSettings) -> dict[str, Listing]:
    """Listings by split; faces of a validation that is carved out of train stand under train."""
    every = replace(settings, train_labels="votes", evaluation_faces="votes")
    source = open_data(every)
    if source.validation.carved:
        found = {"train": join([source.train, source.validation], "train")}
    else:
        found = {"train": source.train, "val": source.validation}
    with suppress(SplitMissing):
        found["test"] = source.test()
    return found


def _shown(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)
