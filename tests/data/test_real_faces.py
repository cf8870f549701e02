"""The published counts of FER+, on the real votes and faces beside the checkout."""

import csv
import functools
import importlib.util

import numpy as np
import pytest
from fakes import table

from adafer import image
from adafer.data import open_data
from adafer.data.fer_plus import FOLDERS, read
from adafer.settings.data import DataSettings

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tree(tmp_path_factory, real_faces):
    """FER+'s tree with the real votes; the image files are empty, as listing opens none."""
    root = tmp_path_factory.mktemp("ferplus")
    for split, folder in FOLDERS.items():
        with (real_faces / f"{split}.csv").open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        votes = [[name, "(0, 0, 48, 48)", *counts] for name, *counts in rows]
        table(root / folder / "label.csv", votes)
        for name, *_ in rows:
            (root / folder / name).touch()
    return root


@pytest.mark.parametrize(("split", "count"), [("train", 25045), ("val", 3191), ("test", 3137)])
def test_majority_gives_the_published_number_of_faces(split, count, tree):
    listing = read(tree, split, DataSettings(train_labels="majority"))
    assert len(listing) == count
    rows = {"train": 28558, "val": 3579, "test": 3573}[split]
    assert count + sum(left for _, left in listing.left_out) == rows
    # The share of the winner is over the emotions only, so more than half of all votes stays so.
    assert (listing.votes[np.arange(count), listing.labels] > 0.5).all()


def test_training_may_use_every_face_with_votes(tree):
    listing = read(tree, "train", DataSettings(train_labels="votes"))
    assert len(listing) == 28555
    assert listing.left_out == (("no vote for an emotion", 3),)
    np.testing.assert_allclose(listing.votes.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(listing.votes.argmax(1), listing.labels)
    strict = read(tree, "train", DataSettings(train_labels="majority"))
    label = dict(zip(listing.ids, listing.labels.tolist(), strict=True))
    assert [label[name] for name in strict.ids] == strict.labels.tolist()


@pytest.fixture(scope="module")
def writer(real_faces):
    """The script that writes the real faces in users' layouts; each mosaic is decoded once."""
    spec = importlib.util.spec_from_file_location(
        "materialize", real_faces.parent / "materialize.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load = functools.cache(module.load)
    return module


@pytest.mark.parametrize("layout", ["ferplus", "fer-csv", "rafdb", "rafdb-kaggle", "imagefolder"])
def test_the_same_faces_have_the_same_labels_in_every_layout(layout, tmp_path, writer):
    root = tmp_path / "faces"
    root.mkdir()
    writer.WRITERS[{"fer-csv": "csv"}.get(layout, layout)](root, 300)
    source = open_data(DataSettings(data=str(root)))
    assert source.layout == layout
    classes = 8 if layout in ("ferplus", "fer-csv") else 7
    expected = {
        tuple(face[::12, ::12].ravel().tolist()): writer.EMOTIONS[label]
        for _, face, label in writer.labelled("test", 300, classes)
    }
    listing = source.test()
    assert len(listing) == len(expected)
    for label, picture in zip(listing.labels, listing.pictures, strict=True):
        if layout.startswith("rafdb"):  # scaled to 100 x 100 and compressed: only count
            continue
        face = picture if isinstance(picture, np.ndarray) else image.read(picture)[..., 0]
        assert expected[tuple(face[::12, ::12].ravel().tolist())] == listing.class_names[label]
    counts = list(expected.values())
    assert {n: c for n, c in listing.counts().items() if c} == {n: counts.count(n) for n in counts}
