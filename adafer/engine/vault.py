"""Folders of files that are written whole or not at all, and read back verified."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adafer.errors import MachineError

MANIFEST = "manifest.json"
PARTIAL, DAMAGED = "partial-", "damaged-"
NAME = re.compile(r"step-(\d{8,})(?:-(\d+))?")
FORMAT = 1
SLACK = 2**20
"""Bytes that folders and the file system's own book-keeping may need on top."""


class Damaged(Exception):
    """A saved folder is not what was written."""


def saved_folders(folder: Path) -> list[Path]:
    """Saves under a folder, newest first; unfinished ones and damaged ones left out."""
    if not folder.is_dir():
        return []
    found = [
        (int(match[1]), int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for *_, path in sorted(found, reverse=True)]


def place(folder: Path, name: str, contents: Mapping[str, bytes]) -> Path:
    """Write files into a new folder of this name, and keep only the save before it.

    A name that is taken gets a number, so no save is ever written over.

    Raises:
        MachineError: the disk is full; what was saved before is untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder, (PARTIAL,))
    files = dict(contents)
    files[MANIFEST] = _manifest(contents)
    needed = sum(map(len, files.values())) + SLACK
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(_full(folder, free, needed))
    partial = folder / (PARTIAL + name)
    try:
        partial.mkdir()
        for file_name, data in files.items():
            write_through(partial / file_name, data)
        sync_folder(partial)
        target = _free_name(folder, name)
        os.rename(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder).free
            raise MachineError(_full(folder, free, needed)) from error
        raise
    sync_folder(folder)
    _keep_two(folder, target)
    return target


def read_verified(folder: Path) -> dict[str, bytes]:
    """Bytes of every file of a save, each equal to what was written.

    Raises:
        Damaged: a file is missing or changed, or the manifest is.
    """
    contents = {}
    for name, facts in _read_manifest(folder).items():
        try:
            data = (folder / name).read_bytes()
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None
        except OSError as error:
            raise Damaged(f"{name} cannot be read, {error.strerror}") from None
        if len(data) != facts["bytes"]:
            raise Damaged(f"{name} has {len(data)} bytes instead of {facts['bytes']}")
        if _digest(data) != facts["sha256"]:
            raise Damaged(f"{name} has changed since it was written")
        contents[name] = data
    return contents


def set_aside(folder: Path) -> None:
    """Give a damaged save a name under which nobody looks; on a read-only disk leave it."""
    try:
        os.replace(folder, folder.with_name(DAMAGED + folder.name))
    except OSError:
        return


def write_through(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's names; Windows offers no such wait."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(contents: Mapping[str, bytes]) -> bytes:
    files = {n: {"bytes": len(d), "sha256": _digest(d)} for n, d in sorted(contents.items())}
    return _canonical({"format": FORMAT, "files": files, "sha256": _digest(_canonical(files))})


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Files of a manifest that is equal, byte for byte, to one that we write."""
    try:
        data = (folder / MANIFEST).read_bytes()
        manifest = json.loads(data)
        files: dict[str, Any] = manifest["files"]
        sound = manifest["sha256"] == _digest(_canonical(files)) and data == _canonical(manifest)
        sound = sound and manifest["format"] == FORMAT
    except FileNotFoundError:
        raise Damaged(f"{MANIFEST} is missing") from None
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise Damaged(f"{MANIFEST} has changed since it was written")
    return files


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _free_name(folder: Path, name: str) -> Path:
    number, target = 1, folder / name
    while target.exists():
        number += 1
        target = folder / f"{name}-{number}"
    return target


def _keep_two(folder: Path, newest: Path) -> None:
    """Keep a save and the one before it; later ones belong to a line that was given up."""
    names = saved_folders(folder)
    keep = names[names.index(newest) : names.index(newest) + 2]
    for path in names:
        if path not in keep:
            # Renamed first: a kill in the middle must not leave half a save under a good name.
            doomed = path.with_name(PARTIAL + path.name)
            os.rename(path, doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    _sweep(folder, (DAMAGED,))


def _sweep(folder: Path, prefixes: tuple[str, ...]) -> None:
    for path in folder.iterdir():
        if path.name.startswith(prefixes):
            shutil.rmtree(path, ignore_errors=True)


def _full(folder: Path, free: int, needed: int) -> str:
    return (
        f"the disk of {folder} has {free} bytes free and the save needs {needed}; the save before "
        "it is untouched, so make room and resume"
    )
