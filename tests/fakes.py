"""Small fake trees on disk, one per layout, whose every label is known from the file's name.

Each writes two faces of every class for train and one for test, plain squares whose grey level is
10 x the class in the layout's own numbering, and returns the root.
"""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adafer.labels import AFFECTNET_ORDER, FER2013_ORDER, FERPLUS_ORDER, RAFDB_ORDER


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


def ferplus_csv(root: Path) -> Path:
    """FER+'s fer2013new.csv beside fer2013.csv; every face has eight votes for its class."""
    usages = [("Training", 2), ("PublicTest", 1), ("PrivateTest", 1)]
    labels = [
        (n, u) for u, copies in usages for n in range(len(FERPLUS_ORDER)) for _ in range(copies)
    ]
    emotions = [min(n, 6) for n, _ in labels]  # FER2013's own labels, which are not FER+'s
    rows = [[e, pixels(10 * n), u] for e, (n, u) in zip(emotions, labels, strict=True)]
    table(root / "fer2013.csv", [["emotion", "pixels", "Usage"], *rows])
    header = ["Usage", "Image name", *FERPLUS_ORDER, "unknown", "NF"]
    votes = [[8 * (column == n) for column in range(8)] for n, _ in labels]
    names = [f"fer{place:07d}.png" for place in range(len(labels))]
    counted = [
        [usage, name, *vote, 2, 0]
        for (_, usage), name, vote in zip(labels, names, votes, strict=True)
    ]
    table(root / "fer2013new.csv", [header, *counted])
    return root


AFFECTNET_HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)


