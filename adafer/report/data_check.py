"""The page of `adafer data check`, from data_check.json and some pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table as ConsoleTable
from rich.text import Text

from adafer.report.section import (
    Bar,
    Bars,
    Block,
    Cell,
    Figure,
    Figures,
    Pairs,
    Points,
    Section,
    Sheet,
    Table,
)
from adafer.report.wording import NOTHING, SPLITS, count, listed, number, opening, percent

MOST = 50
"""Rows of a list that the page shows; the CSV files have all."""

Facts = Mapping[str, Any]


def data_check_sections(
    found: Facts, *, sheet: Sheet | None = None, pairs: Sequence[Pairs] = ()
) -> list[Section]:
    """Sections on `DataCheck.to_json()`, the findings first."""
    sections = [_findings(found), _classes(found), _copies(found, pairs)]
    if found["copies"]["clustered"]["groups"]:
        sections.append(_labels(found))
    sections.append(_pictures(found, sheet))
    return sections


def console_table(found: Facts) -> ConsoleTable:
    """Return the splits in a table for the terminal."""
    table = ConsoleTable(
        title=f"{found['layout']}: {count(_faces(found), 'face')}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("split")
    for name in ("faces", "left out", "unreadable", "twice inside", "also in train", "other copy"):
        table.add_column(name, justify="right")
    for facts in found["splits"]:
        split = facts["split"]
        inside, across = _overlap(found, split, split), _overlap(found, split, "train")
        leaks = ("-", "-")
        if split != "train":
            leaks = (count(across["exact"]), count(sum(across.values()) - across["exact"]))
        table.add_row(
            Text(split + (" (carved)" if facts["carved"] else "")),
            count(facts["faces"]),
            count(sum(facts["left_out"].values())),
            count(len(facts["broken"]) + facts["missing"]),
            count(inside["exact"]),
            *leaks,
        )
    return table


def lead(found: Facts) -> str:
    """The verdict and its gravest reason."""
    first = next((item["words"] for item in found["findings"] if item["level"] != "note"), "")
    return f"{found['verdict']} {opening(first)}".strip()


def headline(found: Facts) -> list[dict[str, Any]]:
    """Three large figures: faces of validation and test that train holds too, and all copies."""
    figures = []
    for facts in found["splits"]:
        if facts["split"] != "train":
            held = sum(_overlap(found, facts["split"], "train").values())
            name = f"{opening(SPLITS.get(facts['split'], facts['split']))} faces in train"
            note = f"{count(held)} of {count(facts['faces'])}, copies of any kind"
            figures.append(_large(name, held / facts["faces"], note))
    copies, total = found["copies"]["clustered"]["faces"], _faces(found)
    note = f"{count(copies)} of {count(total)}, in any split"
    return [*figures, _large("Faces with a copy", copies / total, note)]


def _large(name: str, share: float, note: str) -> dict[str, Any]:
    figure = Figure(name=name, value=percent(share), note=note)
    return {"figure": figure, "low": 0, "width": 100 * share, "place": 100 * share}


def _faces(found: Facts) -> int:
    return sum(facts["faces"] for facts in found["splits"])


def _overlap(found: Facts, split: str, other: str) -> dict[str, int]:
    faces = next(
        item["faces"]
        for item in found["copies"]["overlaps"]
        if (item["split"], item["other"]) == (split, other)
    )
    return dict(faces)


def _findings(found: Facts) -> Section:
    words = {"stop": "Stops a training", "warning": "Should be known", "note": "For the record"}
    points = tuple((words[item["level"]] + ".", item["words"]) for item in found["findings"])
    return Section(
        title="What was found", reading=found["verdict"], blocks=(Points(points=points),)
    )


def _classes(found: Facts) -> Section:
    splits, names = found["splits"], found["class_names"]
    rows = []
    for name in names:
        cells = [Cell(text=name)]
        for facts in splits:
            held = facts["counts"].get(name, 0)
            cells.append(Cell(text=count(held), share=held / max(facts["faces"], 1)))
            cells.append(Cell(text=_published(facts, name)))
        rows.append(tuple(cells))
    totals = [Cell(text="all")]
    for facts in splits:
        known = facts["published"]
        totals.append(Cell(text=count(facts["faces"])))
        totals.append(Cell(text=count(sum(known.values())) if known else NOTHING))
    columns = [f"{word}{facts['split']}" for facts in splits for word in ("", "published, ")]
    blocks: list[Block] = [
        Table(columns=("apparent expression", *columns), rows=tuple(rows), totals=(tuple(totals),)),
        _balance(splits[0]),
    ]
    left_out = [(f["split"], r, n) for f in splits for r, n in f["left_out"].items()]
    if left_out:
        blocks.append(
            Table(
                columns=("split", "reason", "rows"),
                text_columns=(0, 1),
                rows=tuple(
                    (Cell(text=split), Cell(text=reason), Cell(text=count(rows)))
                    for split, reason, rows in left_out
                ),
                folded=f"Rows that a training leaves out: {count(sum(x[2] for x in left_out))}",
            )
        )
    return Section(
        title="Faces of each class", reading=_classes_reading(splits), blocks=tuple(blocks)
    )


def _published(facts: Facts, name: str) -> str:
    return count(facts["published"].get(name, 0)) if facts["published"] else NOTHING


def _classes_reading(splits: Sequence[Facts]) -> str:
    counts = {name: held for name, held in splits[0]["counts"].items() if held}
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    reading = (
        f"The training split has {count(counts[most], 'face')} of {most} and "
        f"{count(counts[least])} of {least}, {number(counts[most] / counts[least], 1)} times fewer."
    )
    voted = [facts for facts in splits if facts["votes"]]
    if voted:
        votes, faces = voted[0]["votes"], voted[0]["faces"]
        reading += (
            f" Annotators agree without exception on {percent(votes['unanimous'] / faces)} of its "
            f"faces; on {percent(votes['unclear'] / faces)} no class has more than half of the "
            f"votes. The votes' entropy is {number(votes['entropy'])} bits on average."
        )
    return reading


def _balance(facts: Facts) -> Bars:
    most = max(facts["counts"].values())
    return Bars(
        title="Class balance of the training split",
        bars=tuple(
            Bar(name=name, text=count(held), share=held / most, note=percent(held / facts["faces"]))
            for name, held in facts["counts"].items()
        ),
    )


def _copies(found: Facts, pairs: Sequence[Pairs]) -> Section:
    copies = found["copies"]
    links = copies["links"]
    rows = []
    for item in copies["overlaps"]:
        faces, total = item["faces"], sum(item["faces"].values())
        size = next(f["faces"] for f in found["splits"] if f["split"] == item["split"])
        where = "another one in it" if item["split"] == item["other"] else f"one in {item['other']}"
        rows.append(
            (
                Cell(text=f"{item['split']}: faces with {where}"),
                *(Cell(text=count(n)) for n in faces.values()),
                Cell(text=count(total)),
                Cell(text=percent(total / size), share=total / size),
            )
        )
    figures = tuple(
        Figure(name=opening(kind), value=count(n), note=_means(kind)) for kind, n in links.items()
    )
    groups = copies["clustered"]
    reading = (
        f"{count(groups['faces'], 'face')} of {count(_faces(found))} belong to "
        f"{count(groups['groups'], 'picture')} that {'is' if groups['groups'] == 1 else 'are'} "
        f"there more than once; one is there {count(copies['largest'], 'time')}."
        if groups["groups"]
        else "No picture is there twice."
    )
    if not found["near"]:
        reading += " Only identical and exactly mirrored pictures were looked for."
    kinds = tuple(copies["overlaps"][0]["faces"])
    table = Table(columns=("copies", *kinds, "any", "share"), rows=tuple(rows))
    return Section(
        title="Copies and leaks",
        reading=reading,
        blocks=(Figures(figures=figures), table, *pairs),
    )


def _means(kind: str) -> str:
    return {
        "exact": "the same pixels at the model's size; each further copy counts",
        "mirrored": "the same pixels, left and right exchanged",
        "near": "the same picture saved anew, resized, marked, shifted or cut a little differently",
        "mirrored near": "such a copy of the mirrored picture",
    }[kind]


def _labels(found: Facts) -> Section:
    copies = found["copies"]
    rows = []
    for name, key in (("pixel for pixel", "identical"), ("any kind of copy", "clustered")):
        item = copies[key]
        rows.append(
            (
                Cell(text=name),
                Cell(text=count(item["groups"])),
                Cell(text=count(item["faces"])),
                Cell(text=count(item["disagreeing"])),
                Cell(text=percent(item["same_label"])),
            )
        )
    item = copies["clustered"]
    return Section(
        title="One picture, several labels",
        reading=(
            f"Of {count(item['groups'], 'picture')} with copies, "
            f"{count(item['disagreeing'])} carry more than one label. Two copies of a picture "
            f"share their label in {percent(item['same_label'])}; where they do not, an answer "
            "from the picture alone is wrong on one of them."
        ),
        blocks=(
            Table(
                columns=(
                    "copies",
                    "pictures",
                    "faces",
                    "with several labels",
                    "two copies agree",
                ),
                rows=tuple(rows),
            ),
        ),
    )


def _pictures(found: Facts, sheet: Sheet | None) -> Section:
    splits = found["splits"]
    rows = []
    for facts in splits:
        sides = [f"{side} ({count(n)})" for side, n in facts["sides"].items()]
        rows.append(
            (
                Cell(text=SPLITS.get(facts["split"], facts["split"])),
                Cell(text=listed(sides, 4)),
                Cell(text=count(facts["colour"])),
                Cell(text=count(facts["small"])),
                Cell(text=count(len(facts["plain"]))),
                Cell(text=count(len(facts["broken"]))),
                Cell(text=count(facts["missing"])),
            )
        )
    bad = [(f["split"], *item) for f in splits for item in f["broken"]]
    blocks: list[Block] = [
        Table(
            columns=("split", "width x height", "colour", "small", "plain", "broken", "missing"),
            text_columns=(0, 1),
            rows=tuple(rows),
        )
    ]
    if bad:
        blocks.append(
            Table(
                columns=("split", "picture", "reason"),
                text_columns=(0, 1, 2),
                rows=tuple(tuple(Cell(text=text) for text in item) for item in bad[:MOST]),
                folded=f"Broken files: {count(min(len(bad), MOST))} of {count(len(bad))}; "
                "broken.csv has all",
            )
        )
    if sheet is not None:
        blocks.append(sheet)
    broken, grey = len(bad), not any(facts["colour"] for facts in splits)
    reading = (
        "Every picture can be read" if not broken else f"{count(broken, 'file')} cannot be read"
    )
    reading += "; all are grey." if grey else "."
    return Section(title="The pictures", reading=reading, blocks=tuple(blocks))
