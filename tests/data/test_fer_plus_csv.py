"""FER+'s second vote file joined to FER2013's pixels: row by row, or not at all."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import ferplus_csv, pixels, table

from adafer.data import READERS, open_data, recognise
from adafer.data.published import published
from adafer.errors import DataError
from adafer.labels import FER2013_ORDER, FERPLUS_ORDER
from adafer.settings.data import DataSettings


def listed(root, split="train", **changes):
    return READERS["ferplus-csv"](root, split, DataSettings(**changes))


def rewrite(path: Path, change):
    """Change the rows of a CSV file in place."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    table(path, change(rows))


def test_each_vote_goes_to_the_pixels_of_its_row(tmp_path):
    listing = listed(ferplus_csv(tmp_path), "val")
    assert listing.ids == tuple(f"fer{n:07d}.png" for n in range(16, 24))
    assert [int(face[0, 0]) for face in listing.pictures] == [10 * n for n in range(8)]
    assert listing.labels.tolist() == list(range(8))
    np.testing.assert_allclose(listing.votes, np.eye(8))  # two votes for unknown fall away


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_either_file_of_pixels_may_lie_beside_the_votes(name, tmp_path):
    ferplus_csv(tmp_path)
    (tmp_path / "fer2013.csv").rename(tmp_path / name)
    rewrite(tmp_path / name, lambda rows: [["emotion", " Usage", " pixels"], *swapped(rows[1:])])
    assert recognise(tmp_path) == "ferplus-csv"
    assert len(listed(tmp_path)) == 16


def swapped(rows):
    return [[emotion, usage, levels] for emotion, levels, usage in rows]


def test_a_note_names_the_file_of_votes_and_says_that_there_is_another(tmp_path):
    notes = " ".join(listed(ferplus_csv(tmp_path)).notes)
    assert "votes of fer2013new.csv" in notes
    assert "label.csv differs on 1,602 of the 35,710 faces" in notes


def test_another_number_of_rows_is_refused(tmp_path):
    ferplus_csv(tmp_path)
    rewrite(tmp_path / "fer2013new.csv", lambda rows: rows[:-1])
    for split in ("train", "val", "test"):
        with pytest.raises(DataError, match=r"do not belong together: they have 31 and 32 rows"):
            listed(tmp_path, split)


def test_another_usage_in_any_row_is_refused(tmp_path):
    ferplus_csv(tmp_path)

    def exchange(rows):
        rows[16], rows[17] = rows[17], rows[16]
        return rows

    rewrite(tmp_path / "fer2013new.csv", exchange)
    reason = "line 17 is PublicTest, line 17 of the other is Training"
    for split in ("train", "test"):
        with pytest.raises(DataError, match=reason):
            listed(tmp_path, split)


def long_pair(root: Path, shift: int) -> Path:
    """Two hundred faces whose two label sets agree when the shift is 0."""
    order = ("anger", "happiness", "neutral", "sadness", "surprise")
    emotions = [order[n % 5] for n in range(200)]
    moved = [order[(n + shift) % 5] for n in range(200)]
    rows = [
        [FER2013_ORDER.index(word), pixels(n % 250, 4), "Training"] for n, word in enumerate(moved)
    ]
    table(root / "fer2013.csv", [["emotion", "pixels", "Usage"], *rows])
    votes = [[10 * (word == emotion) for emotion in FERPLUS_ORDER] for word in emotions]
    counted = [["Training", f"fer{n:07d}.png", *vote, 0, 0] for n, vote in enumerate(votes)]
    header = ["Usage", "Image name", *FERPLUS_ORDER, "unknown", "NF"]
    table(root / "fer2013new.csv", [header, *counted])
    return root


def test_rows_in_another_order_are_refused_as_the_labels_agree_by_chance(tmp_path):
    assert len(listed(long_pair(tmp_path / "a", 0))) == 200
    with pytest.raises(DataError, match="only 0% of the clear faces have the same emotion"):
        listed(long_pair(tmp_path / "b", 1))


def test_rows_without_a_name_and_names_that_stand_twice_are_counted(tmp_path):
    ferplus_csv(tmp_path)

    def change(rows):
        rows[1][1], rows[3][1] = "", rows[2][1]
        return rows

    rewrite(tmp_path / "fer2013new.csv", change)
    listing = listed(tmp_path)
    assert len(listing) == 14
    assert dict(listing.left_out) == {"image name stands again below": 1, "no image name": 1}
    assert listing.ids[:2] == ("fer0000001.png", "fer0000003.png")
    assert [int(face[0, 0]) for face in listing.pictures[:2]] == [10, 10]


