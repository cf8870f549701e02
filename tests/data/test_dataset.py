from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.errors import DataError, MachineError
from adafer.image import Preprocessing, read

COLOUR = Preprocessing(size=16, grey=False)
GREY = Preprocessing(size=16, grey=True)


def written(folder: Path, count: int, side: int = 20) -> Listing:
    generator = np.random.default_rng(0)
    paths = []
    for index in range(count):
        path = folder / f"{index:03d}.png"
        Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)).save(path)
        paths.append(path)
    return Listing(
        layout="imagefolder",
        split="train",
        class_names=("neutral", "anger"),
        ids=tuple(path.name for path in paths),
        labels=np.arange(count) % 2,
        pictures=tuple(paths),
    )


def test_faces_are_what_the_decoder_and_the_preprocessing_make_of_each_file(tmp_path: Path):
    listing = written(tmp_path, 9)
    for preprocessing in (COLOUR, GREY):
        dataset = FaceDataset(listing, preprocessing)
        for index, path in enumerate(listing.pictures):
            expected = preprocessing.resized(read(path))
            assert np.array_equal(dataset.faces([index])[0], expected)


def test_grey_faces_have_three_equal_channels_and_keep_one(tmp_path: Path):
    dataset = FaceDataset(written(tmp_path, 3), GREY)
    faces = dataset.faces([2, 0])
    assert faces.shape == (2, 16, 16, 3)
    assert (faces == faces[..., :1]).all()
    assert dataset.pixels.shape == (3, 16, 16, 1)


def test_faces_come_in_the_order_asked_for_and_may_repeat(tmp_path: Path):
    dataset = FaceDataset(written(tmp_path, 4), COLOUR)
    faces = dataset.faces([3, 1, 1])
    assert np.array_equal(faces, dataset.pixels[np.array([3, 1, 1])])
    faces[:] = 0
    assert dataset.pixels[3].any()


def test_pixels_of_the_reader_may_be_grey_or_colour():
    grey = np.full((16, 16), 77, np.uint8)
    listing = Listing(
        layout="x",
        split="train",
        class_names=("a", "b"),
        ids=("0", "1"),
        labels=np.array([0, 1]),
        pictures=(grey, np.stack([grey] * 3, -1)),
    )
    dataset = FaceDataset(listing, GREY)
    assert (np.asarray(dataset.pixels) == 77).all()


def test_a_file_that_changes_on_disk_later_changes_nothing(tmp_path: Path):
    listing = written(tmp_path, 2)
    dataset = FaceDataset(listing, COLOUR)
    before = dataset.faces([0, 1])
    for path in listing.pictures:
        path.unlink()
    assert np.array_equal(dataset.faces([0, 1]), before)


def broken(folder: Path, count: int, places: tuple[int, ...]) -> Listing:
    listing = written(folder, count)
    for place in places:
        listing.pictures[place].write_bytes(b"no picture")
    return listing


def test_one_unreadable_file_stops_before_training_and_says_how_to_go_on(tmp_path: Path):
    listing = broken(tmp_path, 8, (5,))
    with pytest.raises(DataError) as caught:
        FaceDataset(listing, COLOUR)
    message = str(caught.value)
    assert message.startswith("1 of 8 image files cannot be read (")
    assert "005.png: not an image" in message
    assert message.endswith("or leave them out with --max-bad 0.125")
    assert "\n" not in message


def test_all_unreadable_files_are_counted_and_the_first_three_named(tmp_path: Path):
    listing = broken(tmp_path, 8, (1, 2, 4, 6, 7))
    with pytest.raises(DataError, match="5 of 8 image files") as caught:
        FaceDataset(listing, COLOUR, max_bad=0.6)
    message = str(caught.value)
    assert "and 2 more" in message
    assert [name in message for name in ("001.png", "002.png", "004.png")] == [True] * 3
    assert "006.png" not in message


def test_the_share_that_the_message_offers_is_enough(tmp_path: Path):
    listing = broken(tmp_path, 7, (2, 3))
    with pytest.raises(DataError) as caught:
        FaceDataset(listing, COLOUR)
    share = float(str(caught.value).rpartition(" ")[2])
    assert len(FaceDataset(listing, COLOUR, max_bad=share)) == 5


def test_tolerated_files_leave_the_index_and_the_others_stay_in_order(tmp_path: Path):
    listing = broken(tmp_path, 8, (0, 5))
    whole = [1, 2, 3, 4, 6, 7]
    dataset = FaceDataset(listing, COLOUR, max_bad=0.25)
    assert dataset.listing.ids == tuple(f"{index:03d}.png" for index in whole)
    assert dataset.listing.labels.tolist() == [index % 2 for index in whole]
    assert [name for name, _ in dataset.bad] == ["000.png", "005.png"]
    assert dataset.listing.left_out == (("unreadable image file", 2),)
    assert "2 of 8 image files of train cannot be read" in dataset.listing.notes[-1]
    for row, index in enumerate(whole):
        expected = COLOUR.resized(read(listing.pictures[index]))
        assert np.array_equal(dataset.faces([row])[0], expected)


def test_a_missing_file_and_a_folder_count_as_unreadable(tmp_path: Path):
    listing = written(tmp_path, 4)
    listing.pictures[1].unlink()
    listing.pictures[2].unlink()
    listing.pictures[2].mkdir()
    dataset = FaceDataset(listing, COLOUR, max_bad=0.5)
    assert [name for name, _ in dataset.bad] == ["001.png", "002.png"]


def test_files_that_are_all_unreadable_are_never_tolerated(tmp_path: Path):
    listing = broken(tmp_path, 2, (0, 1))
    with pytest.raises(DataError, match=r"repair or remove them$"):
        FaceDataset(listing, COLOUR, max_bad=1.0)


def test_an_empty_split_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="empty"):
        FaceDataset(written(tmp_path, 2).take([]), COLOUR)


def test_faces_that_memory_cannot_hold_end_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    listing = written(tmp_path, 2)
    monkeypatch.setattr("adafer.data.dataset.np.zeros", full)
    with pytest.raises(MachineError, match="--img-size"):
        FaceDataset(listing, COLOUR)