def face_points(left: float, top: float, side: float) -> list[tuple[float, float]]:
    """68 points inside a square, all different."""
    return [
        (left + side * (0.1 + 0.8 * (n % 17) / 16), top + side * (0.2 + 0.15 * (n // 17)))
        for n in range(68)
    ]


def affectnet_row(name: str, code: object, box: tuple[int, ...] = (4, 4, 16, 16)) -> list[object]:
    """Row of AffectNet's lists, with landmarks inside the box."""
    points = ";".join(f"{x:.2f};{y:.2f}" for x, y in face_points(box[0], box[1], box[2]))
    return [name, *box, points, code, 0.1, -0.1]


def affectnet(root: Path) -> Path:
    """AffectNet's lists; each face is a square of 16 pixels in a picture of 24."""
    for split, copies in (("training", 2), ("validation", 1)):
        rows: list[list[object]] = []
        for n in range(copies * len(AFFECTNET_ORDER)):
            code = n % len(AFFECTNET_ORDER)
            name = f"{n % 3}/{split}{n}.jpg"
            picture(root / "Manually_Annotated/Manually_Annotated_Images" / name, 10 * code, 24)
            rows.append(affectnet_row(name, code))
        table(root / f"Manually_Annotated_file_lists/{split}.csv", [AFFECTNET_HEADER, *rows])
    return root


def affectnet_npy(root: Path) -> Path:
    """AffectNet's numbered faces, whose codes are text in arrays without dimensions."""
    for split, copies in (("train_set", 2), ("val_set", 1)):
        notes = root / split / "annotations"
        notes.mkdir(parents=True)
        for n in range(copies * len(AFFECTNET_ORDER)):
            code = n % len(AFFECTNET_ORDER)
            picture(root / split / f"images/{n}.jpg", 10 * code, 24)
            np.save(notes / f"{n}_exp.npy", np.array(str(code)))
            np.save(notes / f"{n}_lnd.npy", np.array(face_points(4, 4, 16)).ravel())
    return root


def affectnet_txt(root: Path) -> Path:
    """AffectNet's numbered faces with POSTER's lists."""
    for split, word, copies in (("train_set", "train", 2), ("valid_set", "valid", 1)):
        lines = []
        for n in range(copies * len(AFFECTNET_ORDER)):
            picture(root / split / f"images/{n}.jpg", 10 * (n % 8), 24)
            lines.append(f"{n}.jpg {n % 8}\n")
        (root / split / f"{word}_annotations_8class.txt").write_text("".join(lines))
    return root


YOLO_NAMES = ("Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def yolo(root: Path) -> Path:
    """AffectNet as on Kaggle in YOLO's format; the box holds the class's grey, the rest white."""
    for split, copies in (("train", 2), ("valid", 1), ("test", 1)):
        for n in range(copies * len(YOLO_NAMES)):
            stem, levels = f"{split}{n}", np.full((24, 24), 255, np.uint8)
            levels[4:20, 6:22] = 10 * (n % 8)
            (root / split / "images").mkdir(parents=True, exist_ok=True)
            (root / split / "labels").mkdir(exist_ok=True)
            Image.fromarray(levels).save(root / split / f"images/{stem}.png")
            shares = f"{14 / 24:.6f} {12 / 24:.6f} {16 / 24:.6f} {16 / 24:.6f}"
            (root / split / f"labels/{stem}.txt").write_text(f"{n % 8} {shares}\n")
    listed = "".join(f"- {name}\n" for name in YOLO_NAMES)
    (root / "data.yaml").write_text(f"train: ../train/images\nnc: 8\nnames:\n{listed}")
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


def encoded(level: int = 0, side: int = 12) -> bytes:
    """A grey PNG as bytes."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), level).save(buffer, "PNG")
    return buffer.getvalue()


def face_rows(names: Iterable[object] = ("happy", "sad", "angry"), each: int = 2) -> dict[str, Any]:
    """Columns `image` and `label` of a table, with faces of each class."""
    labels = [name for name in names for _ in range(each)]
    levels = [10 * place for place, _ in enumerate(names) for _ in range(each)]
    pictures = [{"bytes": encoded(v), "path": f"{i}.png"} for i, v in enumerate(levels)]
    return {"image": pictures, "label": labels}


def parquet_file(path: Path, columns: dict[str, Any], names: Iterable[str] = ()) -> Path:
    """A table; with names, `label` is a ClassLabel of them as `datasets` writes it."""
    import pyarrow
    from pyarrow.parquet import write_table

    whole = pyarrow.table(columns)
    if names:
        label = {"names": list(names), "_type": "ClassLabel"}
        info = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        whole = whole.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(whole, path)
    return path


def parquet(root: Path, train: dict[str, Any] | None = None) -> Path:
    """A shard of train and one of test, as the hub has them, without a word on the types."""
    for split, columns in (("train", train or face_rows()), ("test", face_rows(each=1))):
        parquet_file(root / "data" / f"{split}-00000-of-00001.parquet", columns)
    return root


def saved(root: Path) -> Path:
    """A table for each split, as `save_to_disk` writes them."""
    import pyarrow

    for split, each in (("train", 2), ("test", 1)):
        (root / split).mkdir(parents=True)
        table = pyarrow.table(face_rows(each=each))
        path = root / split / "data-00000-of-00001.arrow"
        with path.open("wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        state = {
            "_data_files": [{"filename": path.name}],
            "_fingerprint": split,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        (root / split / "state.json").write_text(json.dumps(state))
        (root / split / "dataset_info.json").write_text("{}")
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return root


def hub_images(root: Path) -> Path:
    """Pictures of each split in one folder, with a metadata file beside them."""
    for split, each in (("train", 2), ("test", 1)):
        lines = []
        for number, name in enumerate(("happy", "sad", "angry") * each):
            picture(root / split / f"{split}{number}.png", 10 * (number % 3))
            lines.append(json.dumps({"file_name": f"{split}{number}.png", "label": name}))
        (root / split / "metadata.jsonl").write_text("\n".join(lines))
    return root


FAKES = {
    "ferplus": ferplus,
    "affectnet": affectnet,
    "affectnet-npy": affectnet_npy,
    "affectnet-txt": affectnet_txt,
    "yolo": yolo,
    "ferplus-csv": ferplus_csv,
    "fer-csv": fer_csv,
    "rafdb": rafdb,
    "rafdb-kaggle": rafdb_kaggle,
    "imagefolder": imagefolder,
    "csv": csv_splits,
    "hub-images": hub_images,
    "parquet": parquet,
    "arrow": saved,
}
"""A fake tree for every layout on disk."""
