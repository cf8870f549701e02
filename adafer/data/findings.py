"""What a check of a data set comes to, in words, and whether it would stop a training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from adafer.data.check import Copies, SplitFacts
from adafer.data.files import some
from adafer.report.wording import count

RARE = 100
"""Training faces of a class below which its figures are shaky."""

Level = Literal["stop", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about a data set; "stop" would end a training before it begins."""

    level: Level
    about: str  # a word or two
    words: str


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """All that was found out about a data set."""

    source: str
    layout: str
    class_names: tuple[str, ...]
    img_size: int  # side at which pictures were compared, in pixels
    max_bad: float
    near: bool  # whether near copies were looked for
    splits: tuple[SplitFacts, ...]
    copies: Copies
    findings: tuple[Finding, ...]

    @property
    def stops(self) -> bool:
        """Whether a training on this data would stop before it begins."""
        return any(finding.level == "stop" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One sentence on whether the data is fit for training."""
        stops = sum(finding.level == "stop" for finding in self.findings)
        warnings = sum(finding.level == "warning" for finding in self.findings)
        if stops:
            reasons = "one reason" if stops == 1 else f"{stops} reasons"
            return f"A training would stop on this data, for {reasons}."
        if warnings:
            things = "one thing" if warnings == 1 else f"{warnings} things"
            return f"A training would run; {things} should be known before its figures are used."
        return "Nothing speaks against training on this data."

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the verdict among them."""
        return {"verdict": self.verdict, "stops": self.stops, **asdict(self)}


def find_faults(
    splits: Sequence[SplitFacts], copies: Copies, *, max_bad: float, near: bool
) -> tuple[Finding, ...]:
    """Judge the facts, the gravest first."""
    found = [
        *_unusable(splits, max_bad),
        *_leaks(splits, copies),
        *_unlike_published(splits),
        *_labels(copies),
        *_pictures(splits),
        *_balance(splits),
    ]
    if not near:
        words = "Near copies were not looked for (--no-near)."
        found.append(Finding(level="note", about="near copies", words=words))
    found += [
        Finding(level="note", about=facts.split, words=note)
        for facts in splits
        for note in facts.notes
    ]
    order = ("stop", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def _unusable(splits: Sequence[SplitFacts], max_bad: float) -> Iterator[Finding]:
    for facts in splits:
        missing, broken = facts.missing, len(facts.broken)
        if not missing and not broken:
            continue
        parts = [f"{count(broken, 'picture')} cannot be read"] if broken else []
        parts += [f"{missing:,} {'is' if missing == 1 else 'are'} missing"] if missing else []
        listed = facts.faces + broken + missing
        above = facts.unusable > max_bad
        limit = f"more than --max-bad {max_bad:g} allows" if above else "which --max-bad allows"
        words = f"Of {count(listed, 'picture')} of {facts.split} {' and '.join(parts)}, {limit}."
        level: Level = "stop" if above else "warning"
        yield Finding(level=level, about="broken files", words=words)


def _leaks(splits: Sequence[SplitFacts], copies: Copies) -> Iterator[Finding]:
    sizes = {facts.split: facts.faces for facts in splits}
    for overlap in copies.overlaps:
        one, other = overlap.split, overlap.other
        if one == other or one == "train" or not overlap.total:
            continue
        if (one, other) == ("test", "val"):
            continue  # said once, from validation's side
        exact = overlap.faces["exact"]
        looser = {kind: n for kind, n in overlap.faces.items() if n and kind != "exact"}
        faces = count(sum(looser.values()), "face")
        share = f"{100 * overlap.total / sizes[one]:.1f} %"
        if exact and other == "train":
            yield Finding(
                level="stop",
                about="leak",
                words=f"train holds {count(exact, 'face')} of {one} too, pixel for pixel; train "
                "with --leaks drop.",
            )
        elif exact:
            words = f"{other} holds {count(exact, 'face')} of {one} too, pixel for pixel."
            yield Finding(level="warning", about="leak", words=words)
        if looser:
            named = " and ".join(f"{n:,} {kind}" for kind, n in looser.items())
            yield Finding(
                level="warning",
                about="near leak",
                words=f"{other} holds other copies of {faces} of {one} "
                f"({named}); {'with the exact ones, ' if exact else ''}{share} of {one} "
                f"are in {other}.",
            )


def _unlike_published(splits: Sequence[SplitFacts]) -> Iterator[Finding]:
    for facts in splits:
        if facts.published is None:
            continue
        held = _held(facts, splits)
        wrong = [
            f"{name} {held.get(name, 0):,} instead of {faces:,}"
            for name, faces in facts.published.items()
            if held.get(name, 0) != faces
        ]
        split = facts.split
        if split == "train" and any(other.carved for other in splits):
            split = "train with its carved validation"
        if wrong:
            words = f"{split} is no complete copy: {some(wrong, len(wrong), 4)} ({facts.source})."
            yield Finding(level="warning", about="counts", words=words)
        else:
            words = f"{split} holds what a complete copy holds ({facts.source})."
            yield Finding(level="note", about="counts", words=words)


def _held(facts: SplitFacts, splits: Sequence[SplitFacts]) -> Mapping[str, int]:
    """Faces of each class that the data set itself puts into a split."""
    carved = next((other for other in splits if other.carved), None)
    if facts.split != "train" or carved is None:
        return facts.counts
    return {name: faces + carved.counts.get(name, 0) for name, faces in facts.counts.items()}


def _labels(copies: Copies) -> Iterator[Finding]:
    found = copies.clustered
    if not found.disagreeing:
        return
    words = (
        f"{found.disagreeing:,} of {count(found.groups, 'picture')} with copies carry more than "
        f"one label; two copies agree in {100 * (found.same_label or 0):.1f} %."
    )
    same = copies.identical
    if 0 < same.groups < found.groups:
        words += f" Among those that are identical it is {same.disagreeing:,} of {same.groups:,}."
    yield Finding(level="warning", about="labels", words=words)


def _pictures(splits: Sequence[SplitFacts]) -> Iterator[Finding]:
    for facts in splits:
        if facts.plain:
            words = (
                f"{count(len(facts.plain), 'picture')} of {facts.split} with nothing to see "
                f"({some(facts.plain, len(facts.plain))})."
            )
            yield Finding(level="warning", about="plain pictures", words=words)
        if facts.small:
            words = (
                f"{count(facts.small, 'picture')} of {facts.split} smaller than the model's input."
            )
            yield Finding(level="note", about="size", words=words)


def _balance(splits: Sequence[SplitFacts]) -> Iterator[Finding]:
    for facts in splits:
        absent = [name for name, faces in facts.counts.items() if not faces]
        if absent:
            words = f"{facts.split} has no face of {some(absent, len(absent), 8)}."
            yield Finding(level="warning", about="classes", words=words)
        if facts.split != "train":
            continue
        present = {name: faces for name, faces in facts.counts.items() if faces}
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        if present[most] > 10 * present[least] or present[least] < RARE:
            words = (
                f"train has {present[most]:,} faces of {most} and {present[least]:,} of {least}; "
                "judge by macro F1, and see --balance."
            )
            yield Finding(level="note", about="balance", words=words)
