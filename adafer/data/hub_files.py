"""Which parquet or arrow files of a folder hold which split, and what a set calls its splits."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from adafer.data.files import OutsideRoot, Roots, SplitMissing, some, split_folders, split_of
from adafer.errors import DataError
from adafer.image import printable

DEEPEST = 3
"""Folders below the root in which files are looked for: CONFIG/SPLIT/0000.parquet."""

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Files that say the labels of the pictures beside them."""

_FIRST = 2000  # entries that are looked at to recognise a layout
_EVALUATION = ("eval", "evaluation")  # test, or validation where there is a test
_SHARD = re.compile(r"-\d+-of-\d+$")


def holds(root: Path, suffix: str) -> bool:
    """Whether the path is such a file, or a folder with one near its top."""
    if root.is_file():
        return root.suffix.lower() == suffix
    return any(path.suffix.lower() == suffix for path in islice(_walk(root), _FIRST))


def files_by_split(root: Path, suffix: str) -> dict[str, list[Path]]:
    """Map train, val and test to their files, by the words in file and folder names.

    A lone file and files without such words are train.

    Raises:
        DataError: no files, files of which only some name a split, or a link out of the folder.
    """
    if root.is_file():
        return {"train": [root]}
    files = [path for path in _walk(root) if path.suffix.lower() == suffix]
    if not files:
        raise DataError(f"no {suffix} files in {printable(str(root))}; correct the path")
    inside = Roots([root], [root])
    for file in files:
        if not inside.holds(os.path.realpath(file)):
            raise OutsideRoot(f"{printable(str(file))} leads out of its folder; copy it there")
    words = {file: _word_of(file.relative_to(root)) for file in files}
    chosen, _ = named_splits([word for word in words.values() if word], str(root))
    named = {file: split for file in files for split, word in chosen.items() if words[file] == word}
    if not named and not any(words.values()):
        return {"train": files}
    if len(named) < len(files):
        rest = [str(file.relative_to(root)) for file in files if file not in named]
        raise DataError(
            f"{printable(str(root))}: {some(rest, len(rest))} names no one split; call files "
            "train, validation or test, or put them in folders so called"
        )
    return {split: [file for file in files if named[file] == split] for split in chosen}


def picture_folders(root: Path) -> dict[str, Path]:
    """Map train, val and test to the folders named after them; the root is train without any.

    Raises:
        OutsideRoot: a folder or its metadata file that is a link out of the root.
        OSError: a folder that cannot be opened.
    """
    folders = split_folders(root) or {"train": root}
    inside = Roots([root], [root])
    for folder in folders.values():
        listed = [folder, *(folder / n for n in sorted(os.listdir(folder)) if n in METADATA)]
        for path in listed:
            if not inside.holds(os.path.realpath(path)):
                raise OutsideRoot(f"{printable(str(path))} leads out of its folder; copy it there")
    return folders


def named_splits(names: Iterable[str], place: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map train, val and test to what the set calls them, and say what is left aside.

    `eval` is the test where there is no other, else validation. The only split of a set is train,
    whatever its name.

    Raises:
        DataError: two names for one split.
    """
    found: dict[str, str] = {}
    listed = list(dict.fromkeys(names))
    for name in listed:
        split = split_of(name)
        if split and split in found:
            raise DataError(
                f"{place}: both {printable(found[split])} and {printable(name)} hold {split}; keep "
                "one of them"
            )
        if split:
            found[split] = name
    notes = []
    for name in listed:
        free = next((split for split in ("test", "val") if split not in found), None)
        if name.strip().lower() in _EVALUATION and free:
            found[free] = name
            notes.append(f"the split {name} is read as {free}")
    if not found and len(listed) == 1:
        found["train"] = listed[0]
    aside = [name for name in listed if name not in found.values()]
    if aside:
        notes.append(f"splits that are not read: {some(aside, len(aside))}")
    return found, tuple(notes)


def chosen_split(found: Mapping[str, str], split: str, place: str, all_names: Iterable[str]) -> str:
    """Return the set's own name of a split; raises SplitMissing."""
    if split not in found:
        names = list(all_names)
        raise SplitMissing(
            f"{place} has no {split} split; it has {some(names, len(names), 12) or 'none'}: choose "
            "a data set with one"
        )
    return found[split]


def _word_of(path: Path) -> str:
    """Word of a file's name that names a split, else the nearest folder that does; "" for none."""
    for part in (_SHARD.sub("", path.stem), *reversed(path.parent.parts)):
        words: dict[str, None] = {
            word.lower(): None
            for word in (part, *re.split(r"[^A-Za-z]+", part))
            if split_of(word) or word.lower() in _EVALUATION
        }
        if len(words) == 1:
            return next(iter(words))
    return ""


def _walk(root: Path) -> Iterator[Path]:
    """Files near the top of a folder, by name; an unreadable folder raises OSError."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(root, onerror=refuse):
        depth = len(Path(place).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if f[0] not in "._" and depth < DEEPEST)
        yield from (Path(place, name) for name in sorted(files) if name[0] != ".")
