"""Faces in YOLO's format: the box is cut, and nothing in data.yaml leads anywhere."""

import numpy as np
import pytest
from fakes import YOLO_NAMES, picture, yolo
from PIL import Image

from adafer.data import READERS, open_data, recognise
from adafer.data.dataset import FaceDataset
from adafer.errors import DataError
from adafer.image import Preprocessing
from adafer.labels import EMOTIONS, emotion_of
from adafer.settings.data import DataSettings


def listed(root, split="train", **changes):
    return READERS["yolo"](root, split, DataSettings(**changes))


def test_boxes_are_pixels_of_each_picture_and_the_face_is_cut_to_them(tmp_path):
    listing = listed(yolo(tmp_path))
    assert listing.boxes.tolist() == [[6, 4, 22, 20]] * 16
    faces = FaceDataset(listing, Preprocessing(size=16, grey=True))
    for face, label in zip(faces.pixels, listing.labels, strict=True):
        number = [emotion_of(name) for name in YOLO_NAMES].index(EMOTIONS[label])
        assert (face == 10 * number).all()


def test_a_turned_picture_is_cut_as_it_is_seen(tmp_path):
    root = yolo(tmp_path)
    levels = np.zeros((30, 60), np.uint8)
    levels[:10, 40:] = 200  # stored top right; turned a quarter left, it is seen top left
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(levels).save(root / "train/images/turned.png", exif=exif)
    (root / "train/labels/turned.txt").write_text("0 0.1666667 0.1666667 0.3333333 0.3333333\n")
    listing = listed(root)
    place = listing.ids.index("train/images/turned.png")
    assert listing.boxes[place].tolist() == [0, 0, 10, 20]
    faces = FaceDataset(listing.take([place]), Preprocessing(size=16, grey=True))
    assert (np.asarray(faces.pixels) == 200).all()


def test_no_box_and_more_than_one_box_are_counted(tmp_path):
    root = yolo(tmp_path)
    labels = root / "train/labels"
    (labels / "train0.txt").write_text("\n \n")
    (labels / "train1.txt").unlink()
    (labels / "train2.txt").write_text("2 .5 .5 .2 .2\n2 .4 .4 .2 .2\n")
    listing = listed(root)
    assert len(listing) == 13
    assert dict(listing.left_out) == {"more than one box": 1, "no box": 2}


