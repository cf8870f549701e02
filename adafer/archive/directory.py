"""Where the list of an archive's entries is, and whether the archive says the same everywhere.

Zip as in APPNOTE.TXT 6.3, sections 4.3 and 4.5. Nothing is unpacked here.
"""

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adafer.archive.entries import SECRET, Limits
from adafer.archive.refusal import AGAIN, UNLESS_TRUSTED, refuse, refuse_entry, short

DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    UnicodeDecodeError, ValueError, OverflowError,
)  # fmt: skip
"""What reading a damaged archive raises."""

_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_END64, _LOCATOR64 = b"PK\6\6", b"PK\6\7"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Directory:
    """Where the list of entries stands in the archive, in bytes from its start."""

    start: int
    size: int
    entries: int


def find_directory(source: Path, file: BinaryIO, limits: Limits) -> Directory:
    """Find the list of entries, make sure that it is where it says, and count it in passing."""
    size = size_of(file)
    tail_start = max(size - 22 - 0xFFFF, 0)
    file.seek(tail_start)
    tail = file.read()
    at = len(tail) - 22 if tail[-22:-18] == _END and tail[-2:] == b"\0\0" else tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        file.seek(0)
        if file.read(4) == _LOCAL:
            refuse(source, "is cut short: its list of files is missing", AGAIN)
        refuse(source, "is no zip archive", "unpack it with its own program and name the folder")
    disk, disk_of_list, here, entries, length, start, comment = struct.unpack(
        "<4H2LH", tail[at + 4 : at + 22]
    )
    if at + 22 + comment != len(tail):
        refuse(source, "has bytes after its end", AGAIN)
    end = tail_start + at
    brief = (disk, disk_of_list, here, entries, length, start)
    record = _zip64_record(source, file, end)
    if record is not None:
        end, long = record
        full = (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2
        if any(a not in (b, most) for a, b, most in zip(brief, long, full, strict=True)):
            refuse(source, "says two different things about its list of files", AGAIN)
        disk, disk_of_list, here, entries, length, start = long
    if disk or disk_of_list or here != entries:
        refuse(source, "is one part of a split archive", "join the parts into one zip")
    if start + length != end:
        refuse(source, "lies about where its list of files is, or is damaged", AGAIN)
    if entries > limits.entries:
        refuse(source, f"holds {entries:,} entries, limit {limits.entries:,}", UNLESS_TRUSTED)
    directory = Directory(start, length, entries)
    _count(source, file, directory)
    return directory


def _zip64_record(
    source: Path, file: BinaryIO, end: int
) -> tuple[int, tuple[int, int, int, int, int, int]] | None:
    """Place and values of the Zip64 end record, which must stand where its locator says."""
    file.seek(max(end - 20, 0))
    locator = file.read(min(end, 20))
    if locator[:4] != _LOCATOR64:
        return None
    disk, place, disks = struct.unpack("<LQL", locator[4:])
    if disk or disks > 1:
        refuse(source, "is one part of a split archive", "join the parts into one zip")
    file.seek(max(end - 76, 0))
    record = file.read(56)
    if place != end - 76 or record[:4] != _END64 or struct.unpack("<Q", record[4:12])[0] != 44:
        refuse(source, "has a Zip64 record elsewhere than it says", AGAIN)
    return place, struct.unpack("<2L4Q", record[16:])


def _count(source: Path, file: BinaryIO, directory: Directory) -> None:
    """Walk the list without keeping it: a lie about its length would fill the memory later."""
    file.seek(directory.start)
    left, entries = directory.size, 0
    while left >= 46 and entries <= directory.entries:
        header = file.read(46)
        if header[:4] != _CENTRAL:
            break
        follows = sum(struct.unpack("<3H", header[28:34]))
        file.seek(follows, io.SEEK_CUR)
        left -= 46 + follows
        entries += 1
    if left or entries != directory.entries:
        refuse(source, "has another list of files than it says", AGAIN)


def opened_zip(source: Path, file: BinaryIO) -> zipfile.ZipFile:
    """Open the archive; raises DataError."""
    try:
        return zipfile.ZipFile(file)
    except DAMAGE as error:
        refuse(source, f"is damaged ({short(error)})", AGAIN)


def check_places(
    source: Path, file: BinaryIO, opened: zipfile.ZipFile, directory: Directory
) -> None:
    """Refuse entries that share bytes, which unpack to more than the archive holds.

    A header before each entry's bytes says once more what the list says; both have to agree.
    """
    infos = sorted(opened.infolist(), key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in infos[1:]), directory.start]
    for info, end in zip(infos, ends, strict=True):
        if info.header_offset + 30 > end:
            refuse_entry(source, info.orig_filename, "shares bytes with another entry")
        file.seek(info.header_offset)
        header = file.read(30)
        flags, method = struct.unpack("<2H", header[6:10])
        name, extra = struct.unpack("<2H", header[26:30])
        same = header[:4] == _LOCAL and method == info.compress_type and not flags & SECRET
        encoding = "utf-8" if flags & 0x800 else "cp437"
        if not same or file.read(name).decode(encoding, "replace") != info.orig_filename:
            refuse_entry(source, info.orig_filename, "is described in two different ways")
        if info.header_offset + 30 + name + extra + info.compress_size > end:
            refuse_entry(source, info.orig_filename, "shares bytes with another entry")


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return file.seek(0, io.SEEK_END)


def digest_of(file: BinaryIO, directory: Directory) -> str:
    """SHA-256 of the list of entries, which holds a checksum of each."""
    file.seek(directory.start)
    digest, left = hashlib.sha256(), directory.size
    while left and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
