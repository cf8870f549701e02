"""Unpack a data set's zip safely: no escape, no bomb, all or nothing.

Every entry is checked from the archive's directory before anything is written, and its bytes are
counted again while they are. The files go to `FOLDER.partial`, which becomes `FOLDER` at the end.
"""

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from adafer.archive.directory import (
    DAMAGE,
    check_places,
    digest_of,
    find_directory,
    opened_zip,
    size_of,
)
from adafer.archive.entries import MARKER, STARTED, Item, Limits, safe_entries
from adafer.archive.refusal import gb, refuse, refuse_entry, short, shown
from adafer.errors import AdaferError, DataError, MachineError

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

Mark = dict[str, int | str]
"""What tells one archive from another: its size and the hash of its list of entries."""

_CHUNK = 1 << 20


def extract_dataset(
    archive: str | Path,
    folder: str | Path | None = None,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Unpack a zip into a new folder and return its path; one unpacked before is used as it is.

    Without `folder`, one named after the archive is made in the working directory. `progress` is
    called with the bytes written so far and in all. Archives inside the archive stay packed.

    Raises:
        DataError: a damaged or dangerous archive, or a folder that holds something else.
        MachineError: a disk that is full or may not be written to.
        AdaferError: another process is unpacking into the same folder.
    """
    source = Path(archive).expanduser()
    target = Path(os.path.abspath(Path(source.stem if folder is None else folder).expanduser()))
    if not source.is_file():
        kind = "a folder, which needs no unpacking" if source.is_dir() else "no such file"
        refuse(source, kind, "name a zip archive")
    limits = limits or Limits()
    try:
        with source.open("rb") as file:
            directory = find_directory(source, file, limits)
            mark: Mark = {"bytes": size_of(file), "directory_sha256": digest_of(file, directory)}
            if _is_done(source, target, mark):
                return target
            with opened_zip(source, file) as opened:
                items = safe_entries(source, opened, limits)
                check_places(source, file, opened, directory)
                _unpack(source, target, opened, items, mark, progress)
    except OSError as error:
        raise _unwritten(source, target, error) from None
    return target


def _is_done(source: Path, target: Path, mark: Mark) -> bool:
    """Whether the folder holds this archive, whole; a folder with anything else is refused."""
    if not target.exists() and not target.is_symlink():
        return False
    marker = target / MARKER
    if not target.is_dir() or (any(target.iterdir()) and not marker.is_file()):
        raise DataError(f"{shown(str(target))} is not empty; name a new folder")
    if not marker.is_file():
        return False
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != mark:
        raise DataError(
            f"{shown(str(target))} was unpacked from another archive than "
            f"{shown(str(source))}; name a new folder or remove it"
        )
    return True


def _unpack(
    source: Path,
    target: Path,
    opened: zipfile.ZipFile,
    items: Sequence[Item],
    mark: Mark,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write every entry into the partial folder, then give it its name; or leave nothing."""
    total, done = sum(item.info.file_size for item in items), 0
    with _parents(target), _partial(target) as partial:
        free = shutil.disk_usage(partial).free
        if total > free:
            raise MachineError(
                f"{shown(str(source))} unpacks to {gb(total)} and {shown(str(target))} has "
                f"{gb(free)} free; free space or name a folder on another disk"
            )
        known = {partial}
        for item in items:
            path = partial.joinpath(*item.parts)
            folder = path if item.is_folder else path.parent
            if folder not in known:
                folder.mkdir(parents=True, exist_ok=True)
                known.add(folder)
            if not item.is_folder:
                done += _write(source, opened, item.info, path)
            if progress is not None:
                progress(done, total)
        (partial / MARKER).write_text(json.dumps(mark), encoding="utf-8")


def _write(source: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> int:
    """Write one file of exactly the size that was announced; its checksum is compared too."""
    written = 0
    try:
        with opened.open(info) as packed, path.open("xb") as file:
            while chunk := packed.read(_CHUNK):
                written += len(chunk)
                if written > info.file_size:
                    break
                file.write(chunk)
    except DAMAGE as error:
        refuse_entry(source, info.orig_filename, f"is damaged ({short(error)})")
    if written != info.file_size:
        refuse_entry(source, info.orig_filename, "lies about its size")
    return written


@contextmanager
def _parents(target: Path) -> Iterator[None]:
    """Make the folders above; those that were made go again if what follows fails."""
    missing = [folder for folder in target.absolute().parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a fresh folder beside the target, which takes the target's name if all goes well."""
    partial = target.with_name(target.name + ".partial")
    _clear(partial)
    partial.mkdir()
    try:
        with (partial / STARTED).open("xb") as held:
            _lock(held, partial)
            yield partial
        (partial / STARTED).unlink()
        if target.is_dir():
            target.rmdir()  # it is empty
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _clear(partial: Path) -> None:
    """Remove what an interrupted unpacking left; never what someone else put there."""
    if not partial.exists() and not partial.is_symlink():
        return
    ours = partial.is_dir() and not partial.is_symlink()
    names = {path.name for path in partial.iterdir()} if ours else set()
    if not ours or (names and not names & {STARTED, MARKER}):
        raise DataError(f"{shown(str(partial))} is in the way; move it or name another folder")
    if STARTED in names:
        with (partial / STARTED).open("r+b") as held:
            _lock(held, partial)
    shutil.rmtree(partial)


def _lock(held: BinaryIO, partial: Path) -> None:
    """Hold a partial folder as long as the file is open, where the system can."""
    if fcntl is None:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        name = shown(str(partial))
        raise AdaferError(f"another process is unpacking into {name}; wait for it") from None
    except OSError:  # a network file system without locks
        return


def _unwritten(source: Path, target: Path, error: OSError) -> AdaferError:
    why = error.strerror or type(error).__name__
    if error.filename == str(source):
        return DataError(f"{shown(str(source))} cannot be read ({why}); correct its permissions")
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    way_out = "free space or name a folder on another disk" if full else "name another folder"
    sentence = f"cannot unpack {shown(str(source))} into {shown(str(target))} ({why}); {way_out}"
    return MachineError(sentence)