def test_missing_pictures_are_counted(tmp_path):
    root = yolo(tmp_path)
    (root / "train/images/train3.png").unlink()
    with pytest.raises(DataError, match=r"1 of 16 images are missing \(train3\)"):
        listed(root)
    assert listed(root, max_bad=0.1).left_out == (("missing image file", 1),)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("8 .5 .5 .2 .2", "class '8' is not from 0 to 7"),
        ("-1 .5 .5 .2 .2", "class '-1' is not from 0 to 7"),
        ("9999999999 .5 .5 .2 .2", "class '9999999999' is not from 0 to 7"),
        ("happy .5 .5 .2 .2", "class 'happy' is not from 0 to 7"),
        ("1 .5 .5 .2", "4 words instead of a class number and four of its box"),
        ("1 .1 .1 .5 .1 .5 .5", "7 words instead of a class number and four of its box"),
        ("1 .5 .5 0 .2", "'.5 .5 0 .2' is no box within 0 and 1"),
        ("1 .5 .5 nan .2", "'.5 .5 nan .2' is no box within 0 and 1"),
        ("1 50 50 20 20", "'50 50 20 20' is no box within 0 and 1"),
        ("1 x .5 .2 .2", "'x .5 .2 .2' is no box within 0 and 1"),
    ],
)
def test_a_bad_line_is_an_error_with_its_file_and_number(line, reason, tmp_path):
    root = yolo(tmp_path)
    path = root / "train/labels/train5.txt"
    path.write_text("\n" + line + "\n")
    with pytest.raises(DataError) as caught:
        listed(root)
    assert f"train5.txt: 1 bad row (line 2: {reason})" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "names: {0: Happy, 1: Sad, 2: Anger, 3: Fear, 4: Disgust, 5: Surprise, 6: Neutral, "
        "7: Contempt}",
        "names: {'1': Sad, '0': Happy, '2': Anger, '3': Fear, '4': Disgust, '5': Surprise, "
        "'6': Neutral, '7': Contempt}",
    ],
)
def test_names_may_be_a_map_from_number_to_name(text, tmp_path):
    root = yolo(tmp_path)
    (root / "data.yaml").write_text(text)
    order = ("Happy", "Sad", "Anger", "Fear", "Disgust", "Surprise", "Neutral", "Contempt")
    listing = listed(root)
    for label, name in zip(listing.labels, listing.ids, strict=True):
        number = int(name.removeprefix("train/images/train").removesuffix(".png")) % 8
        assert EMOTIONS[label] == emotion_of(order[number])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not name its classes"),
        ("names: 8", "does not name its classes"),
        ("names: []", "does not name its classes"),
        ("names: {0: a, 2: b}", "does not name its classes"),
        ("names: [a, A]", "does not name different classes"),
        ("names: [a, [b]]", "does not name different classes"),
        ("names: [a, 2024-99-99]", "is not YAML"),
        ("names: !!python/object/apply:os.mkdir [opened]", "is not YAML"),
        ("names: [" * 5000, "is not YAML"),
        ("names: [a\n\tb]: {", "is not YAML"),
        ("a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nnames: [*c, *c]", "does not name different"),
        ("#" * 1_000_001, "is larger than 1 MB"),
    ],
)
def test_a_broken_or_hostile_data_yaml_is_one_sentence(text, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = yolo(tmp_path / "faces")
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        listed(root)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("write `names: [first class, second class]`")
    assert not (tmp_path / "opened").exists()


def test_paths_in_data_yaml_are_not_followed(tmp_path):
    root = yolo(tmp_path / "faces")
    picture(tmp_path / "other/images/secret.png")
    text = (root / "data.yaml").read_text().replace("../train/images", str(tmp_path / "other"))
    (root / "data.yaml").write_text(text)
    assert all("other" not in str(path) for path in listed(root).pictures)


def test_links_out_of_the_root_are_refused(tmp_path):
    root = yolo(tmp_path / "faces")
    (tmp_path / "boxes.txt").write_text("1 .5 .5 .2 .2")
    (root / "train/labels/train1.txt").unlink()
    (root / "train/labels/train1.txt").symlink_to(tmp_path / "boxes.txt")
    with pytest.raises(DataError, match=r"train1.txt is outside the data root"):
        listed(root)


def test_pictures_of_all_splits_may_lie_below_one_folder(tmp_path):
    root = yolo(tmp_path)
    for kind in ("images", "labels"):
        for split, name in (("train", "train"), ("valid", "val"), ("test", "test")):
            (root / kind).mkdir(exist_ok=True)
            (root / split / kind).rename(root / kind / name)
    for split in ("train", "valid", "test"):
        (root / split).rmdir()
    assert recognise(root) == "yolo"
    source = open_data(DataSettings(data=str(root)))
    assert [len(x) for x in (source.train, source.validation, source.test())] == [16, 8, 8]


def test_other_classes_stand_in_the_order_of_data_yaml(tmp_path):
    root = yolo(tmp_path)
    (root / "data.yaml").write_text("names: [zeal, awe, c, d, e, f, g, h]")
    assert listed(root).class_names == ("zeal", "awe", *"cdefgh")
    (root / "data.yaml").write_text("names: ['7', '6', '5', '4', '3', '2', '1', '0']")
    listing = listed(root)
    assert [listing.class_names[n] for n in listing.labels[:3]] == [
        "7",
        "6",
        "5",
    ]  # train0, train1, train10


def test_a_picture_that_cannot_be_read_is_named_when_it_is_decoded(tmp_path):
    root = yolo(tmp_path)
    (root / "train/images/train4.png").write_bytes(b"no picture")
    listing = listed(root)
    assert len(listing) == 16
    with pytest.raises(DataError, match=r"1 of 16 image files .*train4.png: not an image"):
        FaceDataset(listing, Preprocessing(size=16, grey=True))
