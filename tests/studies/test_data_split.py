"""`adafer data split` and `data extract`, from the door to the files and back."""

import json
import zipfile
from pathlib import Path

import fakes
import numpy as np
import pytest
from command_line import refused

from adafer import cli
from adafer.data import open_data
from adafer.settings.data import DataSettings


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Forty pictures of ten persons, three emotions, as one list."""
    rows: list[list[object]] = [["path", "label", "subject"]]
    for number in range(40):
        fakes.picture(tmp_path / "faces" / f"{number}.png", number)
        rows.append([f"faces/{number}.png", "abc"[number % 3], f"p{number % 10}"])
    fakes.table(tmp_path / "train.csv", rows)
    return tmp_path


def read_back(folder: Path) -> dict[str, set[str]]:
    source = open_data(DataSettings(data=str(folder)))
    return {
        "train": set(source.train.groups or source.train.ids),
        "val": set(source.validation.groups or source.validation.ids),
        "test": set(source.test().groups or source.test().ids),
    }


def test_persons_stay_together_and_the_lists_read_back(people: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = ["data", "split", str(people), "--output", str(out), "--fractions", "0.6,0.2,0.2"]
    assert cli.run(words) == 0
    parts = read_back(out)
    assert not parts["train"] & parts["val"]
    assert not (parts["train"] | parts["val"]) & parts["test"]
    summary = json.loads((out / "split.json").read_text())
    assert summary["by"] == "stratified-group"
    assert summary["divisions"][0]["groups_shared"] == 0
    sizes = summary["divisions"][0]["splits"]
    assert sum(split["faces"] for split in sizes.values()) == 40


def test_a_random_split_of_known_persons_is_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["data", "split", str(people), "--output", str(tmp_path / "out"), "--by", "stratified"]
    said = refused(capsys, words, 3)
    assert "10 groups" in said
    assert "--by stratified-group" in said
    assert not (tmp_path / "out").exists()


def test_groups_are_asked_for_where_nobody_knows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    faces = fakes.imagefolder(tmp_path / "faces")
    words = ["data", "split", str(faces), "--output", str(tmp_path / "out"), "--by", "group"]
    assert "--groups clusters" in refused(capsys, words, 2)


def test_every_face_is_held_out_by_exactly_one_fold(people: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = ["data", "split", str(people), "--output", str(out), "--folds", "5", "--by", "group"]
    assert cli.run(words) == 0
    held: list[str] = []
    for fold in range(1, 6):
        source = open_data(DataSettings(data=str(out / f"fold{fold}.csv")))
        held += source.validation.ids
        assert not set(source.validation.groups or ()) & set(source.train.groups or ())
    assert len(held) == len(set(held)) == 40


def test_near_copies_stay_together(tmp_path: Path):
    faces = tmp_path / "faces"
    random = np.random.default_rng(0)
    from PIL import Image

    for number in range(30):
        base = Image.fromarray(random.integers(0, 256, (6, 6), np.uint8)).resize((48, 48))
        for copy in range(2):
            folder = faces / "train" / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            base.save(folder / f"{number}-{copy}.jpg", quality=95 - 30 * copy)
    out = tmp_path / "out"
    words = ["data", "split", str(faces), "--output", str(out), "--groups", "clusters"]
    assert cli.run([*words, "--fractions", "0.5,0.25,0.25"]) == 0
    summary = json.loads((out / "split.json").read_text())
    assert summary["groups"] == "near-duplicate clusters"
    source = open_data(DataSettings(data=str(out)))
    numbers = [
        {name.rpartition("/")[2].partition("-")[0] for name in listing.ids}
        for listing in (source.train, source.validation, source.test())
    ]
    assert not numbers[0] & numbers[1]
    assert not (numbers[0] | numbers[1]) & numbers[2]


def test_votes_and_class_order_survive(tmp_path: Path):
    out = tmp_path / "out"
    faces = fakes.ferplus(tmp_path / "ferplus")
    words = ["data", "split", str(faces), "--output", str(out), "--keep-test"]
    assert cli.run([*words, "--fractions", "0.5,0.5", "--train-labels", "votes"]) == 0
    before, after = (open_data(DataSettings(data=str(p))) for p in (faces, out))
    assert after.class_names == before.class_names
    own = {
        name.rpartition("/")[2]: votes
        for listing in (before.train, before.validation, before.test())
        for name, votes in zip(listing.ids, listing.votes, strict=True)
    }
    for listing in (after.train, after.validation, after.test()):
        for name, votes in zip(listing.ids, listing.votes, strict=True):
            np.testing.assert_allclose(votes, own[name.rpartition("/")[2]], atol=1e-4)


def test_a_folder_that_holds_something_is_left_alone(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    words = ["data", "split", str(people), "--output", str(out)]
    assert "not empty" in refused(capsys, words, 3)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


def test_a_zip_is_unpacked_once_and_a_hostile_one_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    with zipfile.ZipFile(good, "w") as file:
        file.writestr("train/a/1.png", b"face")
    with zipfile.ZipFile(bad, "w") as file:
        file.writestr("../outside.png", b"face")
    folder = tmp_path / "faces"
    assert cli.run(["data", "extract", str(good), str(folder)]) == 0
    assert (folder / "train" / "a" / "1.png").read_bytes() == b"face"
    assert cli.run(["data", "extract", str(good), str(folder)]) == 0
    capsys.readouterr()
    refused(capsys, ["data", "extract", str(bad), str(tmp_path / "other")], 3)
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "outside.png").exists()


def test_a_word_that_data_lacks_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert "did you mean 'check'" in refused(capsys, ["data", "chek"], 2)
