"""What explains a model's answers, as sections: maps over faces, and what speaks for them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adafer.analysis.saliency import Part
from adafer.report.charts import FIRST, MUTED, SECOND, axes, svg
from adafer.report.overlay import overlay, png, strip
from adafer.report.section import Block, Cell, Chart, Pair, Pairs, Points, Section, Table
from adafer.report.wording import count, listed, number, percent

PASSED = 0.5
"""A map whose rank correlation stays above this when all weights are shuffled ignores them."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One face, what the model said of it, and its maps."""

    name: str
    face: NDArray[np.uint8]  # (S, S, 3)
    label: str  # "" where nobody said
    prediction: str
    probability: float
    target: str  # the class that is explained
    steps: int | None
    maps: tuple[NDArray[np.float32], ...]  # one, or one a step that is shown
    shown: tuple[int, ...]  # numbers of those steps; empty where there are none

    @property
    def said(self) -> str:
        """What the model says, in words."""
        after = "" if self.steps is None else f" after {count(self.steps, 'step')}"
        return f"{self.prediction} {percent(self.probability, 0)}{after}"

    @property
    def labelled(self) -> str:
        """What annotators say, and what is explained where that is not the answer."""
        about = f"labelled {self.label}" if self.label else "not labelled"
        return about if self.target == self.prediction else f"{about}; explained: {self.target}"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How one method stands up to its sanity checks; curves are means over faces, (P,)."""

    stages: tuple[tuple[str, float], ...]  # stage shuffled, correlation with the original maps
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random_deletion: NDArray[np.float64]
    random_insertion: NDArray[np.float64]

    @property
    def depends_on_weights(self) -> bool:
        """Whether the maps change once all weights are shuffled."""
        return abs(self.stages[-1][1]) < PASSED

    @property
    def finds_what_counts(self) -> bool:
        """Whether the marked pixels matter more than random ones, taken away and put in."""
        falls = self.deletion.mean() < self.random_deletion.mean()
        return bool(falls and self.insertion.mean() > self.random_insertion.mean())


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """What one method found."""

    name: str
    about: str
    layer: str
    signed: bool
    faces: tuple[Explained, ...]
    evidence: Evidence | None


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What maps mark in the faces of one predicted class."""

    name: str
    faces: int
    mean_face: NDArray[np.uint8]  # (S, S, 3)
    mean_map: NDArray[np.float32]  # (S, S)
    parts: tuple[Part, ...]


def explanation_sections(
    results: Sequence[MethodResult], looks: Sequence[Looks], looked_with: str
) -> list[Section]:
    """Return the sections of the page, what to believe first."""
    sections = [_belief(results), *(_method(result) for result in results)]
    if looks:
        sections.insert(1, _looks(looks, looked_with))
    checked = [result for result in results if result.evidence is not None]
    if checked:
        sections.append(_checks(checked))
    return sections


def _belief(results: Sequence[MethodResult]) -> Section:
    points = []
    for result in results:
        if result.evidence is None:
            points.append((result.name, "Not checked; take its maps as pictures, not as evidence."))
        else:
            points.append((result.name, " ".join(_verdict(result.evidence))))
    points.append(
        (
            "All of them",
            "A map shows what the model used, not what the face felt or what the expression is; "
            "two methods that disagree are both shown.",
        )
    )
    return Section(
        title="What to believe",
        reading=_belief_reading(results),
        blocks=(Points(points=tuple(points)),),
    )


def _belief_reading(results: Sequence[MethodResult]) -> str:
    checked = [result for result in results if result.evidence is not None]
    sound = [
        result.name
        for result in checked
        if result.evidence and result.evidence.depends_on_weights
        and result.evidence.finds_what_counts
    ]  # fmt: skip
    if not checked:
        return "No sanity check was run."
    if not sound:
        if len(checked) == 1:
            return f"{checked[0].name} did not pass both of its sanity checks on these faces."
        return f"None of {count(len(checked), 'method')} passed both of its sanity checks here."
    return f"Passed both sanity checks on these faces: {listed(sound, 9)}."


def _verdict(evidence: Evidence) -> tuple[str, str]:
    last = number(evidence.stages[-1][1])
    depends = (
        f"Depends on what was learned: with all weights shuffled its maps keep a correlation of "
        f"{last}."
        if evidence.depends_on_weights
        else f"Does not depend on what was learned: with all weights shuffled its maps still "
        f"correlate at {last}, so they mostly show the face itself."
    )
    fall, by_chance = evidence.deletion.mean(), evidence.random_deletion.mean()
    rise, rise_by_chance = evidence.insertion.mean(), evidence.random_insertion.mean()
    counts = (
        f"The pixels it marks {'count' if evidence.finds_what_counts else 'do not clearly count'}: "
        f"mean probability {percent(fall, 0)} as they are taken away ({percent(by_chance, 0)} in "
        f"random order), {percent(rise, 0)} as they are put in ({percent(rise_by_chance, 0)})."
    )
    return depends, counts


