"""Folds: each face held out once, copies and groups together, classes even, test left alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from PIL import Image

from adafer.data import DataSource, open_data
from adafer.data.fer_plus import FOLDERS
from adafer.data.folds import joined, one_fold
from adafer.data.listing import Listing, Picture
from adafer.data.split import by_folds
from adafer.errors import DataError, WordsError
from adafer.settings.data import DataSettings


def folds_of(number: int, **settings: object) -> list[DataSource]:
    return [
        open_data(DataSettings(folds=number, fold=fold, **settings))  # type: ignore[arg-type]
        for fold in range(1, number + 1)
    ]


def noise(number: int, side: int = 12) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)


def listing(
    pictures: list[Picture], labels: list[int], groups: tuple[str, ...] | None = None
) -> Listing:
    return Listing(
        layout="made",
        split="train",
        class_names=("a", "b"),
        ids=tuple(f"face{place:03d}" for place in range(len(labels))),
        labels=np.array(labels, np.int64),
        pictures=tuple(pictures),
        groups=groups,
    )


def placed(pool: Listing, folds: int, seed: int = 0) -> dict[str, int]:
    found = one_fold([pool], DataSettings(folds=folds, fold=1, split_seed=seed))
    return dict(zip(found.pool.ids, found.places.tolist(), strict=True))


# ── what a fold is ────────────────────────────────────────────────────────────────────────────────


def test_every_face_is_held_out_once_and_never_trained_on_then():
    sources = folds_of(4, toy_faces=80)
    held = Counter(name for source in sources for name in source.validation.ids)
    assert set(held.values()) == {1}
    for source in sources:
        assert not set(source.train.ids) & set(source.validation.ids)
        assert set(source.train.ids) | set(source.validation.ids) == set(held)


def test_the_pool_is_train_and_validation_and_test_stays_as_it_was():
    whole, fold = open_data(DataSettings(toy_faces=80)), folds_of(4, toy_faces=80)[0]
    pictures = {p.tobytes() for p in (*whole.train.pictures, *whole.validation.pictures)}
    assert {p.tobytes() for p in (*fold.train.pictures, *fold.validation.pictures)} == pictures
    assert fold.test().ids == whole.test().ids
    assert len(fold.train) + len(fold.validation) == len(whole.train) + len(whole.validation)


def test_a_class_is_as_even_over_the_folds_as_whole_faces_allow():
    tables = [list(source.validation.counts().values()) for source in folds_of(4, toy_faces=80)]
    assert (np.ptp(np.array(tables), axis=0) <= 1).all()


def test_without_copies_the_folds_are_those_of_stratified_k_fold():
    pool = listing([noise(n) for n in range(40)], [n % 2 for n in range(40)])
    expected = by_folds(pool, 5, "stratified", 3) + 1
    assert list(placed(pool, 5, seed=3).values()) == expected.tolist()


def test_the_folds_depend_on_the_seed_and_not_on_the_model_or_the_order(tmp_path: Path):
    for number in range(24):
        place = tmp_path / "train" / ("happy", "sad")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(place)
    data = str(tmp_path)
    one = folds_of(4, data=data, img_size=24)[1]
    other = folds_of(4, data=data, img_size=64, grey=False, augment="none", batch_size=7)[1]
    assert one.validation.ids == other.validation.ids
    pool = listing([noise(n) for n in range(40)], [n % 2 for n in range(40)])
    turned = pool.take(np.random.default_rng(0).permutation(40))
    assert placed(pool, 4) == placed(turned, 4)
    assert placed(pool, 4, seed=1) != placed(pool, 4)


def test_a_fold_says_what_it_is_and_counts_as_carved():
    source = folds_of(4, toy_faces=80)[2]
    assert source.validation.carved
    assert source.validation.notes == ("fold 3 of 4: 25 of 100 faces are held out, drawn by class",)
    assert source.validation.split == "val"
    assert source.train.split == "train"


def test_splits_with_the_same_names_are_told_apart(tmp_path: Path):
    for split in ("train", "val"):
        for number in range(8):
            place = tmp_path / split / ("happy", "sad")[number % 2] / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(number + 100 * (split == "val"))).save(place)
    parts = [open_data(DataSettings(data=str(tmp_path)))]
    two = [replace(x, ids=tuple(str(n) for n in range(8))) for x in (parts[0].train,) * 2]
    assert len(set(joined([two[0], replace(two[1], split="val")]).ids)) == 16
    held = [name for source in folds_of(2, data=str(tmp_path)) for name in source.validation.ids]
    assert len(held) == len(set(held)) == 16


# ── what stays together ───────────────────────────────────────────────────────────────────────────


def test_copies_mirrored_ones_too_share_a_fold():
    first = [noise(n) for n in range(20)]
    pictures = [*first, *first, *(p[:, ::-1] for p in first)]
    found = placed(listing(pictures, [n % 2 for n in range(20)] * 3), 5)
    places = np.array(list(found.values())).reshape(3, 20)
    assert (places == places[0]).all()
    assert sorted(Counter(places[0].tolist())) == [1, 2, 3, 4, 5]


def test_a_copy_in_another_file_format_is_a_copy(tmp_path: Path):
    pictures: list[Picture] = []
    for number in range(12):
        face = Image.fromarray(noise(number, 48))
        for ending in ("png", "bmp"):
            face.save(tmp_path / f"{number}.{ending}")
            pictures.append(tmp_path / f"{number}.{ending}")
    places = list(placed(listing(pictures, [n // 2 % 2 for n in range(24)]), 3).values())
    assert places[::2] == places[1::2]


def test_faces_cut_from_one_picture_share_a_fold(tmp_path: Path):
    paths: list[Picture] = []
    for number in range(8):
        Image.fromarray(noise(number, 24)).save(tmp_path / f"{number}.png")
        paths += [tmp_path / f"{number}.png"] * 2
    pool = listing(paths, [0, 1] * 8)
    boxes = np.array([[0, 0, 12, 12], [12, 12, 24, 24]] * 8, np.int64)
    places = list(placed(replace(pool, boxes=boxes), 4).values())
    assert places[::2] == places[1::2]


def test_groups_share_a_fold_also_by_way_of_a_copy():
    pictures = [noise(n) for n in range(40)]
    pictures[5] = pictures[9]  # persons 1 and 2 have one picture in common
    groups = tuple(f"person{n // 4}" for n in range(40))
    found = list(placed(listing(pictures, [n % 2 for n in range(40)], groups), 5).values())
    assert all(len(set(found[start : start + 4])) == 1 for start in range(0, 40, 4))
    assert found[4] == found[8]


def test_a_column_names_the_groups(tmp_path: Path):
    rows: list[list[object]] = [["path", "label", "who"]]
    for number in range(24):
        Image.fromarray(noise(number)).save(tmp_path / f"{number}.png")
        rows.append([f"{number}.png", "ab"[number % 2], f"p{number // 4}"])
    data = str(fakes.table(tmp_path / "train.csv", rows).parent)
    for source in folds_of(3, data=data, group_column="who"):
        assert not set(source.train.groups or ()) & set(source.validation.groups or ())
        assert "no group in two folds" in source.validation.notes[0]
    with pytest.raises(DataError, match="no column with the group"):
        folds_of(3, data=data, group_column="whom")


# ── FER+: two rules ───────────────────────────────────────────────────────────────────────────────


def fer_plus(root: Path) -> Path:
    """Two emotions; every third face of train has no majority."""
    number = 0
    for split, count in (("train", 24), ("val", 8), ("test", 4)):
        folder, rows = root / FOLDERS[split], []
        folder.mkdir(parents=True)
        for place in range(count):
            number += 1
            Image.fromarray(noise(number)).save(folder / f"{number}.png")
            clear = split != "train" or place % 3
            votes = [8, 2] if clear else [5, 5]
            votes = votes if place % 2 else votes[::-1]
            rows.append([f"{number}.png", "(0, 0, 48, 48)", *votes, *[0] * 8])
        fakes.table(folder / "label.csv", rows)
    return root


def test_ferplus_is_measured_on_clear_faces_and_trains_on_all_others(tmp_path: Path):
    data = str(fer_plus(tmp_path))
    strict = open_data(DataSettings(data=data, train_labels="majority"))
    clear = {*strict.train.ids, *strict.validation.ids}
    sources = folds_of(4, data=data)
    held = [name for source in sources for name in source.validation.ids]
    assert sorted(held) == sorted(clear)
    for source in sources:
        unclear = set(source.train.ids) - clear
        assert 0 < len(unclear) < 8  # those of the held-out fold are not trained on
        assert "neither trained on nor measured" in source.validation.notes[0]
    assert sum(len(set(source.train.ids) - clear) for source in sources) == 3 * 8
    every = folds_of(4, data=data, evaluation_faces="votes")
    assert sum(len(source.validation) for source in every) == 32


# ── what cannot be dealt ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fold": 2}, "--folds"),
        ({"folds": 1, "fold": 1}, "give 2 or more"),
        ({"folds": -2, "fold": 1}, "give 2 or more"),
        ({"folds": 5}, "1 to 5"),
        ({"folds": 5, "fold": 6}, "1 to 5"),
        ({"folds": 5, "fold": -1}, "1 to 5"),
    ],
)
def test_a_fold_without_folds_is_refused(settings: dict[str, int], sentence: str):
    with pytest.raises(WordsError, match=sentence):
        open_data(DataSettings(toy_faces=80, **settings))  # type: ignore[arg-type]


def test_a_class_with_fewer_faces_than_folds_is_named():
    pool = listing([noise(n) for n in range(20)], [1] * 3 + [0] * 17)
    with pytest.raises(DataError, match=r"a class has fewer .* 5 folds: b \(3\); give --folds 3"):
        placed(pool, 5)
    assert set(placed(pool, 3).values()) == {1, 2, 3}
    lonely = listing([noise(n) for n in range(20)], [1] + [0] * 19)
    with pytest.raises(DataError, match=r"b \(1\); give more faces"):
        placed(lonely, 2)


def test_a_class_that_nobody_has_is_no_hindrance():
    pool = replace(listing([noise(n) for n in range(8)], [0, 1] * 4), class_names=("a", "b", "c"))
    assert set(placed(pool, 4).values()) == {1, 2, 3, 4}


def test_more_folds_than_groups_are_refused():
    pictures, labels = [noise(n) for n in range(30)], [0, 1] * 15
    with pytest.raises(WordsError, match="5 folds of 3 groups; give 2 to 3 folds"):
        placed(listing(pictures, labels, tuple(f"p{n // 10}" for n in range(30))), 5)
    with pytest.raises(DataError, match="all faces belong to one group"):
        placed(listing(pictures, labels, ("one",) * 30), 2)


def test_a_fold_of_one_class_is_refused():
    groups = tuple("ab"[n % 2] for n in range(12))
    with pytest.raises(DataError, match=r"fold 1 of 2 would hold out faces of one class only"):
        placed(listing([noise(n) for n in range(12)], [0, 1] * 6, groups), 2)
