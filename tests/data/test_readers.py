import numpy as np
import pytest
from fakes import (
    FAKES,
    YOLO_NAMES,
    csv_splits,
    fer2013,
    fer_csv,
    imagefolder,
    label_map,
    picture,
    pixels,
    table,
)

from adafer import image
from adafer.data import LAYOUTS, READERS, open_data, recognise
from adafer.data.dataset import FaceDataset
from adafer.data.split import carve
from adafer.errors import DataError, WordsError
from adafer.labels import (
    AFFECTNET_ORDER,
    EMOTIONS,
    FER2013_ORDER,
    FERPLUS_ORDER,
    RAFDB_ORDER,
    emotion_of,
)
from adafer.settings.data import DataSettings

SEVEN = EMOTIONS[:7]
# The emotion that each grey level / 10 stands for, in the layout's own numbering.
OWN_ORDER = {
    "ferplus": FERPLUS_ORDER,
    "affectnet": AFFECTNET_ORDER,
    "affectnet-npy": AFFECTNET_ORDER,
    "affectnet-txt": AFFECTNET_ORDER,
    "yolo": tuple(map(emotion_of, YOLO_NAMES)),
    "ferplus-csv": FERPLUS_ORDER,
    "fer-csv": FERPLUS_ORDER,
    "rafdb": ("", *RAFDB_ORDER),
    "rafdb-kaggle": ("", *RAFDB_ORDER),
    "imagefolder": ("happiness", "sadness", "anger"),
    "csv": ("happiness", "sadness", "anger"),
    "hub-images": ("happiness", "sadness", "anger"),
    "parquet": ("happiness", "sadness", "anger"),
    "arrow": ("happiness", "sadness", "anger"),
}


def opened(root, **changes):
    return open_data(DataSettings(data=str(root), **changes))


def splits_of(source):
    """Train and validation, and test where the data set has one."""
    without_test = source.layout.startswith("affectnet")
    return (source.train, source.validation, *(() if without_test else (source.test(),)))


def level(face):
    return int((face if isinstance(face, np.ndarray) else image.read(face)).mean().round())


def test_every_layout_has_a_fake_tree():
    assert set(FAKES) == set(LAYOUTS) == set(READERS) - {"toy", "hf"}


@pytest.mark.parametrize("name", FAKES)
def test_a_layout_is_recognised_and_every_label_means_what_the_picture_says(name, tmp_path):
    source = opened(FAKES[name](tmp_path / "faces"))
    assert source.layout == name
    for listing in splits_of(source):
        assert listing.class_names == tuple(e for e in EMOTIONS if e in OWN_ORDER[name])
        assert len(set(listing.ids)) == len(listing) > 0
        faces = FaceDataset(listing, image.Preprocessing(size=16, grey=True)).pixels
        for label, face in zip(listing.labels, faces, strict=True):
            number = int(face.mean() + 1) // 10  # JPEG may lose a level
            assert listing.class_names[label] == OWN_ORDER[name][number]


@pytest.mark.parametrize("name", FAKES)
def test_a_layout_is_recognised_one_folder_further_down(name, tmp_path):
    FAKES[name](tmp_path / "archive/data")
    assert recognise(tmp_path) == name
    assert len(opened(tmp_path).train) > 0


@pytest.mark.parametrize("name", FAKES)
def test_listing_twice_gives_the_same_order_and_hash_wherever_the_folder_is(name, tmp_path):
    one, other = opened(FAKES[name](tmp_path / "a")), opened(FAKES[name](tmp_path / "b"))
    assert one.train.ids == other.train.ids
    assert one.hashes() == other.hashes()
    assert set(one.hashes()) == {"train", "val"}
    if name.startswith("affectnet"):
        with pytest.raises(DataError, match=r"AffectNet's are not published; use its validation"):
            one.test()
        return
    one.test()
    assert set(one.hashes()) == {"train", "val", "test"}


def test_the_hash_changes_with_a_label(tmp_path):
    before = opened(csv_splits(tmp_path)).hashes()
    lines = (tmp_path / "train.csv").read_text().splitlines()
    lines[1] = lines[1].replace("happy", "sad")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    after = opened(tmp_path).hashes()
    assert after["train"] != before["train"]
    assert after["val"] == before["val"]


def votes_row(name, votes):
    return [name, "(0, 0, 48, 48)", *votes]


