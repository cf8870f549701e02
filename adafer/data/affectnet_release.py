"""AffectNet as released since 2021: numbered faces, with .npy annotations or with text lists.

Legend: N faces, P points, here 68.
"""

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from adafer import image
from adafer.data.affectnet import Faces, class_names, emotion_or_reason, fitting, no_test
from adafer.data.csv_rows import Faults, lines
from adafer.data.files import OutsideRoot, Roots, images_under, refuse_missing, some
from adafer.data.landmarks import SIXTY_EIGHT
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import printable
from adafer.settings.data import DataSettings

_FOLDERS = {
    "train": ("train_set",),
    "val": ("val_set", "valid_set", "validation_set"),
    "test": ("test_set",),
}
_TEXT = "{}_annotations_{}class.txt"
_WORDS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}
_EXPRESSION, _LANDMARKS = "_exp.npy", "_lnd.npy"
_LARGEST = 100_000  # bytes of an annotation; 136 numbers take about a thousand
_UNKNOWN = np.full((len(SIXTY_EIGHT), 2), np.nan, np.float32)

# What numpy's reader raises on damaged bytes; found by feeding it any.
_DAMAGE = (
    *(ValueError, OSError, EOFError, TypeError, SyntaxError, TokenError, KeyError),
    *(OverflowError, MemoryError, RecursionError, IndexError, AttributeError),
)


def found_npy(root: Path) -> bool:
    """Whether train_set with images and annotations is here."""
    folder = _folder(root, "train") or _folder(root, "val")
    return folder is not None and (folder / "annotations").is_dir()


def found_txt(root: Path) -> bool:
    """Whether a list such as train_set/train_annotations_8class.txt is here."""
    return any(_text_list(root, split, classes) for split in _FOLDERS for classes in (8, 7))


def read_npy(root: Path, split: str, settings: DataSettings) -> Listing:
    """AffectNet's release of 2021: train_set/images/ID.jpg, train_set/annotations/ID_exp.npy.

    The same for val_set. ID_lnd.npy gives 68 landmarks (x1, y1, x2, y2, ...); they are used if
    they lie in the pictures, which are faces of 224 x 224. No file that holds Python objects is
    opened. Source, licence, class order and paper as AffectNet. Counts: 287,651 train, 3,999
    validation; 283,901 and 3,500 with `affectnet_classes` 7; no test.
    """
    folder = _folder(root, split)
    if folder is None:
        raise no_test(root, split)
    roots = Roots([folder / "images"], [root, *map(Path, settings.roots)])
    images, _ = images_under(folder / "images", roots)
    names = _annotations(folder / "annotations", roots)
    faults, faces = Faults(folder / "annotations", "file"), Faces()
    labels = class_names(settings.affectnet_classes)
    without = [path.name for path in images if path.stem + _EXPRESSION not in names]
    if without:
        raise DataError(
            f"{folder}: {len(without):,} of {len(images):,} images have no annotations/ID_exp.npy "
            f"({some(without, len(without))}); fetch the annotations or remove the images"
        )
    stems = {path.stem for path in images}
    faces.missing = sorted(
        name.removesuffix(_EXPRESSION) + ".jpg"
        for name in names
        if name.endswith(_EXPRESSION) and name.removesuffix(_EXPRESSION) not in stems
    )
    for path in images:
        emotion = _emotion(folder, path, settings.affectnet_classes, faults, faces)
        if emotion is None:
            continue
        faces.ids.append(printable(path.relative_to(folder / "images").as_posix()))
        faces.labels.append(labels.index(emotion))
        faces.pictures.append(path)
        marked = path.stem + _LANDMARKS in names
        faces.points.append(_points(folder, path, faults) if marked else _UNKNOWN)
    faults.check()
    return _listing("affectnet-npy", split, settings, faces, folder / "images")


def read_txt(root: Path, split: str, settings: DataSettings) -> Listing:
    """AffectNet with text lists: train_set/train_annotations_8class.txt, valid_set/valid_... .

    Lines hold an image name and AffectNet's number 0-7; images lie in `images` beside the list, or
    beside the list itself. A list of 7 classes has no contempt. Source, licence, class order,
    counts and paper as AffectNet's release of 2021.
    """
    other = 15 - settings.affectnet_classes
    path = _text_list(root, split, settings.affectnet_classes) or _text_list(root, split, other)
    if path is None:
        raise no_test(root, split)
    classes = min(settings.affectnet_classes, 7 if "7class" in path.name else 8)
    folders = [path.parent / "images", path.parent, *map(Path, settings.roots)]
    roots = Roots(folders, [root, *map(Path, settings.roots)])
    faults, faces, names = Faults(path), Faces(), class_names(classes)
    seen: dict[str, int] = {}
    for line, name, word in _entries(path, faults):
        meant = emotion_or_reason(word, classes)
        if meant is None:
            faults.add(line, f"label {printable(word[:20])!r} is not a number from 0 to 7")
            continue
        if seen.setdefault(name, line) != line:
            faults.add(line, f"{printable(name[:80])!r} stands in line {seen[name]} already")
            continue
        try:
            picture = roots.find(name)
        except OutsideRoot:
            faults.add(line, f"{printable(name[:80])!r} is outside the data root (see --roots)")
            continue
        if meant[0] is None:
            faces.left_out[str(meant[1])] += 1
        elif picture is None:
            faces.missing.append(name)
        else:
            faces.ids.append(printable(name))
            faces.labels.append(names.index(meant[0]))
            faces.pictures.append(picture)
    faults.check()
    return _listing("affectnet-txt", split, settings, faces, path, names)


