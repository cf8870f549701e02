"""Faces in YOLO's format: data.yaml, pictures, and a text file of boxes for each picture."""

from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from adafer import image
from adafer.data.class_names import Classes, classes_of, read_label_map
from adafer.data.csv_rows import Faults, lines
from adafer.data.files import (
    Roots,
    SplitMissing,
    images_under,
    refuse_missing,
    some,
    split_folders,
)
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
_MAX_BYTES = 1_000_000
_MAX_CLASSES = 1000
_WAY_OUT = "write `names: [first class, second class]`"


def found(root: Path) -> bool:
    """Whether data.yaml and a folder of images and labels are here."""
    return _yaml(root) is not None and any(_folders(root))


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """YOLO: data.yaml with `names`, train/images, train/labels, the same for valid and test.

    Also images/train beside labels/train. A line of a label file is a class number and the box's
    centre, width and height as shares of the picture; the face is cut to its box. Pictures with no
    box or with several are left out and counted. Paths in data.yaml are not followed. Emotions
    stand in the project's order, other classes in that of `names`.
    AffectNet in this form (https://www.kaggle.com/datasets/fatihkgg/affectnet-yolo-format) has
    17,101 train, 5,406 validation, 2,755 test faces of 96 x 96 in the order anger, contempt,
    disgust, fear, happiness, neutral, sadness, surprise: a part of AffectNet, so no figure on it
    compares with a paper's.
    """
    pictures, labels = _folders(root)
    if split not in pictures:
        raise SplitMissing(f"no {split} images in {root}; add {split}/images and {split}/labels")
    classes, positions = _classes(root, settings)
    roots = Roots([pictures[split]], [root, *map(Path, settings.roots)])
    images, _ = images_under(pictures[split], roots)
    texts = _texts(labels.get(split), roots)
    chosen: list[Path] = []
    numbers: list[int] = []
    boxes: list[list[int]] = []
    left_out: Counter[str] = Counter()
    for path in images:
        text = texts.pop(path.relative_to(pictures[split]).with_suffix("").as_posix(), None)
        rows = _rows(text, len(positions)) if text else []
        if len(rows) != 1:
            left_out["more than one box" if rows else "no box"] += 1
            continue
        chosen.append(path)
        numbers.append(int(rows[0][0]))
        boxes.append(_pixels(path, rows[0][1:]))
    missing = refuse_missing(
        pictures[split], sorted(texts), len(images) + len(texts), settings.max_bad, "put them back"
    )
    return Listing(
        layout="yolo",
        split=split,
        class_names=classes.names,
        ids=tuple(printable(path.relative_to(root).as_posix()) for path in chosen),
        labels=np.array([positions[number] for number in numbers], np.int64),
        pictures=tuple(chosen),
        boxes=np.array(boxes, np.int64).reshape(-1, 4),
        left_out=(*sorted(left_out.items()), *missing),
        notes=classes.notes,
    )


def _yaml(root: Path) -> Path | None:
    return next((root / name for name in _NAMES if (root / name).is_file()), None)


def _folders(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Folders of pictures and of labels by split, in either of the two usual arrangements."""
    if (root / "images").is_dir() and split_folders(root / "images"):
        return split_folders(root / "images"), split_folders(root / "labels")
    splits = split_folders(root)
    pictures = {s: f / "images" for s, f in splits.items() if (f / "images").is_dir()}
    return pictures, {split: folder.parent / "labels" for split, folder in pictures.items()}


def _classes(root: Path, settings: DataSettings) -> tuple[Classes, list[int]]:
    """Classes, and the position of each number in data.yaml among them."""
    path = _yaml(root)
    if path is None:
        raise DataError(f"no data.yaml in {root}; {_WAY_OUT} there")
    names = _names(path)
    classes = classes_of(names, read_label_map([root]), settings.label_order)
    positions = [classes.position(name) for name in names]
    unknown = [name for name, place in zip(names, positions, strict=True) if place is None]
    if unknown:
        raise DataError(
            f"{printable(str(path))}: {some(unknown, len(unknown))} has no meaning in the chosen "
            "order; name the classes or leave --label-order out"
        )
    return classes, [place for place in positions if place is not None]


def _names(path: Path) -> list[str]:
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{printable(str(path))} is larger than 1 MB; {_WAY_OUT}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise DataError(f"{printable(str(path))} is not YAML; {_WAY_OUT}") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        by_number = {str(number): name for number, name in names.items()}
        names = [by_number[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not 0 < len(names) <= _MAX_CLASSES:
        raise DataError(f"{printable(str(path))} does not name its classes; {_WAY_OUT}")
    words = [str(name).strip() for name in names if isinstance(name, str | int)]
    if len(words) < len(names) or len({word.casefold() for word in words}) < len(names):
        raise DataError(f"{printable(str(path))} does not name different classes; {_WAY_OUT}")
    return words


def _texts(folder: Path | None, roots: Roots) -> dict[str, Path]:
    """Label files by the path of their picture without its suffix."""
    if folder is None or not folder.is_dir():
        place = printable(str(folder or "labels"))
        raise DataError(f"no {place}; put one text file of boxes for each picture there")
    paths = [path for path in folder.rglob("*.txt") if path.name[0] != "."]
    for path in paths:
        if not roots.holds(str(path.resolve())):
            raise DataError(f"{printable(str(path))} is outside the data root; copy it there")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _rows(path: Path, classes: int) -> list[list[float]]:
    """Class number, then centre x, centre y, width, height of each box; raises DataError."""
    faults, found = Faults(path), []
    for line, text in enumerate(lines(path), 1):
        words = text.split()
        if not words:
            continue
        if len(words) != 5:
            faults.add(line, f"{len(words)} words instead of a class number and four of its box")
        elif not (words[0].isascii() and words[0].isdigit() and int(words[0][:9]) < classes):
            faults.add(line, f"class {printable(words[0][:20])!r} is not from 0 to {classes - 1}")
        elif (shares := _shares(words[1:])) is None:
            faults.add(line, f"{printable(' '.join(words[1:])[:60])!r} is no box within 0 and 1")
        else:
            found.append([float(words[0]), *shares])
    faults.check()
    return found


def _shares(words: list[str]) -> list[float] | None:
    try:
        x, y, width, height = map(float, words)
    except ValueError:
        return None
    good = 0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1
    return [x, y, width, height] if good else None


def _pixels(path: Path, shares: list[float]) -> list[int]:
    """Left, top, right, bottom in pixels of the upright picture."""
    try:
        across, down = image.sides(path)
    except image.ImageError:
        return [0, 0, 1, 1]  # decoding names this file and leaves it out or stops
    x, y, width, height = shares
    left, top = round((x - width / 2) * across), round((y - height / 2) * down)
    right, bottom = round((x + width / 2) * across), round((y + height / 2) * down)
    return [left, top, max(right, left + 1), max(bottom, top + 1)]
