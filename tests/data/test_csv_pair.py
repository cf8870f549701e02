"""Training and validation faces as two CSV files named one by one."""

import functools
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import csv_splits, fer2013, fer_csv, pixels, table

from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.data.files import SplitMissing
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.data.listing import Listing
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing
from adafer.labels import FER2013_ORDER, FERPLUS_ORDER, in_project_order
from adafer.settings.data import DataSettings


def pair(root: Path, **more: object) -> DataSettings:
    """Settings that name train.csv and val.csv of a folder."""
    given = {"train_csv": str(root / "train.csv"), "val_csv": str(root / "val.csv"), **more}
    return DataSettings(**given)  # type: ignore[arg-type]


def faces(path: Path, labels: object, level: int = 0) -> Path:
    """Write faces with these labels, each of another grey level."""
    rows = [[label, pixels(level + n)] for n, label in enumerate(labels)]  # type: ignore[call-overload]
    return table(path, [["emotion", "pixels"], *rows])


def names(listing: Listing) -> list[str]:
    return [listing.class_names[label] for label in listing.labels]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fer_csv(tmp_path / "faces")


# ── what is read ──────────────────────────────────────────────────────────────────────────────────


def test_a_pair_lists_the_same_faces_as_the_folder_of_the_two_files(root: Path) -> None:
    (root / "test.csv").unlink()
    named, folder = open_data(pair(root)), open_data(DataSettings(data=str(root)))
    assert named.layout == folder.layout == "fer-csv"
    assert named.hashes() == folder.hashes()
    assert named.train.ids[0] == "train.csv:2"
    assert not named.validation.carved


