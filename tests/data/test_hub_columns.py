"""Which columns of a table are read, and what their labels are taken for."""

import pyarrow as pa
import pytest
from fakes import FAKES, encoded, face_rows, parquet, parquet_file

from adafer.data import open_data
from adafer.errors import DataError, WordsError
from adafer.settings.data import DataSettings

datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")


def opened(root, **changes):
    return open_data(DataSettings(data=str(root), **changes))


def fails(root, error=DataError, **changes):
    with pytest.raises(error) as caught:
        opened(root, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_names_of_the_file_say_what_its_numbers_are(tmp_path):
    names = ["Fearful", "joy", "SAD"]
    parquet_file(tmp_path / "train.parquet", face_rows([2, 0, 1]), names)
    train = opened(tmp_path).train
    assert train.class_names == ("happiness", "sadness", "fear")
    by_id = dict(zip(train.ids, train.labels.tolist(), strict=True))
    by_id |= dict(zip((v := opened(tmp_path).validation).ids, v.labels.tolist(), strict=True))
    assert [by_id[f"train/{i}.png"] for i in range(6)] == [1, 1, 2, 2, 0, 0]


def test_other_classes_keep_their_names_and_their_order(tmp_path):
    parquet_file(tmp_path / "train.parquet", face_rows([0, 1, 2]), ["tired", "awake", "bored"])
    assert opened(tmp_path).class_names == ("tired", "awake", "bored")


def test_names_that_are_no_emotions_are_listed_with_a_map(tmp_path):
    root = parquet(tmp_path / "faces", face_rows(["happy", "sad", "angry", "happines", "n/a"]))
    message = fails(root)
    assert "happines, n/a are no basic emotions" in message
    assert "--map happines=happiness,n/a=drop" in message


def test_map_joins_renames_and_drops_classes(tmp_path):
    root = parquet(tmp_path / "faces", face_rows(["happy", "sad", "angry", "grin", "n/a"]))
    source = opened(root, map=("grin=joy", "N/A=drop"))
    assert source.class_names == ("happiness", "sadness", "anger")
    assert source.train.counts()["happiness"] + source.validation.counts()["happiness"] == 4
    assert ("class dropped by --map", 2) in source.train.left_out
    kept = opened(root, map=("grin=grin", "n/a=drop")).class_names
    assert sorted(kept) == ["anger", "grin", "happiness", "sadness"]


def test_map_gives_numbers_their_meaning(tmp_path):
    root = parquet_file(tmp_path / "f.parquet", face_rows([0, 1, 2]))
    assert opened(root).class_names == ("0", "1", "2")
    mapped = opened(root, map=("0=fear", "1=anger", "2=neutral"))
    assert mapped.class_names == ("neutral", "anger", "fear")
    order = opened(root, label_order="fer2013").class_names
    assert order == ("anger", "disgust", "fear")


@pytest.mark.parametrize("pairs", [("joy",), ("=joy",), ("joy=",), ("a=fear", "A=anger")])
def test_a_map_that_is_none_is_refused(pairs, tmp_path):
    assert "--map" in fails(parquet(tmp_path / "faces"), WordsError, map=pairs)


def test_a_map_of_a_class_that_is_not_there_is_noted(tmp_path):
    train = opened(parquet(tmp_path / "faces"), map=("joyful=happiness",)).train
    assert "--map names joyful, which is no class here" in train.notes


def test_a_class_that_only_test_has_is_an_error(tmp_path):
    root = parquet(tmp_path / "faces", face_rows(["happy", "sad"]))
    source = opened(root)
    with pytest.raises(DataError, match=r"angry is no class of train \(happiness, sadness\)"):
        source.test()


def test_columns_of_raw_bytes_are_read(tmp_path):
    columns = face_rows()
    columns["image"] = [cell["bytes"] for cell in columns["image"]]
    train = opened(parquet_file(tmp_path / "faces.parquet", columns)).train
    assert bytes(train.pictures[0].data) == encoded(10 * int(train.labels[0]))


def test_two_columns_of_pictures_or_labels_are_a_question(tmp_path):
    columns = face_rows()
    columns["mask"] = [{"bytes": encoded(99), "path": None}] * 6
    columns["emotion"] = ["fear"] * 3 + ["anger"] * 3
    root = tmp_path / "faces/train.parquet"
    parquet_file(root, columns)
    assert "in the columns image, mask; choose one, as in --image-col image" in fails(
        root, WordsError
    )
    assert "in the columns label, emotion; choose one, as in --label-col label" in fails(
        root, WordsError, image_col="image"
    )
    train = opened(root, image_col="mask", label_col="emotion").train
    assert train.class_names == ("anger", "fear")
    assert bytes(train.pictures[0].data) == encoded(99)
    assert "no column 'labl'; it has image, label, mask, emotion" in fails(
        root, WordsError, image_col="image", label_col="labl"
    )
    paths = fails(root, image_col="emotion", label_col="label")
    assert "6 of 6 images are missing (fear, fear, fear and 3 more)" in paths


def test_a_table_without_pictures_or_labels_says_what_it_has(tmp_path):
    words = {"text": ["a", "b"], "label": ["happy", "sad"]}
    message = fails(parquet_file(tmp_path / "a.parquet", words))
    assert "no column with pictures; it has text, label" in message
    assert "--image-col" in message
    faces = {"image": face_rows()["image"], "age": [1.5] * 6}
    assert "no column with labels; it has image, age" in fails(
        parquet_file(tmp_path / "b.parquet", faces)
    )
    assert "holds fractions such as 1.5" in fails(tmp_path / "b.parquet", label_col="age")
    faces["age"] = [[1]] * 6
    parquet_file(tmp_path / "c.parquet", faces)
    assert "holds neither words nor numbers" in fails(tmp_path / "c.parquet", label_col="age")


def test_rows_without_a_label_stop_or_are_counted(tmp_path):
    columns = face_rows(each=10)
    columns["label"][4] = None
    root = parquet(tmp_path / "faces", columns)
    message = fails(root)
    assert "1 of 30 rows have no label (row 4 first)" in message
    assert "--max-bad 0.034" in message
    train = opened(root, max_bad=0.034).train
    assert ("row without a label", 1) in train.left_out
    assert "train/4.png" not in train.ids
    numbers = face_rows([0, 1, -1])
    parquet_file(tmp_path / "named/train.parquet", numbers, ["happy", "sad"])
    assert "2 of 6 rows have no label (row 4 first)" in fails(tmp_path / "named")
    columns["label"] = pa.array([None] * 30, pa.string())
    bare = fails(parquet_file(tmp_path / "bare.parquet", columns))
    assert "train has no labels in the column 'label'" in bare


def test_whole_numbers_with_a_fraction_point_are_classes(tmp_path):
    columns = face_rows([0.0, 1.0])
    root = parquet_file(tmp_path / "f.parquet", columns)
    assert opened(root).class_names == ("0", "1")


def test_votes_and_persons_are_read(tmp_path):
    columns = face_rows(each=4)
    columns["votes_happy"] = [3, 1, 0, 8] * 3
    columns["votes_sad"] = [1, 1, 0.5, 0] * 3
    columns["votes_angry"] = [0, 2, 0.5, 0] * 3
    columns["Subject"] = [f"p{i // 2}" for i in range(12)]
    root = parquet_file(tmp_path / "faces.parquet", columns)
    train = opened(root).train
    shares = [[0.75, 0.25, 0], [0.25, 0.25, 0.5], [0, 0.5, 0.5], [1, 0, 0]]
    for name, votes, group in zip(train.ids, train.votes, train.groups, strict=True):
        number = int(name.removeprefix("train/").removesuffix(".png"))
        assert votes.tolist() == shares[number % 4]
        assert group == f"p{number // 2}"
    assert not set(train.groups) & set(opened(root).validation.groups)
    columns["votes_sad"][5] = columns["votes_angry"][5] = columns["votes_happy"][5] = 0
    assert "1 rows without votes for any class (row 5 first)" in fails(
        parquet_file(tmp_path / "none.parquet", columns)
    )
    del columns["votes_sad"]
    assert "give one column votes_CLASS for each" in fails(
        parquet_file(tmp_path / "few.parquet", columns)
    )


def test_other_layouts_say_that_they_do_not_read_the_columns(tmp_path):
    root = FAKES["imagefolder"](tmp_path / "faces")
    notes = opened(root, label_col="emotion", map=("a=fear",)).train.notes
    assert "--label-col and --map: not read by the layout imagefolder" in notes
    assert not any("not read" in note for note in opened(root).train.notes)
