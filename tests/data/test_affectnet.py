"""AffectNet's lists, its numbered release, and its copies as folders."""

import csv
import os

import numpy as np
import pytest
from fakes import (
    AFFECTNET_HEADER,
    affectnet,
    affectnet_npy,
    affectnet_row,
    affectnet_txt,
    face_points,
    imagefolder,
    label_map,
    picture,
    table,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adafer.data import READERS, open_data, recognise
from adafer.data.affectnet_release import _array
from adafer.data.dataset import FaceDataset
from adafer.errors import DataError
from adafer.image import Preprocessing
from adafer.labels import AFFECTNET_ORDER, EMOTIONS, FER2013_ORDER
from adafer.settings.data import DataSettings

PICTURES = "Manually_Annotated/Manually_Annotated_Images"
LIST = "Manually_Annotated_file_lists/training.csv"


def listed(layout, root, split="train", **changes):
    return READERS[layout](root, split, DataSettings(**changes))


def append(root, *rows):
    with (root / LIST).open("a", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def test_a_face_has_its_box_and_its_landmarks_in_pixels_of_the_whole_picture(tmp_path):
    listing = listed("affectnet", affectnet(tmp_path))
    assert listing.boxes.tolist() == [[4, 4, 20, 20]] * 16
    assert listing.landmarks.shape == (16, 68, 2)
    np.testing.assert_allclose(listing.landmarks[3], face_points(4, 4, 16), atol=0.01)
    assert listing.take([5]).boxes.tolist() == [[4, 4, 20, 20]]


def test_codes_without_an_emotion_and_rows_without_a_box_are_counted(tmp_path):
    root = affectnet(tmp_path)
    bare = ["1/x.jpg", *["NULL"] * 5]  # such rows have no picture and no numbers
    append(
        root,
        *([*bare, code, -2, -2] for code in (8, 8, 9, 10, 10, 10)),
        affectnet_row("1/y.jpg", 1, (3, 3, -1, 5)),
        affectnet_row("1/z.jpg", 1, (3, 3, 5, 0)),
        affectnet_row("0/training0.jpg", 0),
    )
    listing = listed("affectnet", root)
    assert len(listing) == 16
    assert dict(listing.left_out) == {
        "none of the emotions": 2,
        "annotator was uncertain": 1,
        "no face": 3,
        "no face box": 2,
        "listed twice": 1,
    }


@pytest.mark.parametrize("layout", ["affectnet", "affectnet-npy", "affectnet-txt"])
def test_seven_classes_leave_contempt_out_and_count_it(layout, tmp_path):
    make = {"affectnet": affectnet, "affectnet-npy": affectnet_npy, "affectnet-txt": affectnet_txt}
    listing = listed(layout, make[layout](tmp_path), affectnet_classes=7)
    assert listing.class_names == EMOTIONS[:7]
    assert set(listing.counts().values()) == {2}
    assert dict(listing.left_out) == {"contempt, of which 7 classes have none": 2}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (affectnet_row("0/training0.jpg", 11), "expression '11' is not a number from 0 to 10"),
        (affectnet_row("0/training0.jpg", "1.0"), "expression '1.0' is not a number from"),
        (affectnet_row("0/training0.jpg", -1), "expression '-1' is not a number from 0 to 10"),
        (affectnet_row("0/training0.jpg", 1), "'0/training0.jpg' is happiness, in line 2 neutral"),
        (affectnet_row("../../../secret.jpg", 1), "'../../../secret.jpg' is outside the data root"),
        (affectnet_row("file:///etc/passwd", 1), "'file:///etc/passwd' is outside the data root"),
        (["1/a.jpg", "x", 1, 2, 2, "", 1, 0, 0], "the face box of '1/a.jpg' cannot be read as num"),
        (["1/a.jpg", 1, 1, "inf", 2, "", 1, 0, 0], "the face box of '1/a.jpg' cannot be read as n"),
        (["1/a.jpg", 1, 1, 2, 2, "1;2;3", 1, 0, 0], "the facial_landmarks of '1/a.jpg' cannot be"),
        (["1/a.jpg", 1, 1, 2, 2, "nan;" * 136, 1, 0, 0], "the facial_landmarks of '1/a.jpg' cann"),
        (["1/a.jpg", 1], "2 fields for 9 columns"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(row, reason, tmp_path):
    picture(tmp_path / "secret.jpg")
    root = append(affectnet(tmp_path / "faces"), row)
    with pytest.raises(DataError) as caught:
        listed("affectnet", root)
    assert f"1 bad row (line 18: {reason}" in str(caught.value)


def test_missing_pictures_are_counted_and_may_be_left_out_up_to_a_share(tmp_path):
    root = affectnet(tmp_path)
    (root / PICTURES / "0/training0.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 16 images are missing \(0/training0.jpg\).*0.063"):
        listed("affectnet", root)
    listing = listed("affectnet", root, max_bad=0.063)
    assert len(listing) == 15
    assert listing.left_out == (("missing image file", 1),)


def test_a_face_without_landmarks_has_none_and_the_others_keep_theirs(tmp_path):
    root = affectnet(tmp_path)
    picture(root / PICTURES / "9/more.jpg", 0, 24)
    listing = listed("affectnet", append(root, ["9/more.jpg", 4, 4, 16, 16, "", 0, 0, 0]))
    assert np.isnan(listing.landmarks[16]).all()
    assert np.isfinite(listing.landmarks[:16]).all()


def test_landmarks_that_lie_elsewhere_are_not_used_and_a_note_says_so(tmp_path):
    root = affectnet(tmp_path)
    x_first = ";".join([*(f"{x}" for x in range(500, 568)), *("900" for _ in range(68))])
    rows = [[f"{n % 3}/training{n}.jpg", 4, 4, 16, 16, x_first, n % 8, 0, 0] for n in range(16)]
    table(root / LIST, [AFFECTNET_HEADER, *rows])
    listing = listed("affectnet", root)
    assert listing.landmarks is None
    assert listing.notes == ("landmarks are not used: 100% of them lie outside of their faces",)


def test_a_list_of_other_columns_is_not_affectnets(tmp_path):
    table(tmp_path / "training.csv", [["path", "label"], ["a.png", "happy"], ["b.png", "sad"]])
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    assert recognise(tmp_path) == "csv"


@pytest.mark.parametrize(
    "value", [np.array("3"), np.array(3), np.array([3.0]), np.array(b"3"), np.array([["3"]])]
)
def test_a_code_may_be_stored_as_text_or_number(value, tmp_path):
    root = affectnet_npy(tmp_path)
    np.save(root / "train_set/annotations/0_exp.npy", value)
    listing = listed("affectnet-npy", root)
    assert listing.class_names[listing.labels[0]] == AFFECTNET_ORDER[3]


def test_landmarks_of_the_release_are_x_and_y_in_turn(tmp_path):
    root = affectnet_npy(tmp_path)
    (root / "train_set/annotations/1_lnd.npy").unlink()
    listing = listed("affectnet-npy", root)
    np.testing.assert_allclose(listing.landmarks[0], face_points(4, 4, 16), rtol=1e-6)
    assert np.isnan(listing.landmarks[1]).all()


def test_landmarks_outside_of_the_numbered_pictures_are_not_used(tmp_path):
    root = affectnet_npy(tmp_path)
    for path in (root / "train_set/annotations").glob("*_lnd.npy"):
        np.save(path, np.arange(136.0) + 300)
    listing = listed("affectnet-npy", root)
    assert listing.landmarks is None
    assert "100% of them lie outside" in listing.notes[0]


class Trap:
    """An object whose pickle runs a command when it is opened."""

    def __reduce__(self):
        return os.mkdir, ("opened",)


def written(path, value):
    np.save(path, value, allow_pickle=value.dtype == object)


@pytest.mark.parametrize(
    ("ending", "value", "reason"),
    [
        ("_exp", np.array(Trap(), dtype=object), "holds Python objects, which are not opened"),
        ("_exp", np.array([1, 2]), "2 values instead of 1"),
        ("_exp", np.array("happy"), "expression 'happy' is not a number from 0 to 10"),
        ("_exp", np.array(99), "expression '99' is not a number from 0 to 10"),
        ("_lnd", np.array(Trap(), dtype=object), "holds Python objects, which are not opened"),
        ("_lnd", np.arange(10.0), "10 values of float64 instead of 136 numbers"),
        ("_lnd", np.full(136, np.nan), "holds NaN or infinity"),
        ("_lnd", np.array(["x"] * 136), "136 values of <U1 instead of 136 numbers"),
        ("_lnd", np.zeros(20_000), "larger than 100,000 bytes"),
    ],
)
def test_a_crafted_array_is_refused_in_one_sentence(ending, value, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = affectnet_npy(tmp_path / "faces")
    written(root / f"train_set/annotations/3{ending}.npy", value)
    with pytest.raises(DataError) as caught:
        listed("affectnet-npy", root)
    assert f"annotations: 1 bad file (3{ending}.npy: {reason}); " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"PK\x03\x04rest", b"\x93NUMPY\x01\x00"])
def test_what_is_no_array_is_refused(data, tmp_path):
    root = affectnet_npy(tmp_path)
    (root / "train_set/annotations/3_exp.npy").write_bytes(data)
    with pytest.raises(DataError, match=r"3_exp.npy: is (no .npy file|damaged)"):
        listed("affectnet-npy", root)


HEADERS = st.sampled_from(
    [
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (), }",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (10**9,), }",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999,), }",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (), }",
        b"{'descr': [('a', '<i8')], 'fortran_order': False, 'shape': (-1,), }",
        b"((((((((",
        b"{'descr': 'L', 'fortran_order': 1, 'shape': (1L,), }",
    ]
)