def test_the_tree_of_the_mission_is_read_as_it_is(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "FERPlus-master"
    shutil.copytree(root, tree / "data")
    (tree / "data" / "test.csv").unlink()
    assert open_data(DataSettings(data=str(tree))).hashes() == open_data(pair(root)).hashes()


def test_numbers_are_in_ferplus_order_and_a_note_says_so(root: Path) -> None:
    source = open_data(pair(root))
    assert names(source.validation) == list(FERPLUS_ORDER)
    (note,) = source.train.notes
    assert note.startswith(
        "labels 0-7 are read in FER+'s order: 0 neutral, 1 happiness, 2 surprise"
    )
    assert note.endswith("7 contempt")
    assert source.validation.notes == ()


def test_files_lie_anywhere_and_may_be_called_alike(root: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "faces.csv", tmp_path / "b" / "faces.csv"
    for path, split in ((first, "train"), (second, "val")):
        path.parent.mkdir()
        shutil.copy(root / f"{split}.csv", path)
    source = open_data(DataSettings(train_csv=str(first), val_csv=str(second)))
    assert (len(source.train), len(source.validation)) == (16, 8)
    pool = open_data(
        DataSettings(train_csv=str(first), val_csv=str(second), folds=2, fold=1)
    ).fold.pool  # type: ignore[union-attr]
    assert len(set(pool.ids)) == 24


def test_no_contempt_is_still_ferplus_and_the_doubt_is_told(tmp_path: Path) -> None:
    counts = [3171, 436, 4097, 7215, 4830, 3995, 4965]  # FER2013's own training faces, over 50
    labels = [label for label, count in enumerate(counts) for _ in range(count // 50)]
    rows = [["emotion", "pixels"], *([label, "7"] for label in labels)]
    table(tmp_path / "train.csv", rows)
    faces(tmp_path / "val.csv", range(7))
    shutil.copy(tmp_path / "train.csv", tmp_path / "one.csv")
    source = open_data(pair(tmp_path))
    assert source.class_names == FERPLUS_ORDER
    assert names(source.validation) == list(FERPLUS_ORDER[:7])
    assert "fit FER2013's better" in source.train.notes[0]
    assert source.train.notes[0].endswith("give --label-order fer2013")
    told = open_data(pair(tmp_path, label_order="fer2013"))
    assert told.class_names == in_project_order(frozenset(FER2013_ORDER))
    assert names(told.validation) == list(FER2013_ORDER)
    assert told.train.notes == ()


def test_train_alone_is_divided_repeatably(root: Path) -> None:
    settings = DataSettings(train_csv=str(root / "train.csv"))
    first, again = open_data(settings), open_data(settings)
    assert first.validation.carved
    assert len(first.train) + len(first.validation) == 16
    assert first.hashes() == again.hashes()


def test_there_is_no_test_and_the_sentence_says_how_to_measure_other_faces(root: Path) -> None:
    assert (root / "test.csv").is_file()  # beside the two files, and still not theirs
    with pytest.raises(SplitMissing, match="adafer evaluate RUN --split test --data SOURCE"):
        open_data(pair(root)).test()


def test_lists_of_paths_are_read_beside_their_own_list(tmp_path: Path) -> None:
    one, two = csv_splits(tmp_path / "one"), csv_splits(tmp_path / "two")
    source = open_data(DataSettings(train_csv=str(one / "train.csv"), val_csv=str(two / "val.csv")))
    assert source.layout == "csv"
    assert set(names(source.train)) == {"happiness", "sadness", "anger"}
    assert all(Path(p).is_relative_to(one) for p in source.train.pictures)  # type: ignore[arg-type]
    assert all(Path(p).is_relative_to(two) for p in source.validation.pictures)  # type: ignore[arg-type]


def test_further_sources_join_a_pair(root: Path) -> None:
    source = open_data(pair(root, also=(str(root),)))
    assert len(source.train) == 32
    told = source.composition(source.train)["sources"]
    assert [part["train"] for part in told] == [16, 16]
    assert told[0]["name"] == "train.csv"
    assert told[0]["source"] == f"{root / 'train.csv'} and {root / 'val.csv'}"


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def refused(settings: DataSettings, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        open_data(settings)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([3, pixels(count=2303)], "2,303 pixel values instead of 2,304"),
        ([8, pixels()], "label '8' is not a number from 0 to 7"),
        ([-1, pixels()], "label '-1' is not a number from 0 to 7"),
        (["happy", pixels()], "label 'happy' is not a number from 0 to 7"),
        ([3], "1 fields for 2 columns"),
        ([3, pixels(256)], "pixel value 256 is not a whole number from 0 to 255"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(
    split: str, row: list[object], reason: str, root: Path
) -> None:
    path = root / f"{split}.csv"
    with path.open("a", newline="") as file:
        file.write(",".join(map(str, row)) + "\r\n")
    line = len(path.read_text().splitlines())
    sentence = refused(pair(root))
    assert sentence.startswith(f"{path}: 1 bad row (line {line}: {reason}")


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty file"),
        ("emotion,pixels\n", "no rows below its header"),
        ("emotion,usage\n0,Training\n", "no column with the pixels"),
        (f"pixels\n{pixels()}\n", "no column with the label"),
        ("emotion,pixels,pixels\n", "'pixels' stands twice"),
    ],
)
def test_a_file_without_faces_or_columns_is_named(
    split: str, content: str, reason: str, root: Path
) -> None:
    path = root / f"{split}.csv"
    path.write_text(content)
    sentence = refused(pair(root))
    assert sentence.startswith(f"{path}: ")
    assert reason in sentence


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_that_is_not_there_and_a_folder_are_named(split: str, root: Path) -> None:
    path = root / f"{split}.csv"
    path.unlink()
    assert refused(pair(root)) == f"{path}: no such file; correct the path"
    path.mkdir()
    assert refused(pair(root)).startswith(f"{path} is no file; ")


def test_what_can_be_read_once_only_is_refused_without_waiting_for_it(root: Path) -> None:
    (root / "val.csv").unlink()
    os.mkfifo(root / "val.csv")
    assert "is no file" in refused(pair(root))


@pytest.mark.parametrize("way", ["same", "dots", "link", "hard link"])
def test_one_file_given_twice_is_refused(way: str, root: Path) -> None:
    train = root / "train.csv"
    (root / "other.csv").unlink(missing_ok=True)
    match way:
        case "link":
            (root / "other.csv").symlink_to(train)
        case "hard link":
            (root / "other.csv").hardlink_to(train)
    other = {"same": train, "dots": root / ".." / root.name / "train.csv"}.get(
        way, root / "other.csv"
    )
    sentence = refused(DataSettings(train_csv=str(train), val_csv=str(other)))
    assert sentence.startswith(f"{train} is both --train-csv and --val-csv; ")


def test_a_file_of_several_splits_is_not_one_of_them(tmp_path: Path) -> None:
    path = fer2013(tmp_path) / "fer2013.csv"
    sentence = refused(DataSettings(train_csv=str(path)))
    assert f"{path} holds test and train and val (column 'usage')" in sentence
    assert f"--data {path}" in sentence


def test_the_mark_of_fer2013_asks_whose_numbers_they_are(tmp_path: Path) -> None:
    rows = [[label, pixels(label), "Training"] for label in range(7) for _ in range(2)]
    train = table(tmp_path / "train.csv", [["emotion", "pixels", "Usage"], *rows])
    faces(tmp_path / "val.csv", range(7), 100)
    assert refused(pair(tmp_path)).startswith(f"{train} has labels 0-6 and a Usage column")
    source = open_data(pair(tmp_path, label_order="fer2013"))
    assert names(source.validation) == list(FER2013_ORDER)


def test_pixels_and_paths_are_not_mixed(root: Path, tmp_path: Path) -> None:
    lists = csv_splits(tmp_path / "lists")
    val = str(lists / "val.csv")
    sentence = refused(DataSettings(train_csv=str(root / "train.csv"), val_csv=val))
    assert sentence.startswith(f"{val}: no column with the pixels")


def test_train_and_validation_that_share_faces_name_the_first(root: Path) -> None:
    with (root / "val.csv").open("a") as file:
        file.write(f"3,{pixels(35)}\n")  # the level of train's faces of label 3
    source = open_data(pair(root))
    train, val = (
        FaceDataset(x, Preprocessing(size=48, grey=True)) for x in (source.train, source.validation)
    )
    leaks = find_leaks(train, [val])
    assert leaks.counts == {"val": 1}
    assert leaks.train_indices == (6, 7)
    assert leaks.first == ("train.csv:8", "val.csv:10")
    with pytest.raises(DataError, match=r"\(first train\.csv:8 of train, which is val\.csv:10\)"):
        settle_leaks(train, leaks, "stop")
    kept = settle_leaks(train, leaks, "drop")
    assert np.flatnonzero(np.isin(source.train.ids, kept.listing.ids, invert=True)).tolist() == [
        6, 7,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"val_csv": "val.csv"}, "--val-csv needs --train-csv"),
        ({"train_csv": "train.csv", "data": "faces"}, "both name the faces; give one"),
        (
            {"train_csv": "train.csv", "layout": "ferplus"},
            "--layout ferplus is not for --train-csv",
        ),
        ({"num_classes": -1}, "--num-classes must be 0"),
    ],
)
def test_settings_that_name_two_data_sets_or_half_a_one(
    given: dict[str, object], sentence: str
) -> None:
    assert sentence in refused(DataSettings(**given), WordsError)  # type: ignore[arg-type]


def test_another_number_of_classes_is_refused_for_any_data(root: Path) -> None:
    assert open_data(pair(root, num_classes=8)).class_names == FERPLUS_ORDER
    sentence = refused(pair(root, num_classes=7), WordsError)
    assert sentence.startswith("--num-classes 7, but ")
    assert "has 8 (neutral, happiness" in sentence
    toy = DataSettings(toy_faces=56, num_classes=8)
    assert "but toy has 7" in refused(toy, WordsError)


@pytest.mark.real
def test_the_real_faces_as_a_pair_keep_their_labels(real_faces: Path, tmp_path: Path) -> None:
    script = real_faces.parent / "materialize.py"
    spec = importlib.util.spec_from_file_location("materialize", script)
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    writer.load = functools.cache(writer.load)  # each mosaic is decoded once
    writer.write_csv(tmp_path, 200)
    source = open_data(pair(tmp_path))
    for listing in (source.train, source.validation):
        told = list(writer.labelled(listing.split, 200))
        assert names(listing) == [writer.EMOTIONS[label] for _, _, label in told]
        assert all(
            np.array_equal(picture, face)
            for picture, (_, face, _) in zip(listing.pictures, told, strict=True)
        )
