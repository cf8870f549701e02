"""Folders that the system will not open, persons in a list, and faults of the votes."""

import csv
import os
from pathlib import Path

import pytest
from fakes import FAKES, csv_splits, ferplus, pixels, table

from adafer.data import LAYOUTS, READERS, open_data, recognise
from adafer.errors import DataError
from adafer.settings.data import DataSettings

FOLDER_READERS = [name for name in LAYOUTS if name not in ("csv", "fer-csv", "ferplus-csv")]


def refuse(monkeypatch, part):
    """Let the system refuse every folder and file below a folder of this name."""
    calls = {name: getattr(os, name) for name in ("scandir", "stat", "lstat", "listdir")}

    def guarded(name):
        def call(path=".", *rest, **more):
            if isinstance(path, str | os.PathLike) and part in Path(path).parts:
                raise PermissionError(13, "Permission denied", str(path))
            return calls[name](path, *rest, **more)

        return call

    for name in calls:
        monkeypatch.setattr(os, name, guarded(name))


@pytest.mark.parametrize("name", FOLDER_READERS)
def test_a_folder_without_permission_is_one_sentence(name, tmp_path, monkeypatch):
    root = FAKES[name](tmp_path / "faces")
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    folder = next(path for path in files if "rain" in str(path)).parent.name
    refuse(monkeypatch, folder)
    with pytest.raises(DataError) as caught:
        open_data(DataSettings(data=str(root), layout=name))
    assert "\n" not in str(caught.value)
    assert "correct" in str(caught.value)


@pytest.mark.parametrize("layout", ["auto", "imagefolder"])
def test_a_root_without_permission_is_one_sentence(layout, tmp_path, monkeypatch):
    root = FAKES["imagefolder"](tmp_path / "faces")
    refuse(monkeypatch, "faces")
    with pytest.raises(DataError, match=r"faces.* cannot be read \(Permission denied\); correct"):
        open_data(DataSettings(data=str(root), layout=layout))
    with pytest.raises(DataError, match="Permission denied"):
        recognise(root)


def test_every_reader_keeps_its_data_card():
    for name, layout in LAYOUTS.items():
        assert READERS[name].__doc__ == layout.read.__doc__
        assert len(layout.read.__doc__.splitlines()) > 3


@pytest.mark.parametrize("column", ["subject", "Identity", "person_id", "group"])
def test_persons_of_a_list_are_groups_of_its_faces(column, tmp_path):
    csv_splits(tmp_path)
    with (tmp_path / "train.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    named = [[*row, f"person {n // 2}"] for n, row in enumerate(rows)]
    table(tmp_path / "train.csv", [[*header, column], *named])
    listing = READERS["csv"](tmp_path, "train", DataSettings())
    assert listing.groups == tuple(f"person {n // 2}" for n in range(6))
    assert listing.take([5, 0]).groups == ("person 2", "person 0")
    named[2][-1] = " "
    table(tmp_path / "train.csv", [[*header, column], *named])
    with pytest.raises(DataError, match=f"line 4: no {column.lower()}; fill it or remove"):
        READERS["csv"](tmp_path, "train", DataSettings())


def test_persons_of_faces_held_as_pixels_are_groups_too(tmp_path):
    rows = [[n % 2, pixels(n), f"p{n % 3}"] for n in range(6)]
    table(tmp_path / "train.csv", [["emotion", "pixels", "subject"], *rows])
    listing = READERS["fer-csv"](tmp_path, "train", DataSettings())
    assert listing.groups == ("p0", "p1", "p2", "p0", "p1", "p2")
    table(tmp_path / "train.csv", [["emotion", "pixels"], *[row[:2] for row in rows]])
    assert READERS["fer-csv"](tmp_path, "train", DataSettings()).groups is None


def test_votes_that_do_not_sum_to_ten_are_noted_and_taken(tmp_path):
    root = ferplus(tmp_path)
    path = root / "FER2013Train/label.csv"
    path.write_text(path.read_text().replace(",2,0", ",1,0", 2))
    listing = READERS["ferplus"](root, "train", DataSettings())
    assert len(listing) == 16
    assert "2 faces of train without 10 votes in all" in listing.notes[1]


def test_missing_pictures_may_be_left_out_up_to_a_share(tmp_path):
    for name in ("ferplus", "rafdb"):
        root = FAKES[name](tmp_path / name)
        next(iter(sorted(root.rglob("*rain*.[jp][pn]g")))).unlink()
        with pytest.raises(DataError, match=r"or leave them out with --max-bad 0.0(63|72)"):
            READERS[name](root, "train", DataSettings())
        listing = READERS[name](root, "train", DataSettings(max_bad=0.072))
        assert ("missing image file", 1) in listing.left_out


def test_shares_of_fer2013_are_those_of_its_own_classes(tmp_path):
    # As many of each label as FER2013's training faces have, in hundreds: its own order fits.
    counts = (40, 4, 41, 72, 48, 32, 50)
    rows = [[n, pixels(n)] for n, count in enumerate(counts) for _ in range(count)]
    table(tmp_path / "train.csv", [["emotion", "pixels"], *rows])
    listing = READERS["fer-csv"](tmp_path, "train", DataSettings())
    assert "read in fer2013's order" in listing.notes[0]
    assert (listing.counts()["sadness"], listing.counts()["neutral"]) == (48, 50)


def test_one_face_only_stops_before_training(tmp_path):
    table(tmp_path / "train.csv", [["emotion", "pixels"], [3, pixels()]])
    with pytest.raises(DataError, match="one class only"):
        open_data(DataSettings(data=str(tmp_path)))