@given(HEADERS, st.binary(max_size=40), st.integers(1, 4), st.binary(max_size=60))
def test_any_bytes_are_an_array_or_a_reason(tmp_path_factory, header, more, version, body):
    path = tmp_path_factory.mktemp("npy") / "0_exp.npy"
    text = header + more
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + size + text + body)
    found = _array(path)
    assert isinstance(found, str | np.ndarray)


def test_images_and_annotations_must_belong_together(tmp_path):
    root = affectnet_npy(tmp_path)
    (root / "train_set/annotations/3_exp.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 16 images have no annotations/ID_exp.npy \(3.jpg"):
        listed("affectnet-npy", root)
    (root / "train_set/images/3.jpg").unlink()
    (root / "train_set/images/4.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 15 images are missing \(4.jpg\)"):
        listed("affectnet-npy", root)
    assert len(listed("affectnet-npy", root, max_bad=0.1)) == 14


def test_an_annotation_that_leads_out_of_the_root_is_refused(tmp_path):
    root = affectnet_npy(tmp_path / "faces")
    np.save(tmp_path / "secret.npy", np.array(1))
    path = root / "train_set/annotations/3_exp.npy"
    path.unlink()
    path.symlink_to(tmp_path / "secret.npy")
    with pytest.raises(DataError, match=r"3_exp.npy is outside the data root"):
        listed("affectnet-npy", root)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3.jpg 11", "label '11' is not a number from 0 to 7"),
        ("3.jpg happy", "label 'happy' is not a number from 0 to 7"),
        ("3.jpg", "1 word instead of an image name and a label"),
        ("3.jpg 3", "'3.jpg' stands in line 4 already"),
        ("../../../x.jpg 3", "'../../../x.jpg' is outside the data root"),
    ],
)
def test_a_bad_line_of_a_text_list_is_an_error_with_its_number(line, reason, tmp_path):
    picture(tmp_path / "x.jpg")
    root = affectnet_txt(tmp_path / "faces")
    path = root / "train_set/train_annotations_8class.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError) as caught:
        listed("affectnet-txt", root)
    assert f"1 bad row (line 17: {reason}" in str(caught.value)


