"""Folders as people leave them: a warning or an error, never a silent shift of class numbers."""

import json
import os

import pytest
from fakes import FAKES, imagefolder, label_map, picture

from adafer.data import READERS, open_data
from adafer.errors import DataError
from adafer.settings.data import DataSettings


def opened(root, **changes):
    return open_data(DataSettings(data=str(root), **changes))


def test_hidden_files_and_droppings_are_passed_over(tmp_path):
    clean = opened(imagefolder(tmp_path / "clean"))
    root = imagefolder(tmp_path / "dirty")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._train00.png"):
        (root / "train/Happy" / name).write_bytes(b"x")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "__MACOSX").mkdir()
    (root / "train/sad/list.txt").write_text("x")
    dirty = opened(root)
    assert dirty.hashes() == clean.hashes()
    assert "files passed over that are no pictures: 1 .txt" in dirty.train.notes[0]


def test_nested_folders_belong_to_the_class_above(tmp_path):
    root = imagefolder(tmp_path)
    picture(root / "train/sad/person 1/day 2/a.png")
    source = opened(root)
    assert "train/sad/person 1/day 2/a.png" in source.train.ids + source.validation.ids
    assert source.class_names == ("happiness", "sadness", "anger")


def test_an_empty_class_of_train_is_an_error(tmp_path):
    root = imagefolder(tmp_path)
    (root / "train/fear").mkdir()
    with pytest.raises(DataError, match=r"train: no picture of fear; add some or remove"):
        opened(root)


def test_a_class_that_test_lacks_is_noted_and_shifts_nothing(tmp_path):
    root = imagefolder(tmp_path)
    for path in (root / "test/Happy").iterdir():
        path.unlink()
    (root / "test/Happy").rmdir()
    listing = opened(root).test()
    assert listing.counts() == {"happiness": 0, "sadness": 1, "anger": 1}
    assert listing.notes == ("test has no picture of happiness",)


def test_a_class_that_only_test_has_is_an_error(tmp_path):
    root = imagefolder(tmp_path, ["awe", "zeal"])
    picture(root / "test/bliss/a.png")
    with pytest.raises(DataError, match=r"test: bliss is no class of train \(awe, zeal\)"):
        opened(root).test()


def test_case_and_alias_may_differ_between_splits(tmp_path):
    root = imagefolder(tmp_path)
    (root / "test/Happy").rename(root / "test/happiness")
    assert opened(root).test().counts() == {"happiness": 1, "sadness": 1, "anger": 1}


def test_flat_pictures_are_an_error(tmp_path):
    picture(tmp_path / "train/a.png")
    with pytest.raises(DataError, match="no class folders; put the pictures of each class in its"):
        opened(tmp_path)
    imagefolder(tmp_path)
    with pytest.raises(DataError, match="pictures lie outside the class folders"):
        opened(tmp_path)


def test_two_folders_for_one_split_are_an_error(tmp_path):
    root = imagefolder(tmp_path)
    picture(root / "Training/Happy/a.png")
    with pytest.raises(DataError, match="both Training and train hold train; keep one"):
        opened(root, layout="imagefolder")


@pytest.mark.parametrize("spelling", ["val", "valid", "Validation", "VALID"])
def test_validation_folders_may_be_spelt_in_any_usual_way(spelling, tmp_path):
    root = imagefolder(tmp_path)
    for name in ("Happy", "sad", "ANGRY"):
        picture(root / spelling / name / "v.png")
    source = opened(root)
    assert not source.validation.carved
    assert len(source.validation) == 3


