"""Opens data sets of the Hugging Face hub, and files in its formats, with the library `datasets`.

`datasets` is the extra `hub`, imported only when a data set is opened, as that takes seconds. No
code of a data set is ever run. What it prepares lies in its cache, where it looks again next time.
"""

import glob
import importlib
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from adafer.data.files import Roots, some
from adafer.data.hub_errors import in_one_sentence
from adafer.errors import DataError, MachineError, WordsError
from adafer.image import printable

_FORM = "hf:OWNER/NAME, with :CONFIG and @REVISION behind it if need be"
_NAME = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)((?:[:@][\w./+-]+)*)", re.ASCII)
_ADDRESS = re.compile(r"(?:huggingface\.co/|hf:/?/?)datasets/([\w.-]+/[\w.-]+)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """Which data set of the hub: `hf:OWNER/NAME[:CONFIG][@REVISION]`."""

    repository: str
    config: str | None = None
    revision: str | None = None

    @classmethod
    def parsed(cls, source: str) -> "HubName":
        """Read the name from a SOURCE; raises WordsError."""
        match = _NAME.fullmatch(source)
        further = re.findall(r"([:@])([^:@]+)", match[2]) if match else []
        if match is None or len({sign for sign, _ in further}) < len(further):
            address = _ADDRESS.search(source)
            near = f"; did you mean hf:{address[1]}?" if address else ", such as hf:owner/faces"
            raise WordsError(f"a data set of the hub is named {_FORM}{near}")
        words = dict(further)
        return cls(match[1], words.get(":"), words.get("@"))


@dataclass(frozen=True)
class Opened:
    """A data set whose tables are ready: memory-mapped, nothing decoded."""

    name: str  # for sentences
    tables: Mapping[str, Any]  # the set's own name of a split to its datasets.Dataset
    folders: tuple[Path, ...]  # where the paths of pictures may lead
    commit: str | None = None


@lru_cache(maxsize=4)  # train, validation and test are asked for one after the other
def open_hub(source: str) -> Opened:
    """Fetch a data set of the hub, or take it from the cache of `datasets`.

    Raises:
        WordsError: a source that is no such name, or a config that the set does not have.
        DataError: no such set, one that needs a login, a script, or files that cannot be read.
        MachineError: no network, or `datasets` is not installed.
    """
    name = HubName.parsed(source)
    if Path(name.repository).exists():
        raise WordsError(
            f"a folder {name.repository} lies here and would be read instead of the hub's; name it "
            f"with --data ./{name.repository}, or work in another folder"
        )
    library = _library()
    with _quiet(library), in_one_sentence(f"hf:{name.repository}", name.revision):
        builder = library.load_dataset_builder(
            name.repository, name=name.config, revision=name.revision
        )
        _check_remote(builder, name)
        builder.download_and_prepare()
        tables = builder.as_dataset()
    hub = importlib.import_module("huggingface_hub.constants")
    commit = str(builder.hash)
    return Opened(
        name=f"hf:{name.repository}",
        tables=tables,
        folders=(Path(library.config.HF_DATASETS_CACHE), Path(hub.HF_HUB_CACHE)),
        commit=commit if _COMMIT.fullmatch(commit) else None,
    )


def open_files(kind: str, root: Path, files: Mapping[str, Sequence[Path]]) -> Opened:
    """Open files of one kind, "parquet" or "arrow", as the splits that they are listed under.

    Raises:
        DataError: a file that cannot be read.
        MachineError: `datasets` is not installed.
    """
    patterns = {s: [_as_pattern(file) for file in listed] for s, listed in files.items()}
    return _prepared(kind, root, patterns)


def open_pictures(root: Path, folders: Mapping[str, Path]) -> Opened:
    """Open folders of pictures whose labels stand in a metadata file, one folder a split.

    Raises:
        DataError: a metadata file that cannot be read, or that names pictures which are not there.
        MachineError: `datasets` is not installed.
    """
    patterns = {split: [f"{_as_pattern(folder)}/**"] for split, folder in folders.items()}
    return _prepared("imagefolder", root, patterns)


def open_saved(root: Path) -> Opened:
    """Open what `save_to_disk` of `datasets` wrote: one table, or one a split.

    Raises:
        DataError: a file that is missing, unreadable or outside the folder.
        MachineError: `datasets` is not installed.
    """
    _check_saved(root)
    library = _library()
    with _quiet(library), in_one_sentence(str(root)):
        saved = library.load_from_disk(str(root.absolute()))
    tables = saved if isinstance(saved, library.DatasetDict) else {"train": saved}
    return Opened(str(root), tables, (root,))


def _prepared(kind: str, root: Path, patterns: Mapping[str, Sequence[str]]) -> Opened:
    library = _library()
    with _quiet(library), in_one_sentence(str(root)):
        # Named files only: a README of the folder could name others, on disk or elsewhere.
        builder = library.load_dataset_builder(kind, data_files=dict(patterns))
        builder.download_and_prepare()
        tables = builder.as_dataset()
    return Opened(str(root), tables, (root if root.is_dir() else root.parent,))


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise MachineError("datasets is not installed; add it: pip install 'adafer[hub]'") from None


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No word to the hub on what is read, bars on a terminal only, and errors instead of logs."""
    hub = importlib.import_module("huggingface_hub.utils")
    loggers = [part.logging for part in (library, hub)]
    before = [logger.get_verbosity() for logger in loggers]
    counted = library.config.HF_UPDATE_DOWNLOAD_COUNTS
    shown = [part for part in (library, hub) if not part.are_progress_bars_disabled()]
    with warnings.catch_warnings():
        # Warns where an environment variable has settled it already.
        warnings.simplefilter("ignore")
        library.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a request even for files on disk
        for logger in loggers:
            logger.set_verbosity(logging.CRITICAL)
        if not sys.stderr.isatty():
            for part in shown:
                part.disable_progress_bars()
        try:
            yield
        finally:
            library.config.HF_UPDATE_DOWNLOAD_COUNTS = counted
            for logger, verbosity in zip(loggers, before, strict=True):
                logger.set_verbosity(verbosity)
            if not sys.stderr.isatty():
                for part in shown:
                    part.enable_progress_bars()


def _check_remote(builder: Any, name: HubName) -> None:
    """Refuse files outside the repository, which a set's own description may name.

    And the cached set of another revision, which `datasets` takes where it cannot reach the hub.
    """
    repository, files_of = name.repository, builder.config.data_files
    if files_of is None and name.revision and name.revision != builder.hash:
        raise MachineError(
            f"the cache holds hf:{repository} at commit {printable(str(builder.hash))} and the hub "
            f"cannot be reached for {name.revision}; connect once, or name that commit behind @"
        )
    inside = f"hf://datasets/{repository}@".casefold()
    listed = [str(file) for files in (files_of or {}).values() for file in files]
    outside = [file for file in listed if not file.casefold().startswith(inside)]
    if outside:
        raise DataError(
            f"hf:{repository} names files outside itself ({some(outside, len(outside))}); choose "
            "another set"
        )


def _check_saved(root: Path) -> None:
    """Refuse splits and files that lead out of the folder."""
    folders = [root]
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json").get("splits")
        folders = [root / word for word in _plain_names(root, splits)]
    inside = Roots([root], [root])
    for folder in folders:
        state = _json(folder / "state.json")
        listed = [item.get("filename") for item in state.get("_data_files") or ()]
        for name in _plain_names(folder, listed):
            if inside.find(os.path.relpath(folder / name, root)) is None:
                raise DataError(f"{printable(str(folder / name))} is missing; save the set again")


def _plain_names(folder: Path, names: object) -> list[str]:
    listed = names if isinstance(names, list) else [None]
    if not all(isinstance(n, str) and re.fullmatch(r"\w[\w.-]*", n) for n in listed):
        raise DataError(f"{printable(str(folder))} names no files of its own; save the set again")
    return [str(name) for name in listed]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{printable(str(path))} is missing; save the set again") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DataError(f"{printable(str(path))} is damaged; save the set again")
    return content


def _as_pattern(path: Path) -> str:
    return glob.escape(str(path.absolute()))
