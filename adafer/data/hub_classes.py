"""Classes of a hub data set: under the names that `--map` gives, then as emotions if they are.

Legend: C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from adafer.data.class_names import Classes, Order, classes_of
from adafer.data.files import some
from adafer.errors import DataError, WordsError
from adafer.image import printable
from adafer.labels import ALIASES, EMOTIONS, emotion_of

DROP = "drop"
"""What a class is mapped to whose faces are left out."""

_FLAG_PAIRS = 8  # classes that a proposed --map names


def read_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Map each class of `NAME=EMOTION` to its new name; raises WordsError."""
    meant: dict[str, str] = {}
    for pair in pairs:
        name, sign, target = (part.strip() for part in pair.rpartition("="))
        if not (name and sign and target):
            raise WordsError(
                f"--map takes NAME=EMOTION,..., not {printable(pair)!r}; such as --map "
                "joy=happiness,unknown=drop"
            )
        if meant.setdefault(name.casefold(), target) != target:
            raise WordsError(f"--map names {printable(name)!r} twice; give it one name")
    return meant


def renamed(word: str, pairs: Mapping[str, str]) -> str | None:
    """Name of a class after `--map`, or None where its faces are left out.

    With a map, other words for an emotion become that emotion, so that classes can be joined.
    """
    target = pairs.get(word.strip().casefold(), word)
    if target == DROP and target != word:
        return None
    return (emotion_of(target) or target) if pairs else target


def hub_classes(
    order: Sequence[str],
    pairs: Mapping[str, str],
    label_map: Sequence[str] | None,
    label_order: Order,
    place: str,
    declared: Sequence[str] = (),
) -> Classes:
    """Classes of train, whose labels are given in their order; `declared` are all of the set.

    Names that are all emotions stand in the project's order; names of which none is an emotion stay
    as they are.

    Raises:
        DataError: some of the names are emotions and others are not, with a `--map` for these.
        WordsError: a `--map` that leaves out every class.
    """
    named = [new for word in order if (new := renamed(word, pairs)) is not None]
    if order and not named:
        raise WordsError("--map drops every class; keep at least two")
    kept = {target.casefold() for target in pairs.values()}
    unknown = [word for word in named if not emotion_of(word) and word.casefold() not in kept]
    if label_map is None and unknown and any(map(emotion_of, named)):
        shown = some(unknown, len(unknown), _FLAG_PAIRS)
        are = "is no basic emotion" if len(unknown) == 1 else "are no basic emotions"
        raise DataError(
            f"{place}: {shown} {are}, while other classes are; say what each means with --map "
            f"{_proposed(unknown)}, where NAME=drop leaves faces out and NAME=NAME keeps a name"
        )
    classes = classes_of(named, label_map, label_order)
    there = {word.casefold() for word in (*order, *declared)}
    lost = [name for name in pairs if name not in there]
    if not lost:
        return classes
    note = f"--map names {some(lost, len(lost))}, which is no class here"
    return Classes(names=classes.names, positions=classes.positions, notes=(*classes.notes, note))


def _proposed(unknown: Sequence[str]) -> str:
    """A `--map` for these names: what each resembles, else that its faces are left out."""
    spellings = {word: e for e in EMOTIONS for word in (e, *ALIASES[e])}
    pairs = []
    for word in unknown[:_FLAG_PAIRS]:
        near = get_close_matches(word.strip().lower(), spellings, 1, 0.75)
        pairs.append(f"{printable(word)}={spellings[near[0]] if near else DROP}")
    proposed = ",".join(pairs)
    return f"'{proposed}'" if " " in proposed else proposed
