"""The pixels of faces, in memory or in a file where memory has no room for them.

Legend: N faces, S side in pixels, K channels (1 for grey, 3 for colour).
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from adafer.errors import MachineError

Cache = Literal["auto", "memory", "disk"]
"""Where faces are kept: in memory, in a temporary file, or whichever has room."""

SHARE = 0.5
"""Largest share of the free memory that one split may take before it goes into a file."""
SLACK = 2**28
"""Bytes that are left free on the disk."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


class Pixels:
    """Faces (N, S, S, K), or some rows of them, of which only what is asked for is copied."""

    def __init__(self, held: NDArray[np.uint8], rows: NDArray[np.intp] | None = None) -> None:
        self._held = held
        self._rows = np.arange(len(held)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: int | slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        """One face (S, S, K), or the faces of a slice or of some places (n, S, S, K)."""
        return np.asarray(self._held[self._rows[key]])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (np.asarray(self._held[row]) for row in self._rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them in memory."""
        return np.asarray(self._held[self._rows], dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """N, S, S and K."""
        return (len(self), *self._held.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return int(np.prod(self.shape))

    @property
    def on_disk(self) -> bool:
        """Whether they are kept in a file."""
        return isinstance(self._held, np.memmap)

    def take(self, places: NDArray[np.intp] | list[int]) -> "Pixels":
        """Return the faces at these places; nothing is copied."""
        return Pixels(self._held, self._rows[np.asarray(places, np.intp)])


def reserved(count: int, side: int, channels: int, cache: Cache = "auto") -> NDArray[np.uint8]:
    """Return room for faces (N, S, S, K), all zero.

    A file has no name, so that it goes with the process, however that ends.

    Raises:
        MachineError: no room.
    """
    shape = (count, side, side, channels)
    need = int(np.prod(shape))
    if cache == "memory" or (cache == "auto" and need <= SHARE * free_memory()):
        try:
            return np.zeros(shape, np.uint8)
        except MemoryError:
            raise MachineError(_no_room(count, side, need)) from None
    folder = Path(tempfile.gettempdir())
    if shutil.disk_usage(folder).free < need + SLACK:
        raise MachineError(_no_room(count, side, need))
    with tempfile.TemporaryFile(prefix="adafer-faces-") as file:
        try:
            _allocate(file.fileno(), max(1, need))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise MachineError(_no_room(count, side, need)) from None
        return np.memmap(file, np.uint8, "r+", shape=shape)


def digest(face: NDArray[np.uint8]) -> bytes:
    """Sixteen bytes that stand for a face: the pixels of a large set would not fit twice."""
    return hashlib.blake2b(np.ascontiguousarray(face).data, digest_size=16).digest()


def free_memory() -> int:
    """Bytes of memory that are free for this process, in a container and beside its like too."""
    free = int(psutil.virtual_memory().available)
    for limit, used in zip(_LIMITS, _USED, strict=True):
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        free = min(free, max(0, left))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _allocate(descriptor: int, size: int) -> None:
    """Take the room now: on a disk that fills up later, writing would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _no_room(count: int, side: int, need: int) -> str:
    folder = tempfile.gettempdir()
    memory, disk = free_memory() / 1e9, shutil.disk_usage(folder).free / 1e9
    return (
        f"{count:,} faces of {side} pixels need {need / 1e9:.1f} GB, and {memory:.1f} GB of memory "
        f"and {disk:.1f} GB of '{folder}' are free; use a smaller --img-size or fewer faces, or "
        "let TMPDIR name a larger disk"
    )
