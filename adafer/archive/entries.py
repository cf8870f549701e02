"""Which entries of an archive may be written: their names, kinds and sizes."""

import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adafer.archive.refusal import AGAIN, UNLESS_TRUSTED, gb, refuse, refuse_entry, shown

MARKER = ".adafer-archive.json"
"""File in an unpacked folder that says which archive it came from."""

STARTED = ".adafer-unpacking"
"""File in a partial folder: what lies there is ours to remove."""

SECRET = 0x1 | 0x40 | 0x2000
"""Flags of an entry that needs a password: encrypted, strongly so, with hidden headers."""

_SMALL = 1_000_000  # bytes; below it a high ratio is a plain picture, not a bomb
_LONGEST_PART, _LONGEST_NAME = 255, 1024  # bytes of UTF-8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_REPARSE_POINT = 0x400  # attribute of a Windows link
_ELSEWHERE = re.compile(r"^([A-Za-z]:|/)")
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])$", re.I)
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may hold; more is refused before anything is written."""

    total_bytes: int = 20_000_000_000
    entry_bytes: int = 2_000_000_000
    entries: int = 2_000_000
    ratio: float = 200.0  # bytes unpacked for a byte packed; pictures are near 1


@dataclass(frozen=True)
class Item:
    """An entry that may be written."""

    parts: tuple[str, ...]
    is_folder: bool
    info: zipfile.ZipInfo


def safe_entries(source: Path, opened: zipfile.ZipFile, limits: Limits) -> list[Item]:
    """Entries that are safe to write, all of them, or a DataError on the first that is not."""
    infos = opened.infolist()
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if total > limits.total_bytes:
        refuse(source, f"unpacks to {gb(total)}, limit {gb(limits.total_bytes)}", UNLESS_TRUSTED)
    _check_ratio(source, "unpacks", total, packed, limits)
    spelled: dict[str, str] = {}
    files, folders = set[str](), set[str]()
    items = []
    for info in infos:
        reason = _objection(info, limits)
        if reason is not None:
            refuse_entry(source, info.orig_filename, reason)
        _check_ratio(
            source, f"unpacks {shown(info.orig_filename)}", info.file_size, info.compress_size,
            limits,
        )  # fmt: skip
        is_folder = info.orig_filename.endswith("/")
        parts = tuple(info.orig_filename.rstrip("/").split("/"))
        reason = _clash(parts, is_folder, spelled, files, folders)
        if reason is not None:
            refuse_entry(source, info.orig_filename, reason)
        items.append(Item(parts, is_folder, info))
    if not files:
        refuse(source, "holds no files", AGAIN)
    return items


def _check_ratio(source: Path, what: str, size: int, packed: int, limits: Limits) -> None:
    if size > _SMALL and size > limits.ratio * packed:
        ratio = size / max(packed, 1)
        refuse(
            source, f"{what} to {ratio:,.0f} times its size, limit {limits.ratio:g}", UNLESS_TRUSTED
        )


def _objection(info: zipfile.ZipInfo, limits: Limits) -> str | None:
    """Why an entry may not be written whatever the others are, or None."""
    mode = info.external_attr >> 16
    is_folder = info.orig_filename.endswith("/")
    kind = _KINDS.get(stat.S_IFMT(mode)) or _linked(info.extra)
    if kind or (info.create_system in (0, 10) and info.external_attr & _REPARSE_POINT):
        return f"is {kind or 'a symbolic link'}"
    reason = _bad_name(info.orig_filename)
    if reason is not None:
        return reason
    if is_folder != stat.S_ISDIR(mode) and stat.S_IFMT(mode):
        return "is a file and a folder at once"
    if info.flag_bits & SECRET:
        return "is protected by a password"
    if info.volume:
        return "lies in another part of a split archive"
    if info.compress_type not in _METHODS:
        return "is packed by a method other than stored or deflated"
    if info.file_size > limits.entry_bytes:
        return f"has {gb(info.file_size)}, limit {gb(limits.entry_bytes)}"
    stored = info.compress_type == zipfile.ZIP_STORED
    if (stored and info.file_size != info.compress_size) or (is_folder and info.file_size):
        return "lies about its size"
    return None


def _bad_name(name: str) -> str | None:
    """Why a name is not safe on every system, or None."""
    if _ELSEWHERE.match(name) or "\\" in name:
        return "is a path that leads elsewhere"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a control character in its name"
    for part in name.removesuffix("/").split("/"):
        if part in ("", ".", ".."):
            return "is a path that leads elsewhere"
        if ":" in part or part[-1] in ". " or _RESERVED.match(part.partition(".")[0].rstrip()):
            return "has a name that means something else on Windows"
        if len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART:
            return "has a name that is too long"
    if len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
        return "has a name that is too long"
    return "has a reserved name" if name.partition("/")[0] in (MARKER, STARTED) else None


def _linked(extra: bytes) -> str | None:
    """What an extra field of Unix makes of an entry: a link or a device, or None."""
    while len(extra) >= 4:
        number, length = struct.unpack("<2H", extra[:4])
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if number == 0x000D and len(content) > 12:  # PKWARE: times and owners, then a link's target
            return "a link"
        if number == 0x756E and len(content) >= 6:  # ASi: checksum, then the mode
            kind = _KINDS.get(stat.S_IFMT(struct.unpack("<H", content[4:6])[0]))
            if kind is not None:
                return kind
    return None


def _clash(
    parts: Sequence[str],
    is_folder: bool,
    spelled: dict[str, str],
    files: set[str],
    folders: set[str],
) -> str | None:
    """Whether a path, or a folder above it, is another one where case does not count."""
    path = ""
    for depth, part in enumerate(parts, 1):
        path = f"{path}/{part}" if path else part
        key = unicodedata.normalize("NFC", path).casefold()
        is_file = depth == len(parts) and not is_folder
        known = spelled.setdefault(key, path)
        if known != path:
            return f"differs from {shown(known)} in case or accents only"
        if key in files or (is_file and key in folders):
            return "stands there twice"
        (files if is_file else folders).add(key)
    return None