def test_a_list_of_seven_classes_has_seven(tmp_path):
    root = affectnet_txt(tmp_path)
    path = root / "train_set/train_annotations_8class.txt"
    lines = [line for line in path.read_text().splitlines() if not line.endswith("7")]
    path.with_name("train_annotations_7class.txt").write_text("\n".join(lines))
    assert listed("affectnet-txt", root).class_names == EMOTIONS
    assert len(listed("affectnet-txt", root, affectnet_classes=7)) == 14
    path.unlink()
    assert listed("affectnet-txt", root).class_names == EMOTIONS[:7]


@pytest.mark.parametrize("count", [7, 8])
def test_numbered_folders_of_a_place_named_affectnet_have_its_order(count, tmp_path):
    root = imagefolder(tmp_path / "AffectNet-aligned", [str(n) for n in range(count)])
    source = open_data(DataSettings(data=str(root)))
    assert source.class_names == EMOTIONS[:count]
    assert "0 neutral, 1 happiness, 2 sadness, 3 surprise" in source.train.notes[0]
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert EMOTIONS[label] == AFFECTNET_ORDER[int(path.parent.name)]


def test_a_chosen_order_goes_before_the_name_of_the_folder(tmp_path):
    root = imagefolder(tmp_path / "affectnet", [str(n) for n in range(7)])
    source = open_data(DataSettings(data=str(root), label_order="fer2013"))
    assert source.train.notes == ()
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert EMOTIONS[label] == FER2013_ORDER[int(path.parent.name)]