def _listing(
    layout: str,
    split: str,
    settings: DataSettings,
    faces: Faces,
    place: Path,
    names: tuple[str, ...] | None = None,
) -> Listing:
    total = len(faces.missing) + len(faces.ids)
    missing = refuse_missing(place, faces.missing, total, settings.max_bad, "fetch them again")
    landmarks, notes = _within_pictures(faces)
    return Listing(
        layout=layout,
        split=split,
        class_names=names or class_names(settings.affectnet_classes),
        ids=tuple(faces.ids),
        labels=np.array(faces.labels, np.int64),
        pictures=tuple(faces.pictures),
        landmarks=landmarks,
        mirror_points=() if landmarks is None else SIXTY_EIGHT.mirror,
        left_out=(*sorted(faces.left_out.items()), *missing),
        notes=notes,
    )


def _within_pictures(faces: Faces) -> tuple[NDArray[np.float32] | None, tuple[str, ...]]:
    """Landmarks, if they lie in pictures as large as the first one that has a readable header."""
    if not faces.points:
        return None, ()
    for path in faces.pictures[:10]:
        try:
            width, height = image.sides(path)
        except image.ImageError:  # the data set names it when the pictures are decoded
            continue
        box = np.tile(np.array([0, 0, width, height], np.int64), (len(faces.points), 1))
        return fitting(faces.points, box)
    return None, ("landmarks are not used: none of the first pictures can be read",)


def _folder(root: Path, split: str) -> Path | None:
    folders = (root / name for name in _FOLDERS[split])
    return next((f for f in folders if (f / "images").is_dir()), None)


def _text_list(root: Path, split: str, classes: int) -> Path | None:
    folders = [root / name for name in _FOLDERS[split]]
    names = [_TEXT.format(word, classes) for word in _WORDS[split]]
    paths = (folder / name for folder in [*folders, root] for name in names)
    return next((path for path in paths if path.is_file()), None)


def _annotations(folder: Path, roots: Roots) -> set[str]:
    """Names of the annotation files; raises OutsideRoot for a link that leads out of the root."""
    if not folder.is_dir():
        raise DataError(f"no {folder}; fetch the annotations that belong to the images")
    if not roots.holds(os.path.realpath(folder)):
        raise OutsideRoot(f"{folder} is outside the data root; copy it there or use --roots")
    names = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith((_EXPRESSION, _LANDMARKS)):
                continue
            if entry.is_symlink() and not roots.holds(os.path.realpath(entry.path)):
                name = printable(entry.path)
                raise OutsideRoot(f"{name} is outside the data root; copy it there or use --roots")
            names.add(entry.name)
    return names


def _emotion(folder: Path, path: Path, classes: int, faults: Faults, faces: Faces) -> str | None:
    name = path.stem + _EXPRESSION
    values = _array(folder / "annotations" / name)
    if isinstance(values, str) or values.size != 1:
        reason = values if isinstance(values, str) else f"{values.size:,} values instead of 1"
        faults.add(None, f"{printable(name)}: {reason}")
        return None
    value = values.item()
    word = (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip()
    meant = emotion_or_reason(word.removesuffix(".0"), classes)
    if meant is None:
        shown = printable(word[:20])
        faults.add(None, f"{printable(name)}: expression {shown!r} is not a number from 0 to 10")
        return None
    if meant[0] is None:
        faces.left_out[str(meant[1])] += 1
    return meant[0]


def _points(folder: Path, path: Path, faults: Faults) -> NDArray[np.float32]:
    name = path.stem + _LANDMARKS
    values = _array(folder / "annotations" / name)
    if not isinstance(values, str) and (values.size != 136 or values.dtype.kind not in "fiu"):
        values = f"{values.size:,} values of {values.dtype} instead of 136 numbers"
    if not isinstance(values, str) and not np.isfinite(values).all():
        values = "holds NaN or infinity"
    if isinstance(values, str):
        faults.add(None, f"{printable(name)}: {values}")
        return _UNKNOWN
    return values.astype(np.float32).reshape(-1, 2)


def _array(path: Path) -> NDArray[np.generic] | str:
    """Array of an .npy file of numbers or text, or what is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST:
            return f"larger than {_LARGEST:,} bytes"
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if data[:6] != b"\x93NUMPY":  # no archive and no pickle comes near numpy's reader
        return "is no .npy file"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header of Python 2 is as good as any other
            values = np.load(io.BytesIO(data), allow_pickle=False)
    except _DAMAGE as error:
        objects = "Object arrays" in str(error)
        return "holds Python objects, which are not opened" if objects else "is damaged"
    return values if isinstance(values, np.ndarray) else "is no array"


def _entries(path: Path, faults: Faults) -> Iterator[tuple[int, str, str]]:
    """Line, image name and label of each line that is not blank."""
    for line, text in enumerate(lines(path), 1):
        name, _, word = text.strip().rpartition(" ")
        if name:
            yield line, name.strip(), word
        elif word:
            faults.add(line, "1 word instead of an image name and a label")
