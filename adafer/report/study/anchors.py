"""Anchors and corrections, as sections: does it help, where faces and anchors lie, who was moved.

Legend: N faces, C classes, K anchors a class, R their width, S side of a picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from adafer.analysis.reliability import Reliability, Standing
from adafer.report.charts import INK, axes, svg
from adafer.report.gallery import data_uri
from adafer.report.section import (
    Block,
    Cell,
    Chart,
    Faces,
    HeatCell,
    Heatmap,
    Pair,
    Pairs,
    Points,
    Section,
    Table,
)
from adafer.report.study.people import with_interval
from adafer.report.wording import count, number, percent

Floats = NDArray[np.float64]

MOST = 20
"""Faces that are shown of those that were corrected most."""

_DRAWN = 1500  # dots of faces in the projection
PALETTE = (
    "#7a869a", "#c98a00", "#3f9fd8", "#4a63c9", "#d1495b", "#4d9a51", "#9a5fc0", "#a36a3e",
)  # fmt: skip
"""Colours of the classes in their order, readable on light and on dark pages; then they repeat."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the answer of every face came about."""

    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,)
    votes: Floats | None  # (N, C)
    faces: Faces  # N of them
    primary: Floats  # (N, C) the classifier's probabilities
    corrected: Floats  # (N, C)
    confidence: Floats  # (N,) of the classifier: 1 - normalised entropy
    embedding: Floats  # (N, R) of length 1
    distances: Floats | None  # (N, C) to the nearest anchor of each class
    anchors: Floats | None  # (C, K, R)

    @property
    def change(self) -> Floats:
        """Probability that the correction moved from class to class, (N,), 0 to 1."""
        return np.asarray(np.abs(self.corrected - self.primary).sum(1) / 2)


def sections(seen: Seen, found: Reliability) -> list[Section]:
    """Return the sections of the page."""
    parts = [_standing(seen, found), _projection(seen), _distances(seen), _corrected(seen)]
    return [part for part in parts if part is not None]


def _standing(seen: Seen, found: Reliability) -> Section:
    first, second = seen.primary.argmax(1), seen.corrected.argmax(1)
    before, after = first == seen.labels, second == seen.labels
    moved = int((first != second).sum())
    reading = (
        f"The correction gives {count(moved, 'face')} of {count(found.faces)} another class: "
        f"{int((after & ~before).sum())} become right, {int((before & ~after).sum())} wrong. "
        f"{_follows(found)}"
    )
    columns = (
        "answer", "accuracy", "ECE", "Brier", "follows people", "gain over the first",
        "ECE, votes", "Brier, votes",
    )  # fmt: skip
    rows = tuple(
        _row(standing, with_interval(gain) if place else "–")
        for place, (standing, gain) in enumerate(zip(found.standings, found.gains, strict=True))
    )
    notes = Points(
        points=(
            ("follows people", "Spearman correlation of the largest probability with the largest "
             "share of votes, with a 95 % interval."),
            ("votes", "the share of votes for the answer in the place of right or wrong."),
            ("temperature", "one number, fitted on the other folds of these faces: the honest "
             "rival of any change of confidence."),
        )
    )  # fmt: skip
    return Section(
        title="Does the correction help?",
        reading=reading,
        blocks=(Table(columns=columns, rows=rows), notes),
    )


def _row(found: Standing, gain: str) -> tuple[Cell, ...]:
    return (
        Cell(text=found.name),
        Cell(text=percent(found.accuracy)),
        Cell(text=number(found.ece, 3)),
        Cell(text=number(found.brier, 3)),
        Cell(text=with_interval(found.agreement)),
        Cell(text=gain),
        Cell(text=number(found.vote_ece, 3)),
        Cell(text=number(found.vote_brier, 3)),
    )


def _follows(found: Reliability) -> str:
    named = {standing.name: place for place, standing in enumerate(found.standings)}
    gain = found.gains[named["corrected"]]
    if gain.value is None:
        return "These faces have no votes of people to hold confidence against."
    if not gain.excludes_zero:
        return "Whether its confidence follows people any better cannot be told from these faces."
    better = "better" if gain.value > 0 else "worse"
    return f"Its confidence follows the annotators {better} than the classifier's alone."


