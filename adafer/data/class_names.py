"""Which class a label word means, and the order of the classes.

Emotions stand in the project's order. Any other class set keeps its own names, in the order of its
`label_map.json`, else as it comes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adafer.data.files import some
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import (
    AFFECTNET_ORDER,
    EMOTIONS,
    FER2013_ORDER,
    FERPLUS_ORDER,
    RAFDB_ORDER,
    emotion_of,
    in_project_order,
)

Order = Literal["auto", "ferplus", "fer2013", "affectnet"]
"""Whose numbers the classes are."""

ORDERS = {"ferplus": FERPLUS_ORDER, "fer2013": FER2013_ORDER, "affectnet": AFFECTNET_ORDER}
"""Emotions that the numbers from 0 on stand for."""

LABEL_MAP = "label_map.json"
_MAX_BYTES = 1_000_000
_MAX_CLASSES = 10_000


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Names in order, and the position that each label word stands for."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def position(self, word: str) -> int | None:
        """Position of a label word, whatever its case and alias, or None."""
        key = _key(word)
        if key in self.positions:
            return self.positions[key]
        emotion = emotion_of(word)
        is_ours = emotion in self.names and set(self.names) <= set(EMOTIONS)
        return self.names.index(emotion) if is_ours and emotion else None


def classes_of(
    words: Iterable[str],
    label_map: Sequence[str] | None = None,
    label_order: Order = "auto",
) -> Classes:
    """Classes of the label words of train, given in the order in which they should stand."""
    first_spelling: dict[str, str] = {}
    for word in words:
        first_spelling.setdefault(_key(word), word.strip())
    if label_map is not None:
        return _by_map(first_spelling, label_map)
    if first_spelling and all(_is_number(key) for key in first_spelling):
        return _numbered(first_spelling, label_order)
    meant = {key: emotion_of(word) for key, word in first_spelling.items()}
    if all(meant.values()) and len(set(meant.values())) == len(meant):
        return _of_emotions({key: emotion for key, emotion in meant.items() if emotion})
    names = tuple(first_spelling.values())
    note = f"classes are not the basic emotions; their order is {some(names, len(names), 12)}"
    return Classes(names=names, positions=_enumerated(first_spelling), notes=(note,))


def read_label_map(folders: Iterable[Path]) -> tuple[str, ...] | None:
    """Class names of the first `label_map.json` here: a list, name to number or number to name."""
    path = next((f / LABEL_MAP for f in folders if (f / LABEL_MAP).is_file()), None)
    if path is None:
        return None
    way_out = 'write it as {"first class": 0, "second class": 1}'
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{printable(str(path))} is larger than 1 MB; {way_out}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise DataError(f"{printable(str(path))} is not JSON; {way_out}") from None
    names = _names_in(content)
    if names is None or len({_key(name) for name in names}) < len(names):
        raise DataError(
            f"{printable(str(path))} does not number different classes from 0 on; {way_out}"
        )
    return names


def _names_in(content: object) -> tuple[str, ...] | None:
    if isinstance(content, dict):
        pairs = list(content.items())
        if all(type(value) is int for _, value in pairs):
            by_number = {value: name for name, value in pairs}
        elif all(_is_number(name) for name, _ in pairs):
            by_number = {int(name): value for name, value in pairs}
        else:
            return None
        if sorted(by_number) != list(range(len(pairs))):
            return None
        content = [by_number[number] for number in range(len(pairs))]
    if not isinstance(content, list) or not 0 < len(content) <= _MAX_CLASSES:
        return None
    names = [name.strip() for name in content if isinstance(name, str) and name.strip()]
    return tuple(names) if len(names) == len(content) else None


def _by_map(first_spelling: Mapping[str, str], names: Sequence[str]) -> Classes:
    positions = {str(number): number for number in range(len(names))}
    positions |= {_key(name): number for number, name in enumerate(names)}
    unknown = [word for key, word in first_spelling.items() if key not in positions]
    if unknown:
        raise DataError(
            f"{LABEL_MAP} does not have the class {some(unknown, len(unknown))}; add it there"
        )
    emotions = [emotion_of(name) for name in names]
    if all(emotions) and len(set(emotions)) == len(names):
        meant = {key: emotions[number] for key, number in positions.items()}
        return _of_emotions({key: emotion for key, emotion in meant.items() if emotion})
    return Classes(names=tuple(names), positions=positions)


def _numbered(first_spelling: Mapping[str, str], label_order: Order) -> Classes:
    if label_order != "auto":
        meant = {str(number): emotion for number, emotion in enumerate(ORDERS[label_order])}
        return _of_emotions({n: emotion for n, emotion in meant.items() if n in first_spelling})
    if set(first_spelling) == {str(number) for number in range(1, 8)}:
        note = (
            "classes 1-7 are read as RAF-DB's: "
            + ", ".join(f"{n} {emotion}" for n, emotion in enumerate(RAFDB_ORDER, 1))
            + f"; a {LABEL_MAP} beside them says otherwise"
        )
        return _of_emotions({str(n): e for n, e in enumerate(RAFDB_ORDER, 1)}, note)
    keys = sorted(first_spelling, key=int)
    note = f"classes are numbers; name them in {LABEL_MAP}, such as {{{keys[0]!r}: 'anger', ...}}"
    if set(first_spelling) <= {str(number) for number in range(8)}:
        note += ", or say whose order they have with --label-order fer2013|ferplus|affectnet"
    return Classes(names=tuple(keys), positions=_enumerated(keys), notes=(note,))


def _of_emotions(meant: Mapping[str, str], *notes: str) -> Classes:
    names = in_project_order(set(meant.values()))
    positions = {key: names.index(emotion) for key, emotion in meant.items()}
    return Classes(names=names, positions=positions, notes=notes)


def _enumerated(keys: Iterable[str]) -> dict[str, int]:
    return {key: number for number, key in enumerate(keys)}


def _key(word: str) -> str:
    word = word.strip().casefold()
    return str(int(word)) if _is_number(word) else word


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10
