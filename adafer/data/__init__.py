"""Data sets: a reader lists the faces of a split, and its layout on disk says which reader."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from adafer.data import fer2013, fer_plus, folder, raf_db, table, toy
from adafer.data.files import some, visible_folders
from adafer.data.source import DataSource, Reader
from adafer.errors import DataError, WordsError
from adafer.image import printable
from adafer.settings.data import DataSettings

__all__ = ["LAYOUTS", "READERS", "DataSource", "Layout", "Reader", "open_data", "recognise"]


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk: who reads it, how it is recognised, what is looked for."""

    read: Reader
    found: Callable[[Path], bool]
    marks: str


LAYOUTS = {
    "ferplus": Layout(fer_plus.read, fer_plus.found, "FER2013Train/label.csv"),
    "rafdb-kaggle": Layout(raf_db.read_kaggle, raf_db.found_kaggle, "DATASET/train/1 to 7"),
    "rafdb": Layout(raf_db.read, raf_db.found, "EmoLabel/list_patition_label.txt"),
    "fer-csv": Layout(fer2013.read, fer2013.found, "a CSV with the columns pixels and emotion"),
    "csv": Layout(table.read, table.found, "a CSV with a path and a label column"),
    "imagefolder": Layout(folder.read, folder.found, "train/CLASS/"),
}
"""Layouts on disk, in the order in which they are tried."""

READERS: dict[str, Reader] = {
    "toy": toy.read,
    **{name: layout.read for name, layout in LAYOUTS.items()},
}
"""Reader by the name of its layout."""


def recognise(root: Path) -> str:
    """Name the layout below a folder; raises DataError that says what was looked for."""
    return _located(root)[0]


def open_data(settings: DataSettings) -> DataSource:
    """Open the data set that the settings name; raises DataError or WordsError."""
    if settings.layout not in ("auto", *READERS):
        near = get_close_matches(settings.layout, READERS, 1, 0.0)[0]
        raise WordsError(f"no layout {settings.layout!r}; did you mean {near}?")
    if settings.data == "toy" or settings.layout == "toy":
        return DataSource("toy", toy.read, Path(), settings)
    if settings.data.startswith("hf:"):
        raise WordsError("data sets of the hub cannot be read yet; fetch it and name its folder")
    root = Path(settings.data).expanduser()
    layout, root = _located(root, settings.layout)
    return DataSource(layout, READERS[layout], root, settings)


def _located(root: Path, layout: str = "auto") -> tuple[str, Path]:
    """Layout, and the folder that holds it: the root, its `data`, or its only sub-folder."""
    if not root.exists():
        near = get_close_matches(root.name, [f.name for f in visible_folders(root.parent)], 1)
        hint = f"did you mean {root.parent / near[0]}?" if near else "correct the path"
        raise DataError(f"no such path: {printable(str(root))}; {hint}")
    wanted = LAYOUTS if layout == "auto" else {layout: LAYOUTS[layout]}
    unreadable: list[DataError] = []
    for place in _places(root):
        for name, candidate in wanted.items():
            try:
                if candidate.found(place):
                    return name, place
            except DataError as error:  # a table of something else may lie beside the faces
                unreadable.append(error)
    if layout != "auto":
        return layout, root  # the reader says what it misses
    if unreadable:
        raise unreadable[0]
    looked_for = ", ".join(f"{entry.marks} ({name})" for name, entry in LAYOUTS.items())
    here = [path.name for path in visible_folders(root)]
    holds = f"folders {some(here, len(here), 5)}" if here else "no folders"
    raise DataError(
        f"{printable(str(root))} ({holds}) has none of the known layouts: {looked_for}; arrange it "
        "so, or choose with --layout"
    )


def _places(root: Path) -> list[Path]:
    places = [root]
    if (root / "data").is_dir():
        places.append(root / "data")
    inside = visible_folders(root)
    while len(inside) == 1 and len(places) < 5:  # archives often unpack into one folder
        places.append(inside[0])
        inside = visible_folders(inside[0])
    return places
