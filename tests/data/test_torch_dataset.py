"""RafDBDataset against the reader that it stands on."""

from pathlib import Path

import fakes
import numpy as np
import pytest
from torch.utils.data import DataLoader

from adafer import RafDBDataset
from adafer.errors import DataError


def test_labels_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    root = fakes.rafdb(tmp_path)
    faces = RafDBDataset(root, "test", transform=lambda face: face.transpose(2, 0, 1).copy())
    batch, labels = next(iter(DataLoader(faces, batch_size=len(faces))))
    assert batch.shape == (len(faces), 3, 100, 100)
    assert labels.tolist() == list(faces.labels)
    assert np.array_equal(batch[0].numpy(), faces[0][0])
    assert faces.class_names[0] == "neutral"


def test_a_folder_without_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        RafDBDataset(tmp_path / "nowhere")
