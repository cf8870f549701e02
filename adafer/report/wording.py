"""Numbers and lists as a person writes them."""

from collections.abc import Sequence

NOTHING = "–"
SPLITS = {"train": "training", "val": "validation", "test": "test"}


def percent(value: float | None, digits: int = 1) -> str:
    """Share as percent that no line end tears apart: 0.784 is '78.4 %'."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 2) -> str:
    """Fixed decimals, or a dash where there is nothing."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def signed(value: float | None) -> str:
    """Correlation with its sign and a true minus."""
    return NOTHING if value is None else f"{value:+.2f}".replace("-", "−")


def count(value: int, thing: str = "", things: str = "") -> str:
    """Whole number with its noun: '1 face', '1,203 faces'."""
    if not thing:
        return f"{value:,}"
    return f"{value:,} {thing if value == 1 else things or thing + 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names as 'a, b and c'; beyond `most` the rest is counted."""
    shown = list(names) if len(names) <= most else [*names[: most - 1]]
    if len(names) > most:
        shown.append(f"{len(names) - len(shown)} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def opening(words: str) -> str:
    """Words with a capital at the start and the rest as it is."""
    return words[:1].upper() + words[1:]


def duration(seconds: float) -> str:
    """Time as '42.0 s', '3 min 20 s' or '2 h 05 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
