"""Splits as files that the reader of CSV lists reads back: lists of paths, and the faces below.

    DIR/train.csv  val.csv  test.csv     path,label[,votes_CLASS...][,group]
    DIR/fold1.csv ...                    the same with a column split, one file a fold
    DIR/faces/...                        the pictures
    DIR/label_map.json                   the classes in their order

Legend: N faces.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adafer import image
from adafer.data.listing import Listing, pixels_of
from adafer.data.vote_columns import PREFIX
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.image import printable
from adafer.predictions_file import FORMULA, as_text, csv_bytes, write_bytes

Pictures = Literal["link", "leave"]
"""Hard links below DIR, copies where the disk is another one; or files left where they are."""

FACES = "faces"


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `output` if all goes well, and else goes.

    Raises:
        DataError: if `output` holds something, or a broken-off run is in the way.
        MachineError: if the disk does not take it.
    """
    place = Path(os.path.abspath(output.expanduser()))
    partial = place.with_name(place.name + ".partial")
    for path, way_out in ((place, "name a new folder"), (partial, "remove it")):
        if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
            raise DataError(f"{printable(str(path))} is not empty; {way_out}")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if place.is_dir():
                place.rmdir()  # it is empty
            partial.rename(place)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise MachineError(
            f"cannot write {printable(str(output))} ({why}); free space or name another folder"
        ) from None


def place_faces(
    listing: Listing,
    root: Path,
    folder: Path,
    pictures: Pictures,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[str, ...]:
    """Put the picture of each face below the folder, and name it as the list will, (N,).

    Faces that are no whole files are written as PNG, without loss: pixels of a CSV, drawn faces,
    and faces with a box, cut out.

    Raises:
        DataError: a picture that cannot be read.
        WordsError: pictures to be left where they are that lie outside the root.
    """
    names: list[str] = []
    taken: set[str] = set()
    for index, picture in enumerate(listing.pictures):
        if isinstance(picture, Path) and listing.boxes is None:
            name = _name_of_file(picture, root, pictures)
            if pictures == "link":
                _link(picture, folder / name)
        else:
            name = _free(f"{FACES}/{_safe(listing.ids[index])}.png", taken)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_pixels(listing, index)).save(target, format="PNG")
        taken.add(name)
        names.append(name)
        progress(index + 1)
    return tuple(names)


def write_list(
    path: Path, listing: Listing, names: Mapping[str, str], splits: Mapping[str, str] | None = None
) -> str:
    """Write one list, and return its SHA-256; `names` and `splits` are by the ids of the faces."""
    votes = [] if listing.votes is None else [f"{PREFIX}{name}" for name in listing.class_names]
    header = ["path", "label", *votes, *(["group"] if listing.groups is not None else [])]
    if splits is not None:
        header.append("split")
    rows = [header]
    for index, face in enumerate(listing.ids):
        row = [names[face], _label(listing, index)]
        if listing.votes is not None:
            row += [f"{share:.9g}" for share in listing.votes[index].tolist()]
        if listing.groups is not None:
            row.append(as_text(listing.groups[index]))
        if splits is not None:
            row.append(splits[face])
        rows.append(row)
    data = csv_bytes(rows)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def check_round_trip(written: Listing, read: Listing, names: Mapping[str, str]) -> None:
    """Make sure that a list says what was meant, to the bit of the votes.

    Raises:
        AdaferError: naming the split; a fault of this project, not of the data.
    """
    same = (
        read.ids == tuple(printable(names[face]) for face in written.ids)
        and read.class_names == written.class_names
        and np.array_equal(read.labels, written.labels)
        and _alike(read.votes, written.votes)
        and _as_sets(read.groups) == _as_sets(written.groups)
    )
    if not same:
        raise AdaferError(
            f"the list of {written.split} does not read back as it was meant; please report it "
            "with the first lines of the source"
        )


def _alike(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))


def _as_sets(groups: tuple[str, ...] | None) -> list[int] | None:
    """Groups without their names: each is called by the first face that is in it."""
    if groups is None:
        return None
    first: dict[str, int] = {}
    return [first.setdefault(name, index) for index, name in enumerate(groups)]


def _name_of_file(picture: Path, root: Path, pictures: Pictures) -> str:
    """Where a picture goes below DIR, or its path from the root if it is left there."""
    real, inside = os.path.realpath(picture), os.path.realpath(root)
    relative = os.path.relpath(real, inside)
    within = not relative.startswith(os.pardir) and not os.path.isabs(relative)
    name = relative if within else f"{_digest(os.path.dirname(real))}/{os.path.basename(real)}"
    name = name.replace(os.sep, "/")
    plain = "\\" not in name and name.isprintable() and name == name.strip()
    if pictures == "leave":
        if not within or not plain or name.startswith("~"):
            raise WordsError(
                f"{printable(str(picture))} has no plain path below {printable(str(root))}; take "
                "--pictures link"
            )
        return name
    return f"{FACES}/{name if plain else f'{_safe(name)}-{_digest(name)}{picture.suffix}'}"


def _link(picture: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = os.path.realpath(picture)
    if not os.path.isfile(source):
        raise DataError(
            f"{printable(str(picture))} was listed and is not there now; put it back or list the "
            "data set again"
        )
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _pixels(listing: Listing, index: int) -> NDArray[np.uint8]:
    """Pixels of a face, cut to its box."""
    pixels, box = pixels_of(listing.pictures[index]), listing.box(index)
    if box is None:
        return pixels
    left, top, right, bottom = image.clipped(box, pixels.shape[1], pixels.shape[0])
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _label(listing: Listing, index: int) -> str:
    """The class's name, or its number where a spreadsheet would run the name."""
    number = int(listing.labels[index])
    name = listing.class_names[number]
    return str(number) if name.startswith(FORMULA) else name


def _safe(name: str) -> str:
    """A file name of letters, digits, dots and dashes; folders stay."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip(".") for part in name.split("/")]
    return "/".join(part[:100] for part in parts if part) or "face"


def _free(name: str, taken: set[str]) -> str:
    stem, suffix = os.path.splitext(name)
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
