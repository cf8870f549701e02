"""Zip archives built byte by byte, so that every field can lie (APPNOTE.TXT 6.3, 4.3)."""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adafer.archive import MARKER, Limits, extract_dataset
from adafer.errors import DataError

UNIX = 3
REGULAR, FOLDER, LINK, CHARACTER, BLOCK, PIPE = 0o10, 0o4, 0o12, 0o2, 0o6, 0o1


@dataclass
class Entry:
    """One file; what is None is told truly."""

    name: bytes | str = "a.txt"
    data: bytes = b"face"
    deflate: bool = False
    method: int | None = None
    flags: int = 0x800
    kind: int = REGULAR
    system: int = UNIX
    attributes: int | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    offset: int | None = None
    disk: int = 0
    central: bytes = field(default=b"", repr=False)

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name


def built(
    entries: list[Entry],
    *,
    count: int | None = None,
    list_offset: int | None = None,
    list_size: int | None = None,
    disk: int = 0,
    comment: bytes = b"",
    zip64: dict[str, int] | None = None,
    before: bytes = b"",
) -> bytes:
    """Bytes of an archive; `zip64` adds such an end record, whose fields it may change."""
    body, listed = bytearray(before), bytearray()
    for entry in entries:
        packed = entry.data
        if entry.deflate:
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = squeeze.compress(entry.data) + squeeze.flush()
        method = entry.method if entry.method is not None else (8 if entry.deflate else 0)
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        facts = struct.pack("<HHHHHLLL", 20, entry.flags, method, 0, 0x21, crc, packed_size, size)
        offset = len(body) if entry.offset is None else entry.offset
        local = entry.raw_name if entry.local_name is None else entry.local_name
        if entry.offset is None:
            body += b"PK\3\4" + facts + struct.pack("<HH", len(local), 0) + local + packed
        mode = (entry.kind << 12 | 0o644) << 16
        attributes = mode if entry.attributes is None else entry.attributes
        lengths = struct.pack("<HHH", len(entry.raw_name), len(entry.extra), 0)
        places = struct.pack("<HHLL", entry.disk, 0, attributes, offset)
        made_by = struct.pack("<H", entry.system << 8 | 20)
        listed += b"PK\1\2" + made_by + facts + lengths + places + entry.raw_name + entry.extra
    number = len(entries) if count is None else count
    start = len(body) if list_offset is None else list_offset
    length = len(listed) if list_size is None else list_size
    end = body + listed
    if zip64 is not None:
        told = {"disk": 0, "count": number, "size": length, "start": start, "place": len(end)}
        told |= {"record": 44} | zip64
        end += b"PK\6\6" + struct.pack(
            "<QHHLLQQQQ", told["record"], 45, 45, told["disk"], 0, told["count"],
            told["count"], told["size"], told["start"],
        )  # fmt: skip
        end += b"PK\6\7" + struct.pack("<LQL", 0, told["place"], 1)
        number, length, start = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    return bytes(
        end
        + b"PK\5\6"
        + struct.pack("<HHHHLLH", disk, disk, number, number, length, start, len(comment))
        + comment
    )


def written(path: Path, entries: list[Entry], **changes: object) -> Path:
    """Write such an archive."""
    path.write_bytes(built(entries, **changes))  # type: ignore[arg-type]
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def refused(place: Path, archive: Path, match: str, limits: Limits | None = None) -> str:
    """The one sentence of the refusal, after which there is nothing new in the folder."""
    before = sorted(place.rglob("*"))
    with pytest.raises(DataError, match=match) as caught:
        extract_dataset(archive, place / "new/out", limits=limits)
    assert sorted(place.rglob("*")) == before
    assert (place / "canary").read_text() == "sings"
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "; " in sentence  # the way out
    return sentence