def test_numbered_folders_of_another_place_keep_their_numbers(tmp_path):
    root = imagefolder(tmp_path / "faces", [str(n) for n in range(8)])
    source = open_data(DataSettings(data=str(root)))
    assert source.class_names == tuple("01234567")
    assert "--label-order fer2013|ferplus|affectnet" in source.train.notes[0]
    meant = open_data(DataSettings(data=str(root), label_order="affectnet"))
    assert meant.class_names == EMOTIONS


def test_a_label_map_goes_before_the_name_of_the_folder(tmp_path):
    root = imagefolder(tmp_path / "affectnet", [str(n) for n in range(7)])
    label_map(root, list(EMOTIONS[:7]))
    source = open_data(DataSettings(data=str(root)))
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert label == int(path.parent.name)


def test_named_folders_may_vary_in_case_within_and_between_splits(tmp_path):
    root = imagefolder(tmp_path / "affectnet", ["Anger", "happy", "SAD"])
    picture(root / "train/anger/a.png")
    (root / "test/Anger").rename(root / "test/anger")
    source = open_data(DataSettings(data=str(root)))
    assert source.class_names == ("happiness", "sadness", "anger")
    assert source.test().counts()["anger"] == 1


def test_a_list_beside_named_folders_is_read_and_its_disagreement_noted(tmp_path):
    rows = []
    for n, (folder, label) in enumerate(
        [("anger", "surprise"), ("happy", "happy"), ("sad", "sad")]
    ):
        picture(tmp_path / folder / f"{n}.png")
        rows.append([n, f"{folder}/{n}.png", label, 0.9])
    picture(tmp_path / "surprise/9.png")
    rows.append([9, "surprise/9.png", "surprise", 0.5])
    table(tmp_path / "labels.csv", [["", "pth", "label", "relFCs"], *rows])
    listing = listed("csv", tmp_path)
    assert recognise(tmp_path) == "csv"
    assert listing.counts()["surprise"] == 2
    listing = listed("csv", tmp_path)
    assert listing.notes == ()  # no face is of the class anger, so its folder means no class here
    picture(tmp_path / "sad/8.png")
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("8,sad/8.png,anger,0.5\n")
    assert "2 of 5 labels of labels.csv are not the class" in listed("csv", tmp_path).notes[0]


def test_a_drawn_point_stays_on_its_landmark_when_the_face_is_cut_and_resized(tmp_path):
    root = affectnet(tmp_path)
    levels = np.zeros((60, 80), np.uint8)
    levels[29:32, 49:52] = 255  # a dot around x 50, y 30
    Image.fromarray(levels).save(root / PICTURES / "9.png")
    points = ";".join(["50;30"] * 68)
    listing = listed("affectnet", append(root, ["9.png", 30, 10, 40, 30, points, 0, 0, 0]))
    faces = FaceDataset(listing.take([16]), Preprocessing(size=48, grey=True))
    down, across = np.nonzero(faces.pixels[0][:, :, 0] > 128)
    # The box is 40 x 30, so a pixel becomes 1.2 x 1.6: x 20.5 * 1.2 - 0.5, y 20.5 * 1.6 - 0.5.
    np.testing.assert_allclose(faces.landmarks[0, 0], [24.1, 32.3], rtol=1e-6)
    np.testing.assert_allclose([across.mean(), down.mean()], [24.1, 32.3], atol=0.5)


def test_a_box_beyond_the_picture_is_clipped_and_one_outside_of_it_counts_as_unreadable(tmp_path):
    root = affectnet(tmp_path)
    for name in ("in.png", "out.png"):
        picture(root / PICTURES / name, 90, 24)
    append(root, affectnet_row("in.png", 0, (-5, 10, 50, 50)))
    append(root, affectnet_row("out.png", 0, (30, 30, 9, 9)))
    listing = listed("affectnet", root).take([16, 17])
    faces = FaceDataset(listing, Preprocessing(size=16, grey=True), max_bad=0.5)
    assert faces.listing.ids == ("in.png",)
    assert "face box 30,30,39,39 lies outside 24x24 pixels" in faces.bad[0][1]
    assert (np.asarray(faces.pixels) == 90).all()
