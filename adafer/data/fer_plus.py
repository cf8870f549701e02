"""FER+: the faces of FER2013 with ten votes each, as Microsoft's tools write them.

Legend: N faces, C classes, here eight.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data.csv_rows import Faults, rows
from adafer.data.files import OutsideRoot, Roots, SplitMissing, some
from adafer.data.listing import Listing
from adafer.errors import DataError
from adafer.image import printable
from adafer.labels import FERPLUS_ORDER
from adafer.settings.data import DataSettings

FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_COLUMNS = 2 + len(FERPLUS_ORDER) + 2  # name, box, votes for the emotions, unknown, not a face


def found(root: Path) -> bool:
    """Whether a folder of FER+ with its label.csv is here."""
    return any((root / folder / "label.csv").is_file() for folder in FOLDERS.values())


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
    table = folder / "label.csv"
    if not table.is_file():
        raise SplitMissing(
            f"no {table.relative_to(root)} in {root}; fetch it from microsoft/FERPlus"
        )
    names, paths, counted, nameless = _rows(
        table, Roots([folder], [root, *map(Path, settings.roots)])
    )
    counted = np.where(counted <= 1, 0, counted)  # (N, 10)
    emotions = counted[:, : len(FERPLUS_ORDER)]  # (N, C)
    voted = split == "train" and settings.train_labels == "votes"
    if voted:
        keep = emotions.sum(1) > 0
        reasons = Counter({"no vote for an emotion": int((~keep).sum())})
    else:
        keep, reasons = _majority(counted)
    reasons["no image name"] = nameless
    kept = np.flatnonzero(keep)
    shares = emotions[kept] / emotions[kept].sum(1, keepdims=True)
    return Listing(
        layout="ferplus",
        split=split,
        class_names=FERPLUS_ORDER,
        ids=tuple(printable(names[i]) for i in kept),
        labels=emotions[kept].argmax(1).astype(np.int64),
        votes=shares.astype(np.float32),
        pictures=tuple(paths[i] for i in kept),
        left_out=tuple((reason, count) for reason, count in reasons.items() if count),
        notes=(_protocol(split, voted),),
    )


def _protocol(split: str, voted: bool) -> str:
    """Say which rule made these labels; without it a FER+ figure means nothing."""
    rule = (
        "every face with a vote left for an emotion, its target the share of votes"
        if voted
        else "faces whose winner holds more than half of the votes left"
    )
    return f"FER+ protocol, {split}: votes of label.csv, a vote of 1 counts as 0; {rule}"


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


def _rows(table: Path, roots: Roots) -> tuple[list[str], list[Path], NDArray[np.int64], int]:
    """Names, paths and votes (N, 10) of all rows with a name, and the number of rows without."""
    names: list[str] = []
    paths: list[Path] = []
    votes: list[list[int]] = []
    missing: list[str] = []
    nameless, faults, seen = 0, Faults(table), set[str]()
    for line, fields in rows(table):
        counts = _votes(line, fields, faults)
        name = fields[0].strip()
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
        votes.append(counts)
    faults.check()
    if missing:
        raise DataError(
            f"{table.parent}: {len(missing):,} of {len(seen):,} images are missing "
            f"({some(missing, len(missing))}); write them with FER+'s generate_training_data.py"
        )
    return names, paths, np.array(votes, np.int64).reshape(len(votes), -1), nameless


def _votes(line: int, fields: list[str], faults: Faults) -> list[int] | None:
    if len(fields) != _COLUMNS:
        faults.add(line, f"{len(fields)} fields instead of {_COLUMNS}: name, box and ten votes")
        return None
    cells = [cell.strip() for cell in fields[2:]]
    wrong = [cell for cell in cells if not (cell.isascii() and cell.isdigit() and len(cell) < 4)]
    if wrong:
        faults.add(line, f"{printable(wrong[0][:20])!r} is no number of votes")
        return None
    return [int(cell) for cell in cells]
