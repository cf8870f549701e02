"""Where a data set's files are: the words for splits, and paths that stay inside the data root."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path

from adafer.errors import DataError
from adafer.image import printable

_DECODED = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"}
_REFUSED = {".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".svg", ".psd"}
IMAGE_SUFFIXES = frozenset(_DECODED | _REFUSED)
"""Files listed as pictures; the decoder then says which of them it refuses."""

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "publictest": "val",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
"""Words for the splits in folder names, file names and columns; FER2013's Usage among them."""

SPLITS = ("train", "val", "test")

_ELSEWHERE = re.compile(r"^(~|[A-Za-z][A-Za-z0-9+.-]*:[/\\]|[\\/]{2})")  # home, URL, drive, UNC


class OutsideRoot(DataError):
    """A path that leads out of the data root."""


class SplitMissing(DataError):
    """The data set has no such split."""


def split_of(word: str) -> str | None:
    """Return the split that a folder, file or column names, or None."""
    return SPLIT_WORDS.get(word.strip().lower())


def some(names: Iterable[str], count: int, limit: int = 3) -> str:
    """Show the first few names of many: `a, b, c and 7 more`."""
    shown = [printable(name) for _, name in zip(range(limit), names, strict=False)]
    rest = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return ", ".join(shown) + rest


def refuse_missing(
    place: Path, missing: Sequence[str], total: int, max_bad: float, way_out: str
) -> tuple[tuple[str, int], ...]:
    """Count missing pictures as left out, or raise DataError if their share is above `max_bad`."""
    if not missing:
        return ()
    share = len(missing) / total
    if share <= max_bad and len(missing) < total:
        return (("missing image file", len(missing)),)
    if len(missing) < total:
        way_out += f", or leave them out with --max-bad {ceil(share * 1000) / 1000:g}"
    raise DataError(
        f"{printable(str(place))}: {len(missing):,} of {total:,} images are missing "
        f"({some(missing, len(missing))}); {way_out}"
    )


def unreadable(error: OSError, place: Path) -> DataError:
    """Say which file or folder the system refused, and why."""
    name = printable(str(error.filename or place))
    reason = error.strerror or type(error).__name__
    return DataError(f"{name} cannot be read ({reason}); correct the path or its permissions")


def split_folders(root: Path) -> dict[str, Path]:
    """Map split to its folder, where folders are named train, val, test in any usual spelling."""
    found: dict[str, Path] = {}
    for folder in visible_folders(root):
        split = split_of(folder.name)
        if split in found:
            raise DataError(
                f"{root}: both {found[split].name} and {folder.name} hold {split}; keep one"
            )
        if split:
            found[split] = folder
    return found


def visible_folders(root: Path) -> list[Path]:
    """Sub-folders that are not hidden, by name."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        names = [e.name for e in entries if e.is_dir() and not _ignored(e.name)]
    return [root / name for name in sorted(names)]


class Roots:
    """Finds files that a list names, in several folders, and never outside the allowed ones."""

    def __init__(self, folders: Iterable[Path], allowed: Iterable[Path]) -> None:
        self._folders = [str(folder) for folder in folders]
        self._allowed = [os.path.realpath(folder) for folder in allowed]
        self._real: dict[str, str] = {}

    def find(self, name: str) -> Path | None:
        """Return the file, None where there is none, or raise OutsideRoot; links are resolved."""
        plain = name.strip().replace("\\", "/")
        if not plain:
            return None
        if "\0" in name or _ELSEWHERE.match(name.strip()):
            raise _outside(name)
        escaped = False
        for folder in self._folders:
            path = self._resolved(os.path.join(folder, plain))
            if not self.holds(path):
                escaped = True
            elif _is_file(path):
                return Path(path)
        if escaped:
            raise _outside(name)
        return None

    def holds(self, real: str) -> bool:
        """Whether a resolved path lies in an allowed folder."""
        return any(real == root or real.startswith(_slashed(root)) for root in self._allowed)

    def _resolved(self, path: str) -> str:
        folder, last = os.path.split(path)
        if last in ("", ".", ".."):
            return os.path.realpath(path)
        if folder not in self._real:  # a data set has few folders and many files
            self._real[folder] = os.path.realpath(folder)
        joined = os.path.join(self._real[folder], last)
        return os.path.realpath(joined) if os.path.islink(joined) else joined


def images_under(folder: Path, roots: Roots) -> tuple[list[Path], Counter[str]]:
    """List pictures at any depth, by name, and count the suffixes of other files.

    Hidden files and the droppings of desktops are passed over. Links are followed where they stay
    inside the allowed folders; others raise OutsideRoot.
    """
    images: list[str] = []
    others: Counter[str] = Counter()
    waiting, seen = [str(folder)], set[str]()
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(current)
        if not roots.holds(real):
            raise _outside(current)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(current) as entries:
            for entry in entries:
                if _ignored(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append(entry.path)
                elif os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
                    others[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1
                elif entry.is_symlink() and not roots.holds(os.path.realpath(entry.path)):
                    raise _outside(entry.path)
                else:
                    images.append(entry.path)
    return [Path(path) for path in sorted(images)], others


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini", "__macosx")


def _outside(name: str) -> OutsideRoot:
    return OutsideRoot(
        f"{printable(name)!r} is outside the data root; copy the file there or name its folder "
        "with --roots"
    )


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # a name longer than the file system allows
        raise DataError(
            f"{printable(path)[:80]!r} cannot be a path ({error.strerror}); correct it"
        ) from None


def _slashed(folder: str) -> str:
    return folder if folder.endswith(os.sep) else folder + os.sep
