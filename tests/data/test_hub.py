"""Parquet, arrow and picture folders as the hub has them: what is read is what lies there."""

import copy
import io
import json
import socket
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FAKES, encoded, face_rows, hub_images, parquet, parquet_file, picture, saved
from PIL import Image

from adafer.data import open_data, recognise
from adafer.data.dataset import FaceDataset
from adafer.data.listing import Encoded
from adafer.errors import DataError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")


def opened(root, **changes):
    return open_data(DataSettings(data=str(root), **changes))


def fails(root, error=DataError, **changes):
    with pytest.raises(error) as caught:
        opened(root, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["parquet", "arrow", "hub-images"])
def test_a_folder_is_recognised_and_holds_the_faces_that_were_written(layout, tmp_path):
    root = FAKES[layout](tmp_path / "faces")
    assert recognise(root) == layout
    source = opened(root)
    assert source.class_names == ("happiness", "sadness", "anger")
    assert source.test().counts() == {"happiness": 1, "sadness": 1, "anger": 1}
    assert len(source.train) + len(source.validation) == 6
    for listing in (source.train, source.test()):
        faces = FaceDataset(listing, Preprocessing(12, True))
        assert np.asarray(faces.pixels)[:, 0, 0, 0].tolist() == [
            10 * label for label in listing.labels
        ]


def test_the_bytes_stay_encoded_and_are_those_of_the_file(tmp_path):
    train = opened(parquet(tmp_path / "faces")).train
    first = train.pictures[0]
    assert isinstance(first, Encoded)
    assert bytes(first.data) == encoded(10 * int(train.labels[0]))
    assert copy.deepcopy(first) == Encoded(first.name, bytes(first.data))


def test_the_hash_counts_every_byte_of_a_picture(tmp_path):
    columns = face_rows()
    one = opened(parquet(tmp_path / "one", columns)).hashes()
    assert opened(parquet(tmp_path / "same", columns)).hashes() == one
    columns["image"][0]["bytes"] = encoded(1)
    other = opened(parquet(tmp_path / "other", columns)).hashes()
    assert {split for split in one if one[split] != other[split]} <= {"train", "val"}
    assert other != one


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("training", "dev", "testing"), (6, 6, 6)),
        (("train", "valid", "eval"), (6, 6, 6)),
        (("Train", "PublicTest", "PrivateTest"), (6, 6, 6)),
        (("faces-train-0001", "faces_val", "faces.test"), (6, 6, 6)),
        (("train/0000", "validation/0000", "test/0000"), (6, 6, 6)),
        (("default/train/0000", "default/evaluation/0", "default/test/0"), (6, 6, 6)),
    ],
)
def test_any_usual_words_name_the_splits(names, expected, tmp_path):
    for place, name in enumerate(names):
        columns = face_rows()
        columns["image"] = [{"bytes": encoded(place), "path": f"{i}"} for i in range(6)]
        parquet_file(tmp_path / f"{name}.parquet", columns)
    source = opened(tmp_path)
    found = [source.train, source.validation, source.test()]
    assert tuple(map(len, found)) == expected
    assert [
        set(np.asarray(FaceDataset(x, Preprocessing(12, True)).pixels).flat) for x in found
    ] == [
        {0},
        {1},
        {2},
    ]


def test_a_file_of_no_split_beside_others_is_named(tmp_path):
    parquet(tmp_path / "faces")
    parquet_file(tmp_path / "faces/data/more.parquet", face_rows())
    assert "data/more.parquet names no one split" in fails(tmp_path / "faces")


def test_two_words_for_one_split_are_refused(tmp_path):
    for name in ("val", "dev", "train"):
        parquet_file(tmp_path / f"{name}.parquet", face_rows())
    assert "both dev and val hold val" in fails(tmp_path)


def test_a_folder_with_signs_of_a_pattern_in_its_name_is_read(tmp_path):
    root = parquet(tmp_path / "a [b]* {c}?")
    assert len(opened(root).train) == 3
    hub_images(tmp_path / "x [y]*")
    assert len(opened(tmp_path / "x [y]*").train) == 3


def test_a_description_beside_the_files_leads_nowhere(tmp_path):
    root = parquet(tmp_path / "faces")
    parquet_file(tmp_path / "secret.parquet", face_rows(["a", "b"]))
    front = "---\nconfigs:\n- config_name: x\n  data_files: ../secret.parquet\n---\n"
    (root / "README.md").write_text(front)
    assert opened(root).class_names == ("happiness", "sadness", "anger")


@pytest.mark.parametrize("path", ["../outside.png", "/etc/hostname", "file:///etc/hostname"])
def test_a_path_out_of_the_folder_is_refused(path, tmp_path):
    picture(tmp_path / "outside.png")
    columns = face_rows()
    columns["image"][2] = {"bytes": None, "path": path}
    assert "is outside the data root" in fails(parquet(tmp_path / "faces", columns))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    parquet_file(tmp_path / "secret.parquet", face_rows())
    root = tmp_path / "faces"
    root.mkdir()
    (root / "train.parquet").symlink_to(tmp_path / "secret.parquet")
    assert "leads out of its folder" in fails(root)
    images = hub_images(tmp_path / "images")
    (images / "train/train0.png").unlink()
    (images / "train/train0.png").symlink_to(picture(tmp_path / "outside.png"))
    assert "is outside the data root" in fails(images)


