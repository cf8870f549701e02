"""`adafer data check`: is a data set complete, sound, and free of copies across its splits?

Legend: N faces of all splits, in the order train, val, test.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adafer.data import DataSource, open_data
from adafer.data.check import Seen, count_copies, look, split_facts
from adafer.data.duplicates import KINDS, Duplicates, find_duplicates
from adafer.data.files import SplitMissing
from adafer.data.findings import DataCheck, find_faults
from adafer.data.listing import Listing
from adafer.data.published import counted_by, published
from adafer.errors import WordsError
from adafer.plain_values import finite
from adafer.predictions_file import as_text, csv_bytes, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.report.data_check import console_table, data_check_sections, headline, lead
from adafer.report.page import render_sections
from adafer.report.section import Pair, Pairs, Sheet
from adafer.report.sheet import Row, as_uri, draw_sheet, side_by_side
from adafer.report.wording import count
from adafer.settings.data import DataSettings

SHOWN = 12
"""Pairs of each kind, and faces of each class, that are shown as pictures."""

DUPLICATES = (
    *("cluster", "kind", "similarity", "first", "first_split", "first_label"),
    *("second", "second_split", "second_label", "same_original"),
)
"""Columns of duplicates.csv."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All faces of a data set in one row, and the copies among them."""

    pixels: NDArray[np.uint8]  # (N, S, S, 1)
    ids: tuple[str, ...]
    splits: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,)
    originals: tuple[bytes, ...]
    class_names: tuple[str, ...]
    found: Duplicates

    def label(self, index: int) -> str:
        """Name of a face's class."""
        return self.class_names[int(self.labels[index])]


def check_data(
    settings: DataSettings,
    *,
    near: bool = True,
    faces: bool = True,
    output: Path | None = None,
    watcher: Watcher | None = None,
) -> DataCheck:
    """Check a data set and write what was found: JSON, two CSV files, a contact sheet and a page.

    Without `faces` no picture of a face is written anywhere. The folder is `output`, or
    data_check/NAME.

    Raises:
        DataError: no data set there, or a split that cannot be listed.
        WordsError: an output folder inside the data.
    """
    watcher = watcher or usual_watcher()
    folder = output or Path("data_check") / plain_name(settings.data)
    refuse_inside(settings.data, folder)
    # Missing pictures are counted here, where a training would stop.
    source = open_data(replace(settings, max_bad=1.0))
    listings = [source.train, source.validation, *_test(source)]
    total = sum(map(len, listings))
    watcher.said(f"{source.layout}: {count(total, 'face')}, looking at every one")
    seen = [look(listing, settings.img_size) for listing in listings]
    if near:
        watcher.said("comparing all faces with each other, to find copies")
    compared = _compare(seen, source.class_names, near)
    splits = tuple(
        split_facts(
            item,
            *_published(item.listing, source.class_names, settings),
        )
        for item in seen
    )
    copies = count_copies(compared.found, compared.splits, compared.labels, compared.originals)
    checked = DataCheck(
        source=settings.data,
        layout=source.layout,
        class_names=source.class_names,
        img_size=settings.img_size,
        max_bad=settings.max_bad,
        near=near,
        splits=splits,
        copies=copies,
        findings=find_faults(splits, copies, max_bad=settings.max_bad, near=near),
    )
    _write(folder, checked, compared, faces)
    watcher.show(console_table(checked.to_json()))
    for finding in checked.findings:
        watcher.said(f"{finding.level}: {finding.words}")
    watcher.said(checked.verdict)
    watcher.said(f"page: {folder / 'data_check.html'}")
    return checked


def refuse_inside(source: str, place: Path) -> None:
    """Refuse to write below the data, where what is written would be read as faces.

    Raises:
        WordsError: if the place is there.
    """
    for part in source.split(","):
        root = Path(part).expanduser().resolve()
        if part != "toy" and root.is_dir() and place.resolve().is_relative_to(root):
            raise WordsError(
                f"{place} lies inside the data, where its pictures would be read as faces; "
                "choose a place elsewhere with --output"
            )


def plain_name(source: str) -> str:
    """Last part of a source as a file name."""
    name = Path(source).expanduser().resolve().name
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def _test(source: DataSource) -> list[Listing]:
    try:
        return [source.test()]
    except SplitMissing:
        return []


def _published(
    listing: Listing, class_names: Sequence[str], settings: DataSettings
) -> tuple[dict[str, int] | None, str | None]:
    if listing.carved:
        return None, None
    asked = (listing.layout, listing.split, len(class_names), settings.train_labels)
    known = published(*asked)
    if known is None or (listing.split != "train" and settings.evaluation_faces != "majority"):
        return None, None
    return dict(known), counted_by(*asked)


def _compare(seen: Sequence[Seen], class_names: tuple[str, ...], near: bool) -> Compared:
    pixels = np.concatenate([item.pixels for item in seen])
    return Compared(
        pixels=pixels,
        ids=tuple(name for item in seen for name in item.listing.ids),
        splits=tuple(item.listing.split for item in seen for _ in range(len(item.listing))),
        labels=np.concatenate([item.listing.labels for item in seen]),
        originals=tuple(digest for item in seen for digest in item.originals),
        class_names=class_names,
        found=find_duplicates(pixels, near=near),
    )


