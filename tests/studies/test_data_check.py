"""`adafer data check` on folders whose every fault was put there."""

import csv
import io
import json
import re

import fakes
import numpy as np
import pytest
from fakes import table as write_table
from PIL import Image

from adafer.commands.data_check import data_check
from adafer.data import open_data
from adafer.data.fer_plus import FOLDERS
from adafer.errors import DataError, WordsError
from adafer.settings.data import DataSettings
from adafer.studies.data_check import DUPLICATES, check_data

CLASSES = ("anger", "happiness")


@pytest.fixture(scope="module")
def drawn():
    """60 different drawn faces, grey."""
    listing = open_data(DataSettings(data="toy", toy_faces=60)).train
    return [Image.fromarray(p).convert("L") for p in listing.pictures]


def put(face, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    face.save(path)


@pytest.fixture
def sound(tmp_path, drawn):
    """Forty training faces, ten of validation, ten of test, no two alike."""
    root = tmp_path / "faces"
    for number, face in enumerate(drawn):
        split = "train" if number < 40 else "val" if number < 50 else "test"
        put(face, root / split / CLASSES[number % 2] / f"{number:02}.png")
    return root


@pytest.fixture
def faulty(sound, drawn):
    """The same with copies across splits, a broken file, a label that differs, a plain picture."""
    put(drawn[0], sound / "test/happiness/exact.png")  # anger in train
    put(drawn[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT), sound / "val/happiness/turned.png")
    data = io.BytesIO()
    drawn[2].save(data, "JPEG", quality=60)
    (sound / "test/anger/again.jpg").write_bytes(data.getvalue())
    (sound / "train/anger/broken.jpg").write_bytes(data.getvalue()[:300])
    put(Image.new("L", (48, 48), 130), sound / "train/anger/plain.png")
    return sound


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_sound_faces_pass_and_everything_is_written(sound, tmp_path, capsys):
    folder = tmp_path / "checked"
    assert data_check([str(sound), "--output", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "broken.csv",
        "contact_sheet.png",
        "data_check.html",
        "data_check.json",
        "duplicates.csv",
    }
    found = json.loads((folder / "data_check.json").read_text())
    assert (found["stops"], found["layout"]) == (False, "imagefolder")
    assert [facts["faces"] for facts in found["splits"]] == [40, 10, 10]
    assert table(folder / "duplicates.csv") == [list(DUPLICATES)]
    assert table(folder / "broken.csv") == [["split", "id", "reason"]]
    printed = capsys.readouterr().out
    assert "data_check.html" in printed
    assert "imagefolder: 60 faces" in printed


def test_every_planted_fault_is_found(faulty, tmp_path):
    folder = tmp_path / "checked"
    assert data_check([str(faulty), "--output", str(folder)]) == 3
    header, *rows = table(folder / "duplicates.csv")
    pairs = {
        (row["kind"], row["first"], row["first_label"], row["second"], row["second_label"])
        for row in (dict(zip(header, cells, strict=True)) for cells in rows)
    }
    assert pairs == {
        ("exact", "train/anger/00.png", "anger", "test/happiness/exact.png", "happiness"),
        (
            "mirrored",
            "train/happiness/01.png",
            "happiness",
            "val/happiness/turned.png",
            "happiness",
        ),
        ("near", "train/anger/02.png", "anger", "test/anger/again.jpg", "anger"),
    }
    _, broken = table(folder / "broken.csv")
    assert broken[:2] == ["train", "train/anger/broken.jpg"]
    assert "truncated" in broken[2]
    found = json.loads((folder / "data_check.json").read_text())
    words = {item["about"]: item for item in found["findings"] if item["level"] != "note"}
    assert words["leak"]["level"] == words["broken files"]["level"] == "stop"
    assert words["near leak"]["level"] == words["plain pictures"]["level"] == "warning"
    assert "1 of 3 pictures" in words["labels"]["words"]


def test_a_training_stops_on_what_the_check_stops_on(faulty, tmp_path):
    """Broken files within the limit and no exact leak: neither stops."""
    (faulty / "test/happiness/exact.png").unlink()
    out = ["--output", str(tmp_path / "checked"), "--no-near"]
    assert data_check([str(faulty), *out]) == 3
    assert data_check([str(faulty), *out, "--max-bad", "0.05"]) == 0


def test_without_near_only_equal_pixels_are_compared(faulty, tmp_path):
    settings = DataSettings(data=str(faulty))
    found = check_data(settings, near=False, output=tmp_path / "checked")
    assert found.copies.links == {"exact": 1, "mirrored": 1, "near": 0, "mirrored near": 0}
    assert any("--no-near" in item.words for item in found.findings)


def test_the_page_stands_alone_and_without_faces_holds_no_picture(faulty, tmp_path):
    for faces in (True, False):
        folder = tmp_path / f"faces-{faces}"
        check_data(DataSettings(data=str(faulty)), faces=faces, output=folder)
        page = (folder / "data_check.html").read_text(encoding="utf-8")
        assert not re.search(r"""(src|href)=["']?(https?:|//|file:|/)""", page)
        assert "<script" not in page
        assert ("data:image" in page) == faces
        assert (folder / "contact_sheet.png").exists() == faces


def test_names_from_outside_do_no_harm(sound, drawn, tmp_path):
    name = "=cmd()<img src=x>.png"
    put(drawn[0], sound / "train/anger" / name)
    (sound / "train/happiness" / "<b>.png").write_bytes(b"no picture")
    folder = tmp_path / "checked"
    check_data(DataSettings(data=str(sound)), output=folder)
    page = (folder / "data_check.html").read_text(encoding="utf-8")
    assert "<img src=x>" not in page
    assert "&lt;b&gt;.png" in page
    assert "<b>" not in page


def test_nothing_is_written_into_the_data(sound, monkeypatch):
    before = sorted(sound.rglob("*"))
    with pytest.raises(WordsError, match=r"inside the data.*--output"):
        data_check([str(sound), "--output", str(sound / "checked")])
    monkeypatch.chdir(sound)
    with pytest.raises(WordsError, match="inside the data"):
        data_check(["."])
    assert sorted(sound.rglob("*")) == before


def test_the_usual_folder_is_named_after_the_data(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_data(DataSettings(data=str(sound)), near=False)
    assert (tmp_path / "data_check/faces/data_check.html").is_file()


def test_a_carved_validation_and_no_test_are_no_fault(tmp_path, drawn):
    for number, face in enumerate(drawn):
        put(face, tmp_path / "faces/train" / CLASSES[number % 2] / f"{number}.png")
    found = check_data(DataSettings(data=str(tmp_path / "faces")), output=tmp_path / "checked")
    assert [facts.split for facts in found.splits] == ["train", "val"]
    assert [facts.carved for facts in found.splits] == [False, True]
    assert not found.stops


@pytest.mark.parametrize("words", [["--max-bad", "2"], ["--img-size", "4"], ["--img-size", "x"]])
def test_values_that_cannot_be_are_wrong_words(words, sound, tmp_path):
    with pytest.raises(WordsError):
        data_check([str(sound), "--output", str(tmp_path / "checked"), *words])


def test_a_missing_path_is_wrong_data(tmp_path):
    with pytest.raises(DataError, match="no such path"):
        data_check([str(tmp_path / "nothing"), "--output", str(tmp_path / "checked")])


@pytest.fixture(scope="module")
def ferplus(real_faces, tmp_path_factory):
    """FER+ with a tenth of train, and the bytes of each face by split and name."""
    root, faces = tmp_path_factory.mktemp("ferplus"), {}
    for split, folder in FOLDERS.items():
        with (real_faces / f"{split}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        mosaic = np.asarray(Image.open(real_faces / f"{split}.webp").convert("L"))
        tiles = mosaic.reshape(mosaic.shape[0] // 48, 48, -1, 48).swapaxes(1, 2).reshape(-1, 48, 48)
        chosen = slice(None, None, 10 if split == "train" else 1)
        kept = list(zip(rows, tiles, strict=False))[chosen]
        votes = [[name, "(0, 0, 48, 48)", *counts] for (name, *counts), _ in kept]
        write_table(root / folder / "label.csv", votes)
        for (name, *_), face in kept:
            Image.fromarray(face).save(root / folder / name, compress_level=0)
        faces[split] = {row[0]: face.tobytes() for row, face in kept}
    return root, faces


@pytest.mark.real
def test_ferplus_is_complete_and_its_splits_share_faces(ferplus, tmp_path):
    """The published counts; exact copies as sets of bytes count them."""
    root, faces = ferplus
    settings = DataSettings(data=str(root))
    found = check_data(settings, near=False, output=tmp_path / "checked")
    source = open_data(settings)
    train = {faces["train"][name] for name in source.train.ids}
    assert [facts.faces for facts in found.splits[1:]] == [3191, 3137]
    overlaps = {(item.split, item.other): item.faces for item in found.copies.overlaps}
    for listing in (source.validation, source.test()):
        shared = sum(faces[listing.split][name] in train for name in listing.ids)
        assert overlaps[listing.split, "train"]["exact"] == shared > 0
    complete = [item for item in found.findings if item.about == "counts"]
    assert [item.level for item in complete] == ["warning", "note", "note"]  # a tenth of train


def test_missing_files_are_counted_where_a_training_would_stop(tmp_path):
    root = fakes.ferplus(tmp_path / "faces")
    (root / "FER2013Train/Train31.png").unlink()
    levels = []
    for max_bad in (0.0, 0.1):
        settings = DataSettings(data=str(root), max_bad=max_bad)
        found = check_data(settings, near=False, output=tmp_path / "checked")
        assert [facts.missing for facts in found.splits] == [1, 0, 0]
        levels += [item.level for item in found.findings if item.about == "broken files"]
    assert levels == ["stop", "warning"]
