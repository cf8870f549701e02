"""Small fake trees on disk, one per layout, whose every label is known from the file's name.

Each writes two faces of every class for train and one for test, plain squares whose grey level is
10 x the class in the layout's own numbering, and returns the root.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from adafer.labels import FER2013_ORDER, FERPLUS_ORDER, RAFDB_ORDER


def picture(path: Path, level: int = 0, side: int = 12) -> Path:
    """Write a grey square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), level, np.uint8)).save(path)
    return path


def table(path: Path, rows: Iterable[Iterable[object]]) -> Path:
    """Write a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def pixels(level: int = 0, count: int = 2304) -> str:
    """Pixel string of a plain face."""
    return " ".join([str(level)] * count)


def ferplus(root: Path) -> Path:
    """FER+'s folders; every face has eight votes for its class and two for unknown."""
    for split, per_class in (("Train", 2), ("Valid", 1), ("Test", 1)):
        folder, rows = root / f"FER2013{split}", []
        for label in range(len(FERPLUS_ORDER)):
            for copy in range(per_class):
                name = f"{split}{label}{copy}.png"
                picture(folder / name, 10 * label)
                votes = [8 * (column == label) for column in range(8)]
                rows.append([name, "(0, 0, 48, 48)", *votes, 2, 0])
        table(folder / "label.csv", rows)
    return root


def fer_csv(root: Path) -> Path:
    """Train, val and test with FER+'s numbers 0-7."""
    for split, per_class in (("train", 2), ("val", 1), ("test", 1)):
        labels = [label for label in range(len(FERPLUS_ORDER)) for _ in range(per_class)]
        rows = [[label, pixels(10 * label + len(split))] for label in labels]
        table(root / f"{split}.csv", [["emotion", "pixels"], *rows])
    return root


def fer2013(root: Path) -> Path:
    """One fer2013.csv with Usage and the original's header spaces."""
    usages = [("Training", 2), ("PublicTest", 1), ("PrivateTest", 1)]
    labels = range(len(FER2013_ORDER))
    rows = [[n, u, pixels(10 * n)] for u, copies in usages for n in labels for _ in range(copies)]
    table(root / "fer2013.csv", [["emotion", " Usage", " pixels"], *rows])
    return root


def rafdb(root: Path) -> Path:
    """RAF-DB's official layout with aligned faces."""
    lines = []
    for split, copies in (("train", 2), ("test", 1)):
        for n in range(copies * len(RAFDB_ORDER)):
            number = n % len(RAFDB_ORDER) + 1
            picture(root / f"basic/Image/aligned/{split}_{n:05d}_aligned.jpg", 10 * number)
            lines.append(f"{split}_{n:05d}.jpg {number}\n")
    (root / "basic/EmoLabel").mkdir()
    (root / "basic/EmoLabel/list_patition_label.txt").write_text("".join(lines))
    return root


def rafdb_kaggle(root: Path) -> Path:
    """Kaggle's numbered folders with label lists beside DATASET."""
    for split, copies in (("train", 2), ("test", 1)):
        rows: list[list[object]] = [["image", "label"]]
        for n in range(copies * len(RAFDB_ORDER)):
            number, name = n % len(RAFDB_ORDER) + 1, f"{split}_{n:05d}_aligned.jpg"
            picture(root / f"DATASET/{split}/{number}" / name, 10 * number)
            rows.append([name, number])
        table(root / f"{split}_labels.csv", rows)
    return root


def imagefolder(root: Path, names: Iterable[str] = ("Happy", "sad", "ANGRY")) -> Path:
    """Class folders, two pictures of each class for train and one for test."""
    for split, copies in (("train", 2), ("test", 1)):
        for label, name in enumerate(names):
            for copy in range(copies):
                picture(root / split / name / f"{split}{label}{copy}.png", 10 * label)
    return root


def csv_splits(root: Path, names: Iterable[str] = ("happy", "sad", "angry")) -> Path:
    """Train, val and test lists with a path and a label."""
    for split, copies in (("train", 2), ("val", 1), ("test", 1)):
        rows: list[list[object]] = [["image_path", "emotion"]]
        for label, name in enumerate(names):
            for copy in range(copies):
                path = picture(root / f"faces/{split}{label}{copy}.png", 10 * label)
                rows.append([path.relative_to(root), name])
        table(root / f"{split}.csv", rows)
    return root


def label_map(root: Path, content: object) -> Path:
    """Write label_map.json."""
    path = root / "label_map.json"
    path.write_text(json.dumps(content))
    return path


FAKES = {
    "ferplus": ferplus,
    "fer-csv": fer_csv,
    "rafdb": rafdb,
    "rafdb-kaggle": rafdb_kaggle,
    "imagefolder": imagefolder,
    "csv": csv_splits,
}
"""A fake tree for every layout on disk."""
