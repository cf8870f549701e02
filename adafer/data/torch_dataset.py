"""RAF-DB as a plain torch data set, for training loops of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings


class RafDBDataset(Dataset[tuple[Any, int]]):
    """RAF-DB, in any of its layouts, as pairs of face and label.

    A face is uint8 RGB (S, S, 3), or what `transform` makes of it; labels follow `class_names`, in
    the project's order. `split` is "train", "val" (carved from train, seeded) or "test".

    Raises:
        DataError: no RAF-DB there, or files that cannot be read.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        size: int = 100,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        source = open_data(DataSettings(data=str(root)))
        listing = {"train": lambda: source.train, "val": lambda: source.validation}.get(
            split, source.test
        )()
        self._faces = FaceDataset(listing, Preprocessing(size=size, grey=False))
        self.class_names = listing.class_names
        self.labels = self._faces.listing.labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        face = self._faces.faces([index])[0]
        return (face if self.transform is None else self.transform(face)), int(self.labels[index])
