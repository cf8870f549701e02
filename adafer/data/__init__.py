"""Data sets: a reader lists the faces of a split, and its layout on disk says which reader."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import wraps
from pathlib import Path

from adafer.data import (
    affectnet,
    affectnet_release,
    csv_pair,
    fer2013,
    fer_plus,
    fer_plus_csv,
    folder,
    hub,
    raf_db,
    table,
    toy,
    yolo,
)
from adafer.data.face_points import with_landmarks
from adafer.data.files import some, unreadable, visible_folders
from adafer.data.listing import Listing
from adafer.data.source import DataSource, Reader
from adafer.data.sources import Part, name_sources
from adafer.errors import DataError, WordsError
from adafer.image import printable
from adafer.kaggle import find_input, is_input
from adafer.objections import source_checks
from adafer.settings.data import DataSettings
from adafer.tokens import provide_token

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
    "affectnet": Layout(
        affectnet.read, affectnet.found, "Manually_Annotated_file_lists/training.csv"
    ),
    "affectnet-npy": Layout(
        affectnet_release.read_npy, affectnet_release.found_npy, "train_set/annotations"
    ),
    "affectnet-txt": Layout(
        affectnet_release.read_txt,
        affectnet_release.found_txt,
        "train_set/train_annotations_8class.txt",
    ),
    "yolo": Layout(yolo.read, yolo.found, "data.yaml with train/images and train/labels"),
    "ferplus-csv": Layout(fer_plus_csv.read, fer_plus_csv.found, "fer2013new.csv and fer2013.csv"),
    "fer-csv": Layout(fer2013.read, fer2013.found, "a CSV with the columns pixels and emotion"),
    "csv": Layout(table.read, table.found, "a CSV with a path and a label column"),
    "hub-images": Layout(
        hub.read_pictures, hub.found_pictures, "train/metadata.csv or .jsonl beside pictures"
    ),
    "imagefolder": Layout(folder.read, folder.found, "train/CLASS/"),
    "parquet": Layout(hub.read_parquet, hub.found_parquet, "train.parquet or train-*.parquet"),
    "arrow": Layout(hub.read_arrow, hub.found_arrow, "dataset_dict.json or train.arrow"),
}
"""Layouts on disk, in the order in which they are tried."""


def _refused(read: Reader) -> Reader:
    """A reader that says in one sentence which file or folder the system would not let it open."""

    @wraps(read)
    def reader(root: Path, split: str, settings: DataSettings) -> Listing:
        try:
            return read(root, split, settings)
        except OSError as error:
            raise unreadable(error, root) from None

    return reader


READERS: dict[str, Reader] = {
    "toy": toy.read,
    "hf": _refused(hub.read_hub),
    **{name: _refused(layout.read) for name, layout in LAYOUTS.items()},
}
"""Reader by the name of its layout."""


def recognise(root: Path) -> str:
    """Name the layout below a folder; raises DataError that says what was looked for."""
    try:
        return _located(root)[0]
    except OSError as error:
        raise unreadable(error, root) from None


def open_data(settings: DataSettings) -> DataSource:
    """Open the data set that the settings name; raises DataError or WordsError."""
    for holds, sentence in source_checks(settings):
        if not holds:
            raise WordsError(sentence)
    if settings.layout not in ("auto", *READERS):
        near = get_close_matches(settings.layout, READERS, 1, 0.0)[0]
        raise WordsError(f"no layout {settings.layout!r}; did you mean {near}?")
    notes: list[str] = []
    if settings.train_csv:
        root = Path(settings.train_csv).expanduser()
        layout, read = _pair(settings, root)
    else:
        layout, root = _found(settings, notes.append)
        read = READERS[layout]
    further = (lambda: _further(settings)) if settings.also or settings.synthetic else None
    source = DataSource(layout, _told(read, layout, notes), root, settings, further)
    classes = source.class_names
    if settings.num_classes not in (0, len(classes)):
        raise WordsError(
            f"--num-classes {settings.num_classes}, but {settings.source} has {len(classes)} "
            f"({some(classes, len(classes), 12)}); leave it out"
        )
    return source


def _pair(settings: DataSettings, place: Path) -> tuple[str, Reader]:
    try:
        layout, read = csv_pair.reader_of(settings)
    except OSError as error:
        raise unreadable(error, place) from None
    return layout, _refused(read)


def _told(read: Reader, layout: str, notes: Sequence[str]) -> Reader:
    """A reader that adds landmarks, and notes: where train is from, which flags mean nothing here.

    No error: a run keeps its flags when it is measured on another data set.
    """

    @wraps(read)
    def reader(root: Path, split: str, settings: DataSettings) -> Listing:
        listing = with_landmarks(read(root, split, settings), split, settings)
        given = {
            "--image-col": settings.image_col,
            "--label-col": settings.label_col,
            "--map": settings.map,
        }
        told = list(notes) if split == "train" else []
        unread = [flag for flag, value in given.items() if value]
        if unread and layout not in hub.LAYOUTS:
            told.append(f"{' and '.join(unread)}: not read by the layout {layout}")
        return replace(listing, notes=(*listing.notes, *told)) if told else listing

    return reader


def _found(settings: DataSettings, say: Callable[[str], None]) -> tuple[str, Path]:
    """Layout and folder of the source that the settings name; `say` hears where that was."""
    if settings.data == "toy" or settings.layout == "toy":
        return "toy", Path()
    if settings.data.startswith("hf:"):
        if settings.layout not in ("auto", "hf"):
            raise WordsError(f"{settings.layout} is a layout on disk; leave out --layout with hf:")
        provide_token("HF_TOKEN", say)
        return "hf", Path()
    if settings.layout == "hf":
        raise WordsError("the layout hf is for --data hf:OWNER/NAME; leave it out for a path")
    root = Path(settings.data).expanduser()
    if is_input(settings.data):
        root = find_input(settings.data, lambda place: _holds(place, settings.layout))
        say(f"{settings.data} is {printable(str(root))}")
    try:
        return _located(root, settings.layout)
    except OSError as error:
        raise unreadable(error, root) from None


def _holds(place: Path, layout: str) -> bool:
    """Whether a folder itself has this layout, or with `auto` any."""
    wanted = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    for candidate in wanted:
        try:
            if candidate.found(place):
                return True
        except DataError:  # a table of something else may lie beside the faces
            continue
    return False


def _further(settings: DataSettings) -> list[Part]:
    """Training faces of the further sources; the first one's layout and groups are not theirs."""
    given = (*settings.also, *settings.synthetic)
    parts = []
    for place, (source, name) in enumerate(
        zip(given, name_sources([settings.train_csv or settings.data, *given])[1:], strict=True)
    ):
        own = replace(
            settings, data=source, layout="auto", group_column="", image_col="", label_col="",
            train_csv="", val_csv="",
        )  # fmt: skip
        notes: list[str] = []
        layout, root = _found(own, notes.append)
        listing = READERS[layout](root, "train", own)
        listing = replace(listing, notes=(*listing.notes, *notes))
        made = place >= len(settings.also)
        parts.append(Part(name=name, source=source, synthetic=made, listing=listing))
    return parts


def _located(root: Path, layout: str = "auto") -> tuple[str, Path]:
    """Layout, and the folder that holds it: the root, its `data`, or its only sub-folder."""
    if not root.exists():
        near = get_close_matches(root.name, [f.name for f in visible_folders(root.parent)], 1)
        hint = f"did you mean {root.parent / near[0]}?" if near else "correct the path"
        raise DataError(f"no such path: {printable(str(root))}; {hint}")
    if root.is_file() and root.suffix.lower() == ".zip":
        name = printable(str(root))
        raise DataError(f"{name} is packed; `adafer data extract {name} FOLDER`, then name FOLDER")
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