def test_saved_tables_may_not_name_files_elsewhere(tmp_path):
    root = saved(tmp_path / "faces")
    state = json.loads((root / "train/state.json").read_text())
    state["_data_files"] = [{"filename": "../../other.arrow"}]
    (root / "train/state.json").write_text(json.dumps(state))
    assert "names no files of its own" in fails(root)
    (root / "dataset_dict.json").write_text('{"splits": ["../elsewhere"]}')
    assert "names no files of its own" in fails(root)
    (root / "dataset_dict.json").write_text("[")
    assert "is damaged; save the set again" in fails(root)


def test_paths_inside_the_folder_are_files_to_decode(tmp_path):
    root = tmp_path / "faces"
    names = [f"images/{i}.png" for i in range(6)]
    for place, name in enumerate(names):
        picture(root / name, 10 * (place // 2))
    columns = {"file_name": names, "emotion": face_rows()["label"]}
    parquet_file(root / "train.parquet", columns)
    train = opened(root).train
    assert train.pictures[0] == root / train.ids[0].removeprefix("train/")
    (root / "images/5.png").unlink()
    assert "1 of 6 images are missing (images/5.png)" in fails(root)
    source = opened(root, max_bad=0.2)
    assert ("missing image file", 1) in source.train.left_out


def test_damaged_pictures_are_counted_and_named(tmp_path):
    columns = face_rows(each=10)
    columns["image"][3]["bytes"] = encoded()[:40]
    columns["image"][7] = {"bytes": None, "path": None}
    root = parquet(tmp_path / "faces", columns)
    source = opened(root)
    both = [FaceDataset(x, Preprocessing(12, True), 0.9) for x in (source.train, source.validation)]
    bad = dict(pair for faces in both for pair in faces.bad)
    assert len(bad) == 2
    assert any("empty file" in reason for reason in bad.values())
    assert all(str(root) in reason for reason in bad.values())
    with pytest.raises(DataError, match="cannot be read"):
        [FaceDataset(x, Preprocessing(12, True)) for x in (source.train, source.validation)]


def test_a_picture_is_turned_upright_like_every_other(tmp_path):
    shown = Image.new("RGB", (20, 10))
    shown.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", exif=exif)
    columns = face_rows()
    columns["image"] = [{"bytes": buffer.getvalue(), "path": None}] * 6
    train = opened(parquet(tmp_path / "faces", columns), leaks="allow").train
    assert train.ids[0].startswith("train/000000")
    pixels = np.asarray(FaceDataset(train, Preprocessing(10, True)).pixels)
    assert pixels[0, :, :, 0].argmax() % 10 > 5


def test_an_empty_split_is_one_sentence(tmp_path):
    empty = pa.table(face_rows()).slice(0, 0)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    pq.write_table(pa.table(face_rows()), tmp_path / "train/0.parquet")
    pq.write_table(empty, tmp_path / "val/0.parquet")
    assert "has a file without rows; remove it" in fails(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not really")
    message = fails(tmp_path)
    assert str(tmp_path) in message
    assert "fetch it again" in message


def test_files_with_different_columns_are_one_sentence(tmp_path):
    parquet_file(tmp_path / "train-00000-of-00002.parquet", face_rows())
    parquet_file(tmp_path / "train-00001-of-00002.parquet", {"image": [b"x"], "other": [1]})
    assert str(tmp_path) in fails(tmp_path)


@pytest.mark.parametrize("layout", ["parquet", "arrow", "hub-images"])
def test_files_on_disk_are_read_without_a_word_to_anyone(layout, tmp_path, monkeypatch):
    asked = []

    def refuse(*words, **more):
        asked.append(words)
        raise OSError("no network here")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    opened(FAKES[layout](tmp_path / "faces")).test()
    assert not asked


def test_reading_leaves_the_library_as_it_was(tmp_path, capfd):
    def state():
        counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
        return datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled(), counts

    before = state()
    opened(parquet(tmp_path / "faces"))
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_a_folder_as_another_library_writes_it_gives_the_same_faces(tmp_path):
    """The oracle is `datasets` itself: it decodes what we list."""
    root = parquet(tmp_path / "faces")
    decoded = datasets.load_dataset(
        "parquet", data_files=str(root / "data/test-00000-of-00001.parquet"), split="train"
    ).cast_column("image", datasets.Image())
    test = opened(root).test()
    faces = FaceDataset(test, Preprocessing(12, True))
    expected = np.stack([np.asarray(row["image"]) for row in decoded])
    assert (np.asarray(faces.pixels)[..., 0] == expected).all()
    whole = datasets.concatenate_datasets([decoded, decoded])
    whole.save_to_disk(str(tmp_path / "alone"))
    assert opened(tmp_path / "alone").train.counts() == test.counts()


@pytest.mark.real
def test_the_real_faces_are_the_same_as_parquet_and_as_files(real_faces, tmp_path):
    program = str(real_faces.parent / "materialize.py")
    for layout in ("parquet", "ferplus"):
        words = [sys.executable, program, layout, str(tmp_path / layout), "--limit", "150"]
        subprocess.run(words, check=True, capture_output=True)
    stored = opened(tmp_path / "parquet", map=("contempt=drop", "disgust=drop"))
    files = opened(tmp_path / "ferplus", train_labels="majority")
    for one, other in ((stored.train, files.train), (stored.test(), files.test())):
        faces = FaceDataset(one, Preprocessing(48, True))
        known = {name: place for place, name in enumerate(other.ids)}
        places = [next(p for n, p in known.items() if n.endswith(i[-14:])) for i in one.ids]
        assert len(one) > 100
        expected = FaceDataset(other.take(places), Preprocessing(48, True))
        assert np.array_equal(faces.pixels, expected.pixels)
        labels = [other.class_names[label] for label in other.labels[places]]
        assert [one.class_names[label] for label in one.labels] == labels
