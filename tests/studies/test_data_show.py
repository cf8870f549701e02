"""`adafer data show`: the sheet holds the very pixels that training sees."""

from dataclasses import replace

import fakes
import numpy as np
import pytest
from PIL import Image

from adafer.commands.data_show import data_show
from adafer.data import open_data
from adafer.data.augment import Augmentation
from adafer.data.dataset import FaceDataset
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing
from adafer.report.sheet import GAP, LINE, POINT, Row, draw_sheet
from adafer.settings.data import DataSettings
from adafer.studies.data_show import show_data

TOY = DataSettings(data="toy", toy_faces=40, img_size=96)


def cells(path, rows, columns, side):
    """The faces of a sheet, (rows, columns, side, side, 3)."""
    sheet = np.asarray(Image.open(path))
    left = sheet.shape[1] - columns * (side + GAP)
    top = GAP + LINE
    return np.stack(
        [
            [
                sheet[
                    top + r * (side + GAP) : top + r * (side + GAP) + side,
                    left + c * (side + GAP) : left + c * (side + GAP) + side,
                ]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


@pytest.mark.parametrize("level", ["none", "light", "strong"])
def test_the_sheet_shows_the_pixels_that_training_sees(level, tmp_path):
    settings = DataSettings(data="toy", toy_faces=40, img_size=96, augment=level)
    shown = show_data(settings, count=4, draws=3, seed=7, output=tmp_path / "sheet.png")
    dataset = FaceDataset(open_data(settings).train, Preprocessing(size=96, grey=True))
    augmentation = Augmentation(level, 7, grey=True)
    drawn = cells(shown.path, 4, 4, 96)
    for row, name in enumerate(shown.ids):
        index = dataset.listing.ids.index(name)
        face = dataset.pixels[index]
        assert (drawn[row, 0] == face).all()
        for epoch in (1, 2, 3):
            assert (drawn[row, epoch] == augmentation(face, epoch, index)).all()


def test_the_same_seed_gives_the_same_file_and_another_one_other_faces(tmp_path):
    sheets = [show_data(TOY, seed=s, output=tmp_path / f"{n}.png") for n, s in enumerate((0, 0, 1))]
    first, again, other = sheets
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.ids != other.ids


def test_more_faces_than_there_are_shows_all(tmp_path):
    shown = show_data(TOY, split="test", count=50, draws=1, output=tmp_path / "sheet.png")
    assert len(shown.ids) == 10


def test_landmarks_are_drawn_where_the_data_has_them(tmp_path):
    points = np.array([[0, 0], [11.4, 5], [np.nan, 3], [40, 3]], np.float32)
    face = np.full((12, 12, 1), 50, np.uint8)
    for given, marked in ((points, 2), (None, 0)):
        row = Row(title="calm", faces=(face,), points=(given,))
        (tmp_path / "sheet.png").write_bytes(draw_sheet([row], ["as it is"], side=72))
        cell = cells(tmp_path / "sheet.png", 1, 1, 72)[0, 0]
        found = (cell == POINT).all(-1)
        # The middle of pixel 0 of 12 lies at 3 of 72; the unknown and the outer point are left out.
        assert found[3, 3] == found[33, 70] == (marked > 0)
        assert found.sum() <= 25 * marked


def test_landmarks_of_a_data_set_move_with_its_faces(tmp_path):
    settings = DataSettings(data=str(fakes.affectnet(tmp_path / "faces")), augment="light")
    shown = show_data(settings, count=3, draws=2, output=tmp_path / "sheet.png")
    drawn = cells(shown.path, 3, 3, 72)
    assert shown.landmarks == 68
    marked = (drawn == POINT).all(-1)
    assert marked.any((2, 3)).all()
    assert (marked[:, 0] != marked[:, 1]).any()


def test_nothing_is_written_into_the_data(tmp_path):
    root = fakes.imagefolder(tmp_path / "faces")
    with pytest.raises(WordsError, match="inside the data"):
        show_data(DataSettings(data=str(root)), output=root / "train/sheet.png")
    assert not list(root.rglob("sheet.png"))


def test_colour_is_kept_where_asked(tmp_path):
    settings = DataSettings(data="toy", toy_faces=40, img_size=96, grey=False, augment="none")
    shown = show_data(settings, count=2, draws=1, output=tmp_path / "sheet.png")
    drawn = cells(shown.path, 2, 2, 96)
    assert (drawn != drawn[..., :1]).any()
    assert (drawn[:, 0] == drawn[:, 1]).all()


def test_the_command_prints_the_path_and_nothing_else(tmp_path, capsys, monkeypatch):
    root = fakes.imagefolder(tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    assert data_show([str(root), "--count", "2", "--draws", "1", "--augment", "none"]) == 0
    assert capsys.readouterr().out.strip() == "data_show/faces-train.png"
    with Image.open("data_show/faces-train.png") as sheet:
        assert sheet.format == "PNG"


def test_unreadable_pictures_are_an_error_until_they_are_allowed(tmp_path):
    root = fakes.imagefolder(tmp_path / "faces")
    broken = next((root / "train").rglob("*.png"))
    broken.write_bytes(b"")
    out = tmp_path / "sheet.png"
    settings = DataSettings(data=str(root))
    with pytest.raises(DataError, match="empty file"):
        show_data(settings, count=200, draws=1, output=out)
    assert not out.exists()
    shown = show_data(replace(settings, max_bad=0.5), count=200, draws=1, output=out)
    assert len(shown.ids) == len(open_data(settings).train) - 1


@pytest.mark.parametrize(
    "words",
    [
        ["--count", "0"],
        ["--count", "x"],
        ["--draws", "51"],
        ["--seed", "-1"],
        ["--augment", "wild"],
        ["--img-size", "4"],
    ],
)
def test_values_that_cannot_be_are_wrong_words(words, tmp_path):
    with pytest.raises(WordsError):
        data_show(["toy", "--output", str(tmp_path / "sheet.png"), *words])