def _method(result: MethodResult) -> Section:
    how = "Computed by" if result.signed else "Read from"
    layer = f" {how}: {result.layer}." if result.layer else ""
    colours = (
        "Red speaks for the class, blue against it."
        if result.signed
        else "The brighter, the more it speaks for the class."
    )
    pairs = tuple(
        Pair(
            picture=_uri(png(strip(face.face, face.maps, result.signed))),
            alt=f"face, and where {result.name} marks it for {face.target}",
            said=face.said,
            below=(face.labelled, *(_steps_shown(face))),
            tiles=1 + len(face.maps),
        )
        for face in result.faces
    )
    return Section(
        title=result.name,
        reading=f"{result.about[0].upper()}{result.about[1:]}.{layer} {colours} Each map has "
        "its own scale.",
        blocks=(Pairs(title="Faces", caption="the face, then what is marked", pairs=pairs),),
    )


def _steps_shown(face: Explained) -> tuple[str, ...]:
    if not face.shown:
        return ()
    words = ", ".join(map(str, face.shown))
    return (f"maps of step{'s' * (len(face.shown) > 1)} {words}",)


def _looks(looks: Sequence[Looks], method: str) -> Section:
    names = [part.name for part in looks[0].parts]
    rows = tuple(
        (
            Cell(text=look.name),
            Cell(text=count(look.faces)),
            *(
                Cell(text=f"{percent(part.share, 0)} ({number(part.ratio, 1)}x)", share=part.share)
                for part in look.parts
            ),
        )
        for look in looks
    )
    pictures = tuple(
        Pair(
            picture=_uri(
                png(
                    np.concatenate([_plain(look), overlay(look.mean_face, look.mean_map, False)], 1)
                )
            ),
            alt=f"mean face predicted {look.name}, and its mean map",
            said=look.name,
            below=(count(look.faces, "face"),),
        )
        for look in looks
    )
    most = max(looks, key=lambda look: max(part.ratio for part in look.parts[:-1]))
    part = max(most.parts[:-1], key=lambda part: part.ratio)
    return Section(
        title="What it looks at, by emotion",
        reading=(
            f"Mean {method} maps of the faces that are named so. Most one-sided: {most.name}, "
            f"where {part.name} hold {percent(part.share, 0)} of what is marked, "
            f"{number(part.ratio, 1)} "
            "times their share of the picture. The parts are fixed regions of the crop, not "
            "landmarks, and fit aligned faces only."
        ),
        blocks=(
            Pairs(title="Mean maps", caption="mean face, mean map", pairs=pictures),
            Table(columns=("named", "faces", *names), rows=rows),
        ),
    )


def _plain(look: Looks) -> NDArray[np.uint8]:
    return overlay(look.mean_face, np.zeros_like(look.mean_map), False)


def _checks(results: Sequence[MethodResult]) -> Section:
    blocks: list[Block] = []
    for result in results:
        evidence = result.evidence
        assert evidence is not None
        blocks.append(_curves(result.name, evidence))
    stages = [stage for stage, _ in results[0].evidence.stages] if results[0].evidence else []
    rows = tuple(
        (
            Cell(text=f"… down to {stage}" if place else stage),
            *(
                Cell(text=number(result.evidence.stages[place][1]))
                for result in results
                if result.evidence is not None
            ),
        )
        for place, stage in enumerate(stages)
    )
    blocks.append(Table(columns=("shuffled", *(result.name for result in results)), rows=rows))
    return Section(
        title="Sanity checks",
        reading=(
            "Above: the probability of the explained class as the marked pixels are taken away or "
            "put in, against a random order. Below: rank correlation of the maps with the original "
            "ones once a stage and all above it have had their weights shuffled; a method whose "
            "maps stay alike explains the picture, not the model (Adebayo et al. 2018)."
        ),
        blocks=tuple(blocks),
    )


def _curves(name: str, evidence: Evidence) -> Chart:
    drawn = axes()
    share = np.linspace(0, 100, len(evidence.deletion))
    for colour, marked, chance in (
        (FIRST, evidence.insertion, evidence.random_insertion),
        (SECOND, evidence.deletion, evidence.random_deletion),
    ):
        drawn.plot(share, 100 * marked, color=colour, linewidth=2)
        drawn.plot(share, 100 * chance, color=colour, linewidth=1, linestyle=(0, (2, 2)))
    drawn.set(ylim=(0, 100), xlabel="pixels changed, %")
    drawn.xaxis.label.set(color=MUTED)
    return Chart(
        title=f"{name}: probability of the class, %",
        svg=svg(drawn, f"curves-{name}", f"insertion and deletion curves of {name}"),
        legend=(("put in", "first"), ("taken away", "second")),
        caption="Dashed: the same in random order.",
    )


def _uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
