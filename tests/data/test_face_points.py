"""Landmarks from a file, from a detector, or none: what reaches the listing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import imagefolder

from adafer import cli
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.data.face_points import SOURCES, from_file, landmarks_csv, source_of, write_landmarks
from adafer.data.landmarks import FIVE
from adafer.errors import DataError, WordsError
from adafer.faces import FaceDetector, FoundFace
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

POINTS = np.array([(3, 4), (8, 4), (5.5, 6), (4, 9), (7, 9)], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> DataSettings:
    """A folder of pictures of 12 by 12 pixels with train and test."""
    imagefolder(tmp_path / "faces")
    return DataSettings(data=str(tmp_path / "faces"), validation_fraction=0.4)


def with_points(settings: DataSettings, path: Path) -> DataSettings:
    """Write landmarks that differ from face to face, the last of each split unknown."""
    source, listings = open_data(settings), {}
    for split, listing in {"train": source.train, "val": source.validation}.items():
        shift = np.arange(len(listing), dtype=np.float32)[:, None, None] / 100
        points = POINTS + shift
        points[-1] = np.nan
        listings[split] = replace(listing, landmarks=points, mirror_points=FIVE.mirror)
    listings["train"] = replace(  # what was carved off is looked for under train
        listings["train"],
        ids=(*listings["train"].ids, *listings["val"].ids),
        landmarks=np.concatenate([listings["train"].landmarks, listings["val"].landmarks]),
        labels=np.concatenate([listings["train"].labels, listings["val"].labels]),
        pictures=(*listings["train"].pictures, *listings["val"].pictures),
    )
    write_landmarks(path, {"train": listings["train"]})
    return replace(settings, landmarks=str(path))


def test_what_was_written_is_read_back(folder: DataSettings, tmp_path: Path) -> None:
    source = open_data(with_points(folder, tmp_path / "points.csv"))
    for listing in (source.train, source.validation):
        assert listing.landmarks is not None
        assert listing.mirror_points == FIVE.mirror
        assert np.isnan(listing.landmarks[-1]).all()
        expected = POINTS + np.arange(len(listing) - 1)[:, None, None] / 100
        np.testing.assert_allclose(listing.landmarks[:-1], expected, atol=0.006)
        assert source_of(replace(folder, landmarks="points.csv"), listing) == "file"


def test_points_follow_the_face_to_the_size_that_the_model_sees(
    folder: DataSettings, tmp_path: Path
) -> None:
    source = open_data(with_points(folder, tmp_path / "points.csv"))
    faces = FaceDataset(source.train, Preprocessing(36, grey=True))
    assert faces.landmarks is not None
    np.testing.assert_allclose(faces.landmarks[0], (POINTS + 0.5) * 3 - 0.5, atol=1e-4)
    cut = Preprocessing(28, grey=True, crop=28 / 36)
    np.testing.assert_allclose(cut.points_in(POINTS, 12, 12), (POINTS + 0.5) * 3 - 4.5, atol=1e-4)
    np.testing.assert_allclose(
        FaceDataset(source.train, cut).points([0], 5)[0], cut.points_in(POINTS, 12, 12), atol=1e-4
    )


def test_no_landmarks_is_canonical_and_asking_for_the_datas_own_is_an_error(
    folder: DataSettings,
) -> None:
    train = open_data(replace(folder, landmarks="canonical")).train
    assert train.landmarks is None
    assert source_of(folder, train) == "canonical"
    with pytest.raises(DataError, match=r"train .* has no landmarks; .* --landmarks canonical"):
        open_data(replace(folder, landmarks="data"))
    with pytest.raises(WordsError, match="--landmarks detector needs --face-detector"):
        open_data(replace(folder, landmarks="detector"))
    with pytest.raises(DataError, match=r"no landmarks 'none\.csv': no such file"):
        open_data(replace(folder, landmarks="none.csv"))
    assert set(SOURCES) == {"auto", "data", "canonical", "detector"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: [*rows, rows[1]], r"line \d+: .* stands twice"),
        (lambda rows: [rows[0], rows[1].replace("3.00", "300", 1)], r"line 2: .* 300, 4 outside"),
        (lambda rows: [rows[0], rows[1].replace("3.00", "inf", 1)], "line 2: a coordinate is inf"),
        (lambda rows: [rows[0], rows[1].replace("3.00", "x", 1)], "line 2: a coordinate is no num"),
        (lambda rows: [rows[0], rows[1] + ",1,2"], "line 2: 14 fields for 12 columns"),
        (lambda rows: [rows[0].replace(",y4", "")], "9 columns of coordinates"),
        (lambda rows: [rows[0].replace("split", "part"), *rows[1:]], "no column with the split"),
        (lambda rows: [rows[0]], "has no row of split train for any of its"),
        (lambda rows: [], "empty file"),
    ],
)
def test_a_faulty_file_names_the_row(
    folder: DataSettings, tmp_path: Path, change, sentence: str
) -> None:
    path = tmp_path / "points.csv"
    settings = with_points(folder, path)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=sentence) as caught:
        open_data(settings)
    assert "points.csv" in str(caught.value)


def test_another_count_of_points_has_to_be_told_left_from_right(
    folder: DataSettings, tmp_path: Path
) -> None:
    train = open_data(folder).train
    some = replace(
        train, landmarks=np.zeros((len(train), 3, 2), np.float32), mirror_points=(0, 1, 2)
    )
    path = tmp_path / "three.csv"
    path.write_bytes(landmarks_csv({"train": some}))
    with pytest.raises(DataError, match="3 landmarks in an unknown order"):
        from_file(train, "train", path)


class Seen(FaceDetector):
    """A detector that finds its points in every picture brighter than black."""

    def __init__(self) -> None:
        pass

    def find(self, pixels: np.ndarray) -> list[FoundFace]:
        if not pixels.any():
            return []
        return [FoundFace(box=(0, 0, 9, 9), points=POINTS, score=0.9)]


def test_a_detectors_points_are_of_the_whole_picture(
    folder: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafer.data.face_points.open_detector", lambda path: Seen())
    listing = open_data(replace(folder, landmarks="detector", face_detector="y.onnx")).train
    assert listing.landmarks is not None
    assert source_of(replace(folder, landmarks="detector"), listing) == "detector"
    found = np.isfinite(listing.landmarks).all((1, 2))
    np.testing.assert_array_equal(listing.landmarks[found], np.tile(POINTS, (found.sum(), 1, 1)))
    assert any(note.startswith("landmarks of train: the detector") for note in listing.notes)


def test_a_picture_that_cannot_be_read_is_counted_and_left_to_the_share_that_may_be(
    folder: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafer.data.face_points.open_detector", lambda path: Seen())
    broken = next((Path(folder.data) / "train").rglob("*.png"))
    broken.write_bytes(b"no picture")
    source = open_data(replace(folder, landmarks="detector", face_detector="y.onnx"))
    listing = next(one for one in (source.train, source.validation) if broken in one.pictures)
    assert listing.landmarks is not None
    assert np.isnan(listing.landmarks[listing.pictures.index(broken)]).all()
    assert listing.notes[-1].endswith("; 1 cannot be read")
    with pytest.raises(DataError, match=broken.name):
        FaceDataset(listing, Preprocessing(size=12, grey=True))
    kept = FaceDataset(listing, Preprocessing(size=12, grey=True), max_bad=0.9)
    assert len(kept) == len(listing) - 1
    assert kept.landmarks is not None
    assert len(kept.landmarks) == len(kept)


def test_a_model_that_reads_none_refuses_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "tinyvgg", "--landmarks", "points.csv"]) == 2
    assert "tinyvgg reads no landmarks; leave --landmarks out" in capsys.readouterr().err


def test_no_detector_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no face detector '.*': no such file; give the ONNX"):
        FaceDetector(tmp_path / "none.onnx")
    (tmp_path / "other.onnx").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"other\.onnx' is no face detector"):
        FaceDetector(tmp_path / "other.onnx")