def _write(folder: Path, checked: DataCheck, compared: Compared, faces: bool) -> None:
    values = finite(checked.to_json())
    sheet = _contact_sheet(compared) if faces else None
    shown = None
    if sheet is not None:
        write_bytes(folder / "contact_sheet.png", sheet)
        shown = Sheet(
            title="Faces of each class",
            picture=as_uri(sheet),
            alt="training faces in rows, one row for each class",
            caption="Drawn at random from train.",
        )
    page = render_sections(
        title=Path(checked.source).name or checked.source,
        kicker=f"data check · {checked.layout} · {count(len(compared.ids), 'face')}",
        lead=lead(values),
        headline=headline(values),
        sections=data_check_sections(values, sheet=shown, pairs=_pairs(compared) if faces else ()),
    )
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "data_check.json", f"{text}\n".encode("utf-8", "backslashreplace"))
    write_bytes(folder / "duplicates.csv", csv_bytes([DUPLICATES, *_duplicate_rows(compared)]))
    broken = [
        (facts.split, as_text(name), as_text(reason))
        for facts in checked.splits
        for name, reason in facts.broken
    ]
    write_bytes(folder / "broken.csv", csv_bytes([("split", "id", "reason"), *broken]))
    write_bytes(folder / "data_check.html", page.encode("utf-8", "backslashreplace"))


def _linked(compared: Compared) -> list[tuple[int, int, int, float]]:
    """Pairs of copies with kind and similarity: each further exact copy with its first."""
    found = compared.found
    pairs = [
        (int(first), index, 0, 1.0)
        for index, first in enumerate(found.copy_of.tolist())
        if first != index
    ]
    links = zip(
        found.first.tolist(),
        found.second.tolist(),
        found.kinds.tolist(),
        found.similarity.tolist(),
        strict=True,
    )
    return [*pairs, *links]


def _duplicate_rows(compared: Compared) -> list[tuple[str | int, ...]]:
    clusters = compared.found.clusters().tolist()
    rows: list[tuple[str | int, ...]] = []
    for one, other, kind, similarity in _linked(compared):
        same = compared.originals[one] == compared.originals[other]
        rows.append(
            (
                clusters[one],
                KINDS[kind],
                f"{similarity:.3f}",
                *_named(compared, one),
                *_named(compared, other),
                "yes" if same else "no",
            )
        )
    return sorted(rows, key=lambda row: (row[0], row[3], row[6]))


def _named(compared: Compared, index: int) -> tuple[str, str, str]:
    name, split = compared.ids[index], compared.splits[index]
    return as_text(name), split, as_text(compared.label(index))


def _contact_sheet(compared: Compared) -> bytes:
    draw, rows = np.random.default_rng(0), []
    train = np.array([split == "train" for split in compared.splits])
    for label, name in enumerate(compared.class_names):
        here = np.flatnonzero(train & (compared.labels == label))
        chosen = np.sort(draw.permutation(here)[:SHOWN])
        faces = [compared.pixels[i] for i in chosen]
        rows.append(Row(title=name, below=count(len(here), "face"), faces=faces))
    return draw_sheet(rows)


def _pairs(compared: Compared) -> list[Pairs]:
    """Copies as pictures: those across splits, the least alike, the oddly labelled."""
    links = _linked(compared)
    exact = [link for link in links if link[2] == 0]
    others = [link for link in links if link[2] > 0]
    differ = [link for link in exact if compared.labels[link[0]] != compared.labels[link[1]]]
    across = [link for link in others if compared.splits[link[0]] != compared.splits[link[1]]]
    mirrored = [link for link in others if "mirrored" in KINDS[link[2]]]
    weakest = sorted(others, key=lambda link: link[3])[:SHOWN]
    blocks = []
    for title, chosen, caption in (
        ("Pixel for pixel, labelled differently", _some(differ), count(len(differ), "pair")),
        ("Other copies, across splits", _some(across), count(len(across), "pair")),
        ("Mirrored", _some(mirrored), count(len(mirrored), "pair")),
        ("The least alike", weakest, f"of {count(len(others), 'pair')} of other copies"),
    ):
        if chosen:
            pairs = tuple(_pair(compared, link) for link in chosen)
            blocks.append(Pairs(title=title, caption=caption, pairs=pairs))
    return blocks


def _some(links: list[tuple[int, int, int, float]]) -> list[tuple[int, int, int, float]]:
    chosen = np.random.default_rng(0).permutation(len(links))[:SHOWN]
    return [links[i] for i in np.sort(chosen)]


def _pair(compared: Compared, link: tuple[int, int, int, float]) -> Pair:
    one, other, kind, similarity = link
    labels = [compared.label(one), compared.label(other)]
    splits = [compared.splits[one], compared.splits[other]]
    said = labels[0] if labels[0] == labels[1] else " / ".join(labels)
    where = splits[0] if splits[0] == splits[1] else " / ".join(splits)
    return Pair(
        picture=side_by_side(compared.pixels[one], compared.pixels[other]),
        alt=f"two copies of a face, {KINDS[kind]}, labelled {labels[0]} and {labels[1]}",
        said=said,
        below=(where, KINDS[kind] if kind == 0 else f"{KINDS[kind]}, {similarity:.2f}"),
    )