@pytest.mark.parametrize(
    ("name", "line", "column", "cell", "reason"),
    [
        ("fer2013new.csv", 3, 2, "-1", "line 4: '-1' is no number of votes"),
        ("fer2013new.csv", 3, 0, "Trainig", "line 4: unknown split 'Trainig'"),
        ("fer2013.csv", 3, 1, "1 2 x", "line 4: pixel value 'x' is not a whole number"),
        ("fer2013.csv", 3, 1, "1 2 3", "line 4: 3 pixel values are no square of 48"),
    ],
)
def test_a_bad_row_of_either_file_is_an_error_with_its_line(
    name, line, column, cell, reason, tmp_path
):
    ferplus_csv(tmp_path)

    def change(rows):
        rows[line][column] = cell
        return rows

    rewrite(tmp_path / name, change)
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert f"{name}: 1 bad row ({reason}" in str(caught.value)


def test_a_row_with_too_few_fields_stops_at_once_as_nothing_after_it_would_fit(tmp_path):
    ferplus_csv(tmp_path)
    rewrite(tmp_path / "fer2013new.csv", lambda rows: [*rows[:5], rows[5][:4], *rows[6:]])
    with pytest.raises(DataError, match=r"fer2013new.csv: 1 bad row \(line 6: 4 fields for 12"):
        listed(tmp_path)


def test_faces_that_have_not_ten_votes_are_noted(tmp_path):
    ferplus_csv(tmp_path)

    def change(rows):
        rows[1][2] = "7"
        return rows

    rewrite(tmp_path / "fer2013new.csv", change)
    assert "1 face of train without 10 votes in all" not in " ".join(listed(tmp_path, "val").notes)
    assert "1 face of train" in " ".join(listed(tmp_path).notes)


@pytest.fixture(scope="module")
def joined(tmp_path_factory, real_faces):
    """The real votes beside a stand-in for fer2013.csv whose pixels spell the number of the row."""
    root = tmp_path_factory.mktemp("joined")
    shutil.copy(real_faces / "fer2013new.csv", root)
    with (real_faces / "fer2013new.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    table(
        root / "fer2013.csv",
        [
            ["emotion", "pixels", "Usage"],
            *(
                [label_of(row[2:10]), f"{n // 256} {n % 256} 0 0", row[0]]
                for n, row in enumerate(rows)
            ),
        ],
    )
    return root


def label_of(votes):
    """FER2013's number of the emotion with the most votes; contempt is anger there."""
    word = FERPLUS_ORDER[int(np.argmax(list(map(int, votes))))]
    return FER2013_ORDER.index("anger" if word == "contempt" else word)


@pytest.mark.real
@pytest.mark.parametrize(
    ("split", "count", "first"), [("train", 25057, 0), ("val", 3199, 28709), ("test", 3152, 32298)]
)
def test_the_real_second_vote_file_gives_its_counts_and_its_own_rows(split, count, first, joined):
    listing = listed(joined, split, train_labels="majority")
    assert len(listing) == count
    assert listing.counts() == published("ferplus-csv", split, 8, "majority")
    rows = {"train": 28709, "val": 3589, "test": 3589}[split]
    assert count + sum(left for _, left in listing.left_out) == rows
    with (joined / "fer2013new.csv").open(newline="") as file:
        names = [row[1] for row in csv.reader(file)][1:]
    for name, face in zip(listing.ids, listing.pictures, strict=True):
        row = 256 * int(face[0, 0]) + int(face[0, 1])
        assert names[row] == name
        assert row >= first


@pytest.mark.real
def test_the_real_training_faces_with_votes_are_counted(joined):
    source = open_data(DataSettings(data=str(joined)))
    assert source.train.counts() == published("ferplus-csv", "train", 8)
    left_out = dict(source.train.left_out)
    twice = "image name stands again below"
    assert left_out["no image name"] + dict(source.validation.left_out)["no image name"] < 173
    assert sum(dict(x.left_out).get("no image name", 0) for x in splits(source)) == 173
    assert sum(dict(x.left_out).get(twice, 0) for x in splits(source)) == 4


def splits(source):
    return source.train, source.validation, source.test()
