"""How an archive is refused: one sentence with the way out."""

from pathlib import Path
from typing import NoReturn

from adafer.errors import DataError

UNLESS_TRUSTED = "unpack it yourself if you trust it, or raise `limits` in Python"
"""What to do with an archive that is larger than the limits."""

AGAIN = "fetch it again"
"""What to do with a damaged archive."""


def refuse(source: Path, reason: str, way_out: str) -> NoReturn:
    """Raise the DataError of a whole archive."""
    raise DataError(f"{shown(str(source))} {reason}; {way_out}") from None


def refuse_entry(source: Path, name: str, reason: str) -> NoReturn:
    """Raise the DataError of one entry; the archive is refused as a whole."""
    refuse(source, f"is not unpacked: {shown(name)} {reason}", "pack the files again without it")


def shown(name: str) -> str:
    """Quote a name on one line, cut where it is long; undecodable bytes are escaped."""
    text = ascii(name) if not name.isprintable() else f"'{name}'"
    return text if len(text) <= 200 else f"{text[:197]}...'"


def short(error: Exception) -> str:
    """Return the first words of an error."""
    return str(error).partition("\n")[0][:80] or type(error).__name__


def gb(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / 1e9:.1f} GB" if size >= 50_000_000 else f"{size / 1e6:.1f} MB"
