"""FER+: the faces of FER2013 with ten votes each, as Microsoft's tools write them.

Legend: N faces, C classes, here eight.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults, rows
from adafer.data.files import OutsideRoot, Roots, SplitMissing, refuse_missing
from adafer.data.listing import Listing, Picture
from adafer.image import printable
from adafer.labels import FERPLUS_ORDER
from adafer.settings.data import DataSettings

FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
VOTES = "label.csv"
_VOTES = 10  # annotators of each face
_COLUMNS = 2 + len(FERPLUS_ORDER) + 2  # name, box, votes for the emotions, unknown, not a face


def found(root: Path) -> bool:
    """Whether a folder of FER+ with its label.csv is here."""
    return any((root / folder / VOTES).is_file() for folder in FOLDERS.values())


def read(root: Path, split: str, settings: DataSettings) -> Listing:
    """FER+, one folder a split with label.csv: name, box, then ten votes, without a header.

    Source: https://github.com/microsoft/FERPlus; images from FER2013. Licence: votes MIT; images
    for research. Class order of the votes: neutral, happiness, surprise, sadness, anger, disgust,
    fear, contempt, unknown, not a face. Paper: Barsoum et al. 2016, arXiv:1608.01041.
    Counts: 28,558 / 3,579 / 3,573 rows; a vote of 1 counts as 0, then the rule `majority` (the
    winner holds more than half of what is left, unknown and not-a-face included) keeps 25,045 /
    3,191 / 3,137. Validation and test always follow that rule. Train follows it too, or with
    `train_labels` "votes" keeps each face with a vote left for an emotion, labelled by the most.
    """
    folder = root / FOLDERS[split]
    table = folder / VOTES
    if not table.is_file():
        raise SplitMissing(
            f"no {table.relative_to(root)} in {root}; fetch it from microsoft/FERPlus"
        )
    roots = Roots([folder], [root, *map(Path, settings.roots)])
    names, paths, counted, left_out = _rows(table, roots, settings.max_bad)
    listing = labelled(names, paths, counted, split, rule_of(split, settings), VOTES)
    return replace(listing, left_out=(*listing.left_out, *left_out))


def labelled(
    names: Sequence[str],
    pictures: Sequence[Picture],
    counted: NDArray[np.int64],
    split: str,
    rule: str,
    source: str,
) -> Listing:
    """Label faces by their votes (N, 10), by the FER+ protocol; `source` is the file of votes.

    `rule` is `majority` or `votes`. Under `votes`, outside of train, the shares hold single votes
    too, and the attribute `clear` says which faces have a majority.
    """
    odd = int((counted.sum(1) != _VOTES).sum())
    every_vote = counted[:, : len(FERPLUS_ORDER)]  # (N, C)
    counted = np.where(counted <= 1, 0, counted)  # (N, 10)
    emotions = counted[:, : len(FERPLUS_ORDER)]  # (N, C)
    voted = rule == "votes"
    clear, reasons = _majority(counted)
    keep = emotions.sum(1) > 0 if voted else clear
    if voted:
        reasons = Counter({"no vote for an emotion": int((~keep).sum())})
    kept = np.flatnonzero(keep).tolist()
    compared = voted and split != "train"
    # How far people disagree is told by all their votes, what a face is called by the protocol's.
    told = (every_vote if compared else emotions)[kept]
    shares = told / told.sum(1, keepdims=True)
    return Listing(
        layout="ferplus",
        split=split,
        class_names=FERPLUS_ORDER,
        ids=tuple(printable(names[i]) for i in kept),
        labels=emotions[kept].argmax(1).astype(np.int64),
        votes=shares.astype(np.float32),
        pictures=tuple(pictures[i] for i in kept),
        attributes={"clear": tuple("yes" if clear[i] else "no" for i in kept)} if compared else {},
        left_out=tuple((reason, count) for reason, count in reasons.items() if count),
        notes=(_protocol(split, voted, source), *_odd(odd, split)),
    )


def rule_of(split: str, settings: DataSettings) -> str:
    """Which faces of a split are listed: `majority` or `votes`."""
    return settings.train_labels if split == "train" else settings.evaluation_faces


def _odd(count: int, split: str) -> tuple[str, ...]:
    if not count:
        return ()
    faces = "1 face" if count == 1 else f"{count:,} faces"
    return (
        f"{faces} of {split} without {_VOTES} votes in all; their shares are taken all the same",
    )


def _protocol(split: str, voted: bool, source: str) -> str:
    """Say which rule made these labels; without it a FER+ figure means nothing."""
    rule = (
        "every face with a vote left for an emotion, its target the share of votes"
        if voted
        else "faces whose winner holds more than half of the votes left"
    )
    return f"FER+ protocol, {split}: votes of {source}, a vote of 1 counts as 0; {rule}"


def _majority(counted: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Counter[str]]:
    """Which rows of votes (N, 10) have a clear emotion, and why the others have none."""
    winner, total = counted.argmax(1), counted.sum(1)
    clear = counted.max(1) > total / 2
    unknown = len(FERPLUS_ORDER)
    reasons = {
        "no votes left": total == 0,
        "no majority": (total > 0) & ~clear,
        "majority says unknown": clear & (winner == unknown),
        "majority says not a face": clear & (winner == unknown + 1),
    }
    keep = clear & (winner < unknown)
    return keep, Counter({reason: int(mask.sum()) for reason, mask in reasons.items()})


def _rows(
    table: Path, roots: Roots, max_bad: float
) -> tuple[list[str], list[Path], NDArray[np.int64], tuple[tuple[str, int], ...]]:
    """Names, paths and votes (N, 10) of all rows with a picture, and why the others have none."""
    names: list[str] = []
    paths: list[Path] = []
    counted: list[list[int]] = []
    missing: list[str] = []
    nameless, faults, seen = 0, Faults(table), set[str]()
    for line, fields in rows(table):
        if len(fields) != _COLUMNS:
            reason = f"{len(fields)} fields instead of {_COLUMNS}: name, box and ten votes"
            faults.add(line, reason)
            continue
        counts, name = votes(line, fields[2:], faults), fields[0].strip()
        if counts is None:
            continue
        if not name:
            nameless += 1
            continue
        if name in seen:
            faults.add(line, f"{printable(name)!r} stands twice")
            continue
        seen.add(name)
        try:
            path = roots.find(name)
        except OutsideRoot:
            faults.add(line, f"{printable(name)!r} is outside the data root")
            continue
        if path is None:
            missing.append(name)
            continue
        names.append(name)
        paths.append(path)
        counted.append(counts)
    faults.check()
    way_out = "write them with FER+'s generate_training_data.py"
    gone = refuse_missing(table.parent, missing, len(seen), max_bad, way_out)
    blank = (("no image name", nameless),) if nameless else ()
    array = np.array(counted, np.int64).reshape(len(counted), _COLUMNS - 2)
    return names, paths, array, (*blank, *gone)


def votes(line: int, cells: list[str], faults: Faults) -> list[int] | None:
    """Numbers of votes in these cells; None and a fault where one is no number."""
    cells = [cell.strip() for cell in cells]
    wrong = [cell for cell in cells if not (cell.isascii() and cell.isdigit() and len(cell) < 4)]
    if wrong:
        faults.add(line, f"{printable(wrong[0][:20])!r} is no number of votes")
        return None
    return [int(cell) for cell in cells]
