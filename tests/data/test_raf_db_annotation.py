"""RAF-DB's landmarks, boxes and attributes: right for the original pictures, absent elsewhere."""

import numpy as np
import pytest
from fakes import picture, rafdb

from adafer.data import READERS
from adafer.data.dataset import FaceDataset
from adafer.data.landmarks import FIVE
from adafer.errors import DataError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

POINTS = [(20.5, 30), (40, 30.25), (30, 40), (24, 50), (36, 50)]


def listed(root, split="train", **changes):
    return READERS["rafdb"](root, split, DataSettings(**changes))


def annotated(root, original=True):
    """RAF-DB's tree with its annotation; face n has gender n % 3, race n % 3 and age n % 5."""
    rafdb(root)
    folder = root / "basic/Annotation"
    (folder / "manual").mkdir(parents=True)
    (folder / "boundingbox").mkdir()
    for split, count in (("train", 14), ("test", 7)):
        for n in range(count):
            stem = f"{split}_{n:05d}"
            rows = [f"{x}\t{y}" for x, y in POINTS] + [str(n % 3), str(n % 3), str(n % 5)]
            (folder / f"manual/{stem}_manu_attri.txt").write_text("\r\n".join(rows) + "\r\n")
            (folder / f"boundingbox/{stem}_boundingbox.txt").write_text("10.2 20.4 50.1 60.0 \n")
            if original:
                picture(root / f"basic/Image/original/{stem}.jpg", 10 * n, 80)
    return root


def test_attributes_are_words_for_aligned_and_original_faces(tmp_path):
    root = annotated(tmp_path)
    for chosen in ("aligned", "original"):
        listing = listed(root, rafdb_pictures=chosen)
        assert listing.attributes["gender"][:4] == ("male", "female", "unsure", "male")
        assert listing.attributes["race"][:3] == ("Caucasian", "African-American", "Asian")
        assert listing.attributes["age"][:5] == ("0-3", "4-19", "20-39", "40-69", "70+")
        assert any("annotators saw" in note for note in listing.notes)


def test_original_faces_have_landmarks_and_boxes_in_pixels_of_their_pictures(tmp_path):
    listing = listed(annotated(tmp_path), rafdb_pictures="original")
    assert {path.parent.name for path in listing.pictures} == {"original"}
    np.testing.assert_allclose(listing.landmarks[3], POINTS)
    assert listing.mirror_points == FIVE.mirror
    assert listing.boxes.tolist() == [[10, 20, 50, 60]] * 14
    faces = FaceDataset(listing, Preprocessing(size=20, grey=True))
    np.testing.assert_allclose(faces.landmarks[0, 2], [9.75, 9.75])  # (30 - 10 + .5) / 2 - .5


def test_aligned_faces_have_no_landmarks_and_a_note_says_why(tmp_path):
    listing = listed(annotated(tmp_path))
    assert listing.landmarks is None
    assert listing.boxes is None
    assert any(
        "take the original pictures with --rafdb-pictures original" in n for n in listing.notes
    )


def test_asking_for_original_pictures_that_are_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"14 of 14 images are missing .* in Image/original"):
        listed(annotated(tmp_path, original=False), rafdb_pictures="original")


def test_a_face_without_annotation_is_unknown_and_without_points(tmp_path):
    root = annotated(tmp_path)
    (root / "basic/Annotation/manual/train_00002_manu_attri.txt").unlink()
    listing = listed(root, rafdb_pictures="original")
    assert listing.attributes["age"][2] == "unknown"
    assert np.isnan(listing.landmarks[2]).all()
    assert np.isfinite(np.delete(listing.landmarks, 2, 0)).all()
    assert any("1 faces have none" in note for note in listing.notes)


def automatic(root, faces):
    folder = root / "basic/Annotation/auto"
    folder.mkdir()
    for n, points in enumerate(faces):
        rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        (folder / f"train_{n:05d}_auto_attri.txt").write_text(rows)
    return root


def test_37_points_are_used_if_their_pairs_show_in_the_mean(tmp_path):
    generator = np.random.default_rng(0)
    half = np.column_stack([generator.uniform(2, 15, 18), generator.uniform(-15, 15, 18)])
    face = np.concatenate([half, half * (-1, 1), [(0, 3)]]) + 40
    root = annotated(tmp_path)
    more = [f"train_{n:05d}.jpg {n % 7 + 1}\n" for n in range(14, 40)]
    path = root / "basic/EmoLabel/list_patition_label.txt"
    path.write_text(path.read_text() + "".join(more))
    for n in range(14, 40):
        picture(root / f"basic/Image/original/train_{n:05d}.jpg", 0, 80)
    automatic(root, [face + generator.normal(0, 0.1, face.shape) for _ in range(40)])
    listing = listed(root, rafdb_pictures="original", rafdb_landmarks=37)
    assert listing.landmarks.shape == (40, 37, 2)
    assert listing.mirror_points == (*range(18, 36), *range(18), 36)


def test_37_points_of_few_faces_are_not_used_and_a_note_says_why(tmp_path):
    root = automatic(annotated(tmp_path), np.random.default_rng(0).uniform(0, 80, (14, 37, 2)))
    listing = listed(root, rafdb_pictures="original", rafdb_landmarks=37)
    assert listing.landmarks is None
    assert any("37 landmarks are not used" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("manual/{}_manu_attri.txt", "1 2\n3 4\n", "line 6: gender '' is not a number from 0 to 2"),
        ("manual/{}_manu_attri.txt", "1 2\n" * 5 + "3\n0\n0", "line 6: gender '3' is not a number"),
        ("manual/{}_manu_attri.txt", "1 2\n" * 5 + "0\n0\n9", "line 8: age '9' is not a number"),
        ("manual/{}_manu_attri.txt", "1 x\n" * 5 + "0\n0\n0", "line 1: '1 x' is not x and y"),
        ("manual/{}_manu_attri.txt", "1 nan\n" * 5 + "0\n0\n0", "line 1: '1 nan' is not x and y"),
        ("boundingbox/{}_boundingbox.txt", "1 2 3", "line 1: is not left, top, right and bottom"),
        ("boundingbox/{}_boundingbox.txt", "9 9 3 3", "line 1: is not left, top, right and bot"),
    ],
)
def test_a_bad_annotation_is_an_error_with_its_file_and_line(name, text, reason, tmp_path):
    root = annotated(tmp_path)
    path = root / "basic/Annotation" / name.format("train_00003")
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        listed(root, rafdb_pictures="original")
    assert path.name in str(caught.value)
    assert reason in str(caught.value)


def test_an_annotation_that_leads_out_of_the_root_is_not_read(tmp_path):
    root = annotated(tmp_path / "faces")
    (tmp_path / "secret.txt").write_text("secret")
    path = root / "basic/Annotation/manual/train_00003_manu_attri.txt"
    path.unlink()
    path.symlink_to(tmp_path / "secret.txt")
    assert listed(root).attributes["gender"][3] == "unknown"