def _projection(seen: Seen) -> Section | None:
    if seen.anchors is None:
        return None
    flat = seen.anchors.reshape(-1, seen.anchors.shape[-1])
    plane = PCA(2, svd_solver="full").fit(seen.embedding)
    faces, anchors = plane.transform(seen.embedding), plane.transform(flat)
    chosen = np.random.default_rng(0).permutation(len(faces))[:_DRAWN]
    drawn = axes(3.6)
    drawn.grid(visible=False)
    drawn.spines["bottom"].set_visible(False)
    drawn.set_xticks([])
    drawn.set_yticks([])
    for number_, name in enumerate(seen.class_names):
        colour = PALETTE[number_ % len(PALETTE)]
        here = chosen[seen.labels[chosen] == number_]
        drawn.scatter(faces[here, 0], faces[here, 1], s=4, color=colour, alpha=0.45, linewidths=0)
        own = anchors[number_ * seen.anchors.shape[1] : (number_ + 1) * seen.anchors.shape[1]]
        drawn.scatter(
            own[:, 0], own[:, 1], s=34, color=colour, marker="D", edgecolors=INK, linewidths=0.6,
            label=name,
        )  # fmt: skip
    drawn.legend(loc="best", frameon=False, labelcolor=INK, fontsize=9, handletextpad=0.3)
    share = float(plane.explained_variance_ratio_.sum())
    chart = Chart(
        title="Faces (dots) and anchors (diamonds), by class",
        svg=svg(drawn, "anchors", "faces and anchors of each class in two dimensions"),
        caption=f"Principal components of the faces; the two hold {percent(share, 0)} of their "
        f"spread. {count(len(chosen), 'face')} drawn.",
    )
    used = _used(seen)
    return Section(
        title="Where faces and anchors lie",
        reading=(
            f"{count(len(flat), 'anchor')}, {seen.anchors.shape[1]} a class; {used} of them are "
            "the nearest of their class to at least one face of it."
        ),
        blocks=(chart,),
    )


def _used(seen: Seen) -> int:
    """Anchors that are the nearest of their class to a face of that class."""
    assert seen.anchors is not None
    own = seen.anchors[seen.labels]  # (N, K, R)
    nearest = np.einsum("nkr,nr->nk", own, seen.embedding).argmax(1)
    return len(set(zip(seen.labels.tolist(), nearest.tolist(), strict=True)))


def _distances(seen: Seen) -> Section | None:
    if seen.distances is None:
        return None
    rows, nearest_own = [], float((seen.distances.argmin(1) == seen.labels).mean())
    for label in range(len(seen.class_names)):
        here = seen.distances[seen.labels == label]
        means = here.mean(0) if len(here) else [None] * len(seen.class_names)
        rows.append(tuple(_heat(value) for value in means))
    heat = Heatmap(
        title="Mean distance to the nearest anchor of each class, 0 to 2",
        rows="labelled",
        columns="anchors of",
        names=seen.class_names,
        cells=tuple(rows),
        caption="A strong colour is near. Faces and anchors lie on a sphere of radius 1.",
    )
    return Section(
        title="How far faces are from each class",
        reading=f"The nearest anchor is of the labelled class for {percent(nearest_own)} of faces.",
        blocks=(heat,),
    )


def _heat(value: float | None) -> HeatCell:
    if value is None:
        return HeatCell(text="–")
    return HeatCell(
        text=number(float(value)),
        level=round(10 * max(0.0, 1 - float(value) / 1.5)),
        means=f"mean distance {number(float(value))}",
    )


def _corrected(seen: Seen) -> Section:
    order = np.argsort(-seen.change, kind="stable")[:MOST]
    mean = float(seen.change.mean())
    pairs = tuple(_pair(seen, int(place)) for place in order)
    block: Block = Pairs(
        title="",
        caption="Most moved first; each with its label, both answers, and the votes it got.",
        pairs=pairs,
    )
    return Section(
        title=f"The {len(order)} most corrected faces",
        reading=(
            f"On average {percent(mean)} of the probability moves from one class to another; "
            f"of the face that is moved most, {percent(float(seen.change[order[0]]), 0)}."
        ),
        blocks=(block,),
    )


def _pair(seen: Seen, place: int) -> Pair:
    names = seen.class_names
    label = names[int(seen.labels[place])]
    first, second = seen.primary[place], seen.corrected[place]
    before = f"{names[int(first.argmax())]} {percent(float(first.max()), 0)}"
    after = f"{names[int(second.argmax())]} {percent(float(second.max()), 0)}"
    below = [f"labelled {label}"]
    if seen.votes is not None:
        votes = seen.votes[place]
        order = [int(n) for n in np.argsort(-votes, kind="stable") if votes[n] > 0][:3]
        told = ", ".join(f"{names[n]} {percent(float(votes[n]), 0)}" for n in order)
        below.append(f"votes: {told}")
    return Pair(
        picture=data_uri(seen.faces[place]),
        alt=f"face labelled {label}",
        said=f"{before} → {after}",
        below=tuple(below),
        tiles=1,
    )