def test_ferplus_votes_follow_the_protocol(tmp_path):
    rows = {  # neutral happiness surprise sadness anger disgust fear contempt unknown NF
        "clear.png": [6, 0, 3, 0, 0, 0, 0, 0, 1, 0],
        "half.png": [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # no winner above half
        "ones.png": [0, 3, 1, 1, 1, 1, 1, 1, 1, 0],  # ones fall away, three of three remain
        "unknown.png": [0, 2, 0, 0, 0, 0, 0, 0, 8, 0],
        "nobody.png": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        "thing.png": [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
    }
    for folder in ("FER2013Train", "FER2013Valid"):
        for name in rows:
            picture(tmp_path / folder / name)
        votes = [votes_row(name, counts) for name, counts in rows.items()]
        table(tmp_path / folder / "label.csv", [*votes, votes_row("", [10] + [0] * 9)])
    source = opened(tmp_path)
    assert source.train.ids == ("clear.png", "half.png", "ones.png", "unknown.png")
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(source.train.votes[0], [2 / 3, 0, 1 / 3, 0, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(source.train.votes.sum(1), 1, rtol=1e-6)
    assert dict(source.train.left_out) == {"no vote for an emotion": 2, "no image name": 1}
    assert source.validation.ids == ("clear.png", "ones.png")
    assert source.validation.votes is not None
    assert dict(source.validation.left_out) == {
        "no votes left": 1,
        "no majority": 1,
        "majority says unknown": 1,
        "majority says not a face": 1,
        "no image name": 1,
    }
    strict = opened(tmp_path, train_labels="majority")
    assert strict.train.ids == source.validation.ids


def test_missing_images_of_ferplus_are_counted(tmp_path):
    root = FAKES["ferplus"](tmp_path)
    (root / "FER2013Train/Train00.png").unlink()
    with pytest.raises(DataError, match=r"1 of 16 images are missing \(Train00.png\)"):
        opened(root)


def test_fer2013_csv_with_usage_has_its_own_order(tmp_path):
    source = opened(fer2013(tmp_path))
    assert source.layout == "fer-csv"
    assert source.class_names == SEVEN
    assert [len(x) for x in (source.train, source.validation, source.test())] == [14, 7, 7]
    for listing in (source.train, source.validation, source.test()):
        for label, face in zip(listing.labels, listing.pictures, strict=True):
            assert SEVEN[label] == FER2013_ORDER[level(face) // 10]


def test_the_file_itself_may_be_named(tmp_path):
    source = opened(fer2013(tmp_path) / "fer2013.csv")
    assert len(source.train) == 14


@pytest.mark.parametrize(
    ("numbers", "order"),
    [
        ([0, 1, 2, 3, 4, 5, 6] * 2, "fer2013"),  # balanced
        ([0, 2, 3, 3, 3, 4, 5, 6], "fer2013"),  # happiness leads
        ([0, 0, 0, 1, 1, 1, 2, 3, 4], "ferplus"),  # neutral and happiness lead, no disgust
    ],
)
def test_numbers_0_to_6_alone_are_read_as_the_shares_fit_and_a_note_says_so(
    numbers, order, tmp_path
):
    meant = {"fer2013": FER2013_ORDER, "ferplus": FERPLUS_ORDER}
    rows = [[n, pixels(10 * n)] for n in numbers]
    table(tmp_path / "train.csv", [["emotion", "pixels"], *rows])
    listing = READERS["fer-csv"](tmp_path, "train", DataSettings())
    assert [listing.class_names[n] for n in listing.labels] == [meant[order][n] for n in numbers]
    other = next(name for name in meant if name != order)
    assert f"give --label-order {other}" in listing.notes[0]
    changed = READERS["fer-csv"](tmp_path, "train", DataSettings(label_order=other))
    assert [changed.class_names[n] for n in changed.labels] == [meant[other][n] for n in numbers]
    assert changed.notes == ()


def test_validation_of_a_pair_has_the_order_that_train_has(tmp_path):
    fer_csv(tmp_path)
    table(tmp_path / "val.csv", [["emotion", "pixels"], [1, pixels()]])  # no 7 in here
    assert opened(tmp_path).validation.counts()["happiness"] == 1


def test_label_7_is_out_of_range_in_fer2013(tmp_path):
    fer_csv(tmp_path)
    with pytest.raises(DataError, match=r"label '7' is not a number from 0 to 6"):
        opened(tmp_path, label_order="fer2013")


def test_kaggles_challenge_folder_is_read_from_the_file_with_all_labels(tmp_path):
    fer2013(tmp_path)
    (tmp_path / "fer2013.csv").rename(tmp_path / "icml_face_data.csv")
    table(tmp_path / "train.csv", [["emotion", "pixels"], [0, pixels()]])
    table(tmp_path / "test.csv", [["pixels"], [pixels()]])
    table(tmp_path / "example_submission.csv", [["emotion"], [0]])
    assert len(opened(tmp_path).test()) == 7


def test_validation_is_carved_with_the_seed_and_by_class(tmp_path):
    rows = [[n % 4, pixels(n % 256)] for n in range(200)]
    table(tmp_path / "train.csv", [["emotion", "pixels"], *rows])
    source = opened(tmp_path, validation_fraction=0.2)
    assert source.validation.carved
    assert not source.train.carved
    assert sorted(source.validation.counts().values())[-5:] == [0, 10, 10, 10, 10]
    assert sorted(source.train.ids + source.validation.ids) == sorted(
        f"train.csv:{line}" for line in range(2, 202)
    )
    again = opened(tmp_path, validation_fraction=0.2)
    other = opened(tmp_path, validation_fraction=0.2, split_seed=1)
    assert source.validation.ids == again.validation.ids != other.validation.ids


def test_carving_does_not_depend_on_the_order_of_the_listing(tmp_path):
    listing = READERS["csv"](csv_splits(tmp_path), "train", DataSettings())
    _, carved = carve(listing, 0.5, seed=3)
    _, turned = carve(listing.take(np.arange(len(listing))[::-1]), 0.5, seed=3)
    assert carved.ids == turned.ids[::-1]
    assert carved.counts() == {"happiness": 1, "sadness": 1, "anger": 1}


def test_a_class_with_one_face_keeps_it_in_train(tmp_path):
    listing = READERS["csv"](csv_splits(tmp_path), "val", DataSettings()).take([0, 1, 2])
    kept, carved = carve(listing, 0.9, seed=0)
    assert (len(kept), len(carved)) == (3, 0)


def test_a_table_of_something_else_may_lie_beside_the_faces(tmp_path):
    imagefolder(tmp_path)
    (tmp_path / "notes.csv").write_bytes("naïve;\xe9t\xe9".encode("latin-1"))
    assert recognise(tmp_path) == "imagefolder"


def test_there_is_no_test_split_to_invent(tmp_path):
    table(tmp_path / "train.csv", [["emotion", "pixels"], *[[n % 2, pixels(n)] for n in range(9)]])
    with pytest.raises(DataError, match=r"no test faces .* add test.csv"):
        opened(tmp_path).test()


@pytest.mark.parametrize("name", ["train_label.txt", "EmoLabel/train_label.txt"])
def test_rafdb_may_have_a_list_for_each_split(name, tmp_path):
    (tmp_path / "EmoLabel").mkdir()
    for n in (1, 2):
        picture(tmp_path / f"train_0000{n}_aligned.jpg")
    (tmp_path / name).write_text("train_00001.jpg 1\r\ntrain_00002_aligned.jpg 7\r\n\r\n")
    listing = READERS["rafdb"](tmp_path, "train", DataSettings())
    assert [listing.class_names[n] for n in listing.labels] == ["surprise", "neutral"]


def test_aligned_faces_of_rafdb_go_before_original_pictures(tmp_path):
    root = FAKES["rafdb"](tmp_path)
    for n in range(14):
        picture(root / f"basic/Image/original/train_{n:05d}.jpg")
    assert all("aligned" in path.name for path in opened(root).train.pictures)
    for path in (root / "basic/Image/aligned").glob("train*"):
        path.unlink()
    assert all(path.parent.name == "original" for path in opened(root).train.pictures)


def test_lists_and_folders_of_kaggles_rafdb_must_agree(tmp_path):
    root = FAKES["rafdb-kaggle"](tmp_path)
    lines = (root / "train_labels.csv").read_text().splitlines()
    lines[1] = lines[1].replace(",1", ",2")
    (root / "train_labels.csv").write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=r"line 2: 'train_00000_aligned.jpg' is in folder 1, its la"
    ):
        opened(root)
    (root / "train_labels.csv").unlink()
    assert len(opened(root).train) + len(opened(root).validation) == 14


def test_seven_numbered_folders_are_rafdbs(tmp_path):
    imagefolder(tmp_path, [str(number) for number in range(1, 8)])
    source = opened(tmp_path)
    assert source.layout == "imagefolder"
    assert source.class_names == SEVEN
    assert "1 surprise, 2 fear" in source.train.notes[0]
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert SEVEN[label] == RAFDB_ORDER[int(path.parent.name) - 1]


@pytest.mark.parametrize("maker", [imagefolder, csv_splits])
def test_other_classes_keep_their_names_in_the_order_of_the_label_map(maker, tmp_path):
    maker(tmp_path, ["Zeal", "awe", "doubt"])
    names = opened(tmp_path).class_names
    assert names == (("Zeal", "awe", "doubt"))
    label_map(tmp_path, {"doubt": 0, "Zeal": 1, "awe": 2})
    assert opened(tmp_path).class_names == ("doubt", "Zeal", "awe")
    label_map(tmp_path, {"0": "awe", "1": "doubt", "2": "Zeal"})
    source = opened(tmp_path)
    assert source.class_names == ("awe", "doubt", "Zeal")
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert source.class_names[label] == ("Zeal", "awe", "doubt")[level(path) // 10]


def test_a_label_map_names_numbered_classes(tmp_path):
    imagefolder(tmp_path, ["0", "1", "2"])
    assert "label_map.json" in opened(tmp_path).train.notes[0]
    label_map(tmp_path, ["sad", "happy", "angry"])
    source = opened(tmp_path)
    assert source.class_names == ("happiness", "sadness", "anger")
    for label, path in zip(source.train.labels, source.train.pictures, strict=True):
        assert source.class_names[label] == ("sadness", "happiness", "anger")[level(path) // 10]


def test_two_words_for_one_emotion_stay_two_classes(tmp_path):
    imagefolder(tmp_path, ["calm", "neutral", "happy"])  # as RAVDESS has
    assert opened(tmp_path).class_names == ("calm", "happy", "neutral")


def test_one_csv_may_have_a_split_column_and_other_roots(tmp_path):
    for n in range(6):
        picture(tmp_path / f"elsewhere/{n}.png", n)
    words = ["train", "train", "train", "valid", "test", "test"]
    rows = [[f"{n}.png", "happy" if n % 2 else "sad", word] for n, word in enumerate(words)]
    table(tmp_path / "lists/all.csv", [["File", "Expression", "Split"], *rows])
    source = opened(tmp_path / "lists", roots=(str(tmp_path / "elsewhere"),))
    assert [len(x) for x in (source.train, source.validation, source.test())] == [3, 1, 2]
    assert source.train.ids == ("0.png", "1.png", "2.png")


def test_windows_paths_and_semicolons_are_read(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "faces" / name)
    (tmp_path / "train.csv").write_text("path;label\r\nfaces\\a.png;happy\r\nfaces\\b.png;sad\r\n")
    listing = READERS["csv"](tmp_path, "train", DataSettings())
    assert [path.name for path in listing.pictures] == ["a.png", "b.png"]


def test_a_file_in_two_splits_is_refused(tmp_path):
    csv_splits(tmp_path)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "val.csv").write_text("\n".join(lines[:3]))
    with pytest.raises(DataError, match=r"2 files of val are in train too .* list each file once"):
        opened(tmp_path)


def test_toy_needs_no_folder():
    source = open_data(DataSettings(toy_faces=40, img_size=16))
    assert source.layout == "toy"
    assert len(source.train) == 40


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"layout": "fer-plus"}, WordsError, "did you mean ferplus?"),
        ({"data": "hf:someone"}, WordsError, "is named hf:OWNER/NAME"),
        ({"data": "/no/such/place"}, DataError, "no such path: /no/such/place; correct the path"),
    ],
)
def test_wrong_words_get_the_way_out(settings, error, words):
    with pytest.raises(error) as caught:
        open_data(DataSettings(**settings))
    assert words in str(caught.value)


def test_a_mistyped_folder_is_suggested(tmp_path):
    (tmp_path / "raf-db").mkdir()
    with pytest.raises(DataError, match=r"did you mean .*raf-db\?"):
        opened(tmp_path / "rafdb")


def test_an_unknown_layout_says_what_was_looked_for(tmp_path):
    picture(tmp_path / "stuff/a.png")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    for layout in LAYOUTS.values():
        assert layout.marks in str(caught.value)
    assert "stuff" in str(caught.value)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_the_share_of_validation_is_a_share(fraction, tmp_path):
    imagefolder(tmp_path)
    with pytest.raises(WordsError, match="between 0 and 1"):
        opened(tmp_path, validation_fraction=fraction)
