"""One process in a run folder at a time."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adafer.errors import AdaferError

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder; the system gives it free when the process ends, however it ends.

    Where the file system knows no flock, a file that only its maker may remove takes its place,
    and one that a dead process of this host left behind is taken over.

    Raises:
        AdaferError: another process holds it, with host, process number and time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    descriptor = _flock(path)
    if descriptor is None:
        path = path.with_name(LOCK_NAME + "-held")
        _create(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
        return
    held = [descriptor]

    def let_go() -> None:
        while held:
            os.close(held.pop())

    # A forked loader would otherwise hold the lock on after its parent's death.
    os.register_at_fork(after_in_child=let_go)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _owner())
        yield
    finally:
        let_go()


def _flock(path: Path) -> int | None:
    """Descriptor of the locked file, or None where locks of this kind do not exist."""
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _read(path)
        os.close(descriptor)
        raise AdaferError(_held(path, owner)) from None
    except OSError:  # ENOLCK, ENOTSUP: a network file system without flock
        os.close(descriptor)
        return None
    return descriptor


def _create(path: Path, attempts: int = 3) -> None:
    for _ in range(attempts):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            owner = _read(path)
            if not _is_dead(owner):
                raise AdaferError(_held(path, owner)) from None
            _remove_stale(path, owner)
            continue
        os.write(descriptor, _owner())
        os.close(descriptor)
        return
    raise AdaferError(_held(path, _read(path)))


def _remove_stale(path: Path, owner: dict[str, Any]) -> None:
    """Move the lock away first, and put it back if another process was quicker to renew it."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return
    if _read(aside) != owner:
        os.replace(aside, path)
        raise AdaferError(_held(path, _read(path)))
    aside.unlink()


def _owner() -> bytes:
    started = time.strftime("%Y-%m-%d %H:%M:%S %z")
    facts = {"host": socket.gethostname(), "pid": os.getpid(), "started": started}
    return json.dumps(facts).encode()


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):  # just being written, or already gone
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Whether the owner ran on this host and runs no more."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _held(path: Path, owner: dict[str, Any]) -> str:
    who = (
        f"process {owner['pid']} on {owner['host']} since {owner['started']}"
        if {"pid", "host", "started"} <= owner.keys()
        else "another process"
    )
    return (
        f"{path.parent} is in use by {who}; wait until it ends, take another --name, or, if that "
        f"process ran on another machine and is gone, remove {path.name} there"
    )