def test_names_with_newlines_emoji_and_invalid_bytes_are_listed_and_escaped(tmp_path):
    root = imagefolder(tmp_path)
    source = picture(tmp_path / "x.png").read_bytes()
    folder = os.fsencode(root / "train/sad")
    for name in (b"a\nb.png", "\U0001f600.png".encode(), b"\xff\xfe.png"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(source)
    listing = READERS["imagefolder"](root, "train", DataSettings())
    assert {"train/sad/a\\nb.png", "train/sad/\\xff\\xfe.png", "train/sad/\U0001f600.png"} < set(
        listing.ids
    )
    json.dumps(listing.ids, ensure_ascii=False).encode("utf-8")  # fit for every file we write
    assert len(opened(root).hashes()["train"]) == 64


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_out_of_the_root_are_refused_until_named(what, tmp_path):
    root, outside = imagefolder(tmp_path / "data"), tmp_path / "data_other"
    target = picture(outside / "a.png")
    link = root / "train/sad/link.png" if what == "file" else root / "train/sad/link"
    link.symlink_to(target if what == "file" else outside)
    with pytest.raises(DataError, match=r"outside the data root; .* --roots"):
        opened(root)
    assert len(READERS["imagefolder"](root, "train", DataSettings(roots=(str(outside),)))) == 7


def test_a_circle_of_links_ends(tmp_path):
    root = imagefolder(tmp_path)
    (root / "train/sad/again").symlink_to(root / "train/sad")
    assert len(READERS["imagefolder"](root, "train", DataSettings())) == 6


@pytest.mark.parametrize(
    "content",
    [{"happy": 0, "sad": 2}, {"happy": "0"}, {"0": "a", "1": "A"}, [], "happy", {"a": True}, [1]],
)
def test_a_wrong_label_map_is_an_error(content, tmp_path):
    label_map(imagefolder(tmp_path), content)
    with pytest.raises(DataError, match=r"label_map.json does not number .* write it as"):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00"])
def test_a_label_map_that_is_no_json_is_an_error(text, tmp_path):
    (imagefolder(tmp_path) / "label_map.json").write_text(text)
    with pytest.raises(DataError, match=r"label_map.json is not JSON"):
        opened(tmp_path)


def test_a_label_map_must_have_every_class(tmp_path):
    label_map(imagefolder(tmp_path), ["happy", "sad"])
    with pytest.raises(DataError, match="does not have the class ANGRY; add it there"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("train_00001.jpg 8", "label '8' is not a number from 1 to 7"),
        ("train_00001.jpg 0", "label '0' is not a number from 1 to 7"),
        ("train_00001.jpg happy", "label 'happy' is not a number from 1 to 7"),
        ("train_00001.jpg", "1 words instead of an image name and a label"),
        ("photo_1.jpg 1", "'photo_1.jpg' does not begin with train_ or test_"),
        ("train_00001.jpg 1", "'train_00001.jpg' stands twice"),
        ("train_/../../../../x.jpg 1", "is outside the data root"),
    ],
)
def test_a_bad_line_of_rafdbs_list_is_an_error_with_its_line(line, reason, tmp_path):
    root = FAKES["rafdb"](tmp_path / "faces")
    picture(tmp_path / "x.jpg")
    path = root / "basic/EmoLabel/list_patition_label.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError) as caught:
        opened(root)
    assert f"line 22: {reason}" in str(caught.value) or reason in str(caught.value)
    assert "line 22: " in str(caught.value)


def test_missing_pictures_of_rafdb_are_counted(tmp_path):
    root = FAKES["rafdb"](tmp_path)
    (root / "basic/Image/aligned/train_00003_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 14 images are missing \(train_00003.jpg\)"):
        opened(root)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["a.png", "(0, 0, 48, 48)", *"123456789"], "11 fields instead of 12"),
        (["a.png", "(0, 0, 48, 48)", *"123456789x"], "'x' is no number of votes"),
        (["a.png", "(0, 0, 48, 48)", *"123456789", "-1"], "'-1' is no number of votes"),
        (["Train00.png", "(0, 0, 48, 48)", *"1234567890"], "'Train00.png' stands twice"),
        (["../FER2013Test/../../x.png", "()", *"1234567890"], "is outside the data root"),
    ],
)
def test_a_bad_row_of_ferplus_is_an_error_with_its_line(row, reason, tmp_path):
    root = FAKES["ferplus"](tmp_path / "faces")
    picture(tmp_path / "x.png")
    with (root / "FER2013Train/label.csv").open("a", newline="") as file:
        file.write(",".join(f'"{cell}"' for cell in row) + "\n")
    with pytest.raises(DataError) as caught:
        opened(root)
    assert "line 17: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_file_that_vanishes_after_listing_is_named(tmp_path):
    source = opened(imagefolder(tmp_path))
    source.train.pictures[0].unlink()
    with pytest.raises(DataError, match=r"png was listed and cannot be read now .*; put it back"):
        source.hashes()
