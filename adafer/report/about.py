"""What was run, on what, and what may not be read into it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adafer.report.section import Context, Facts, Points, Section
from adafer.report.wording import SPLITS, count, listed, opening
from adafer.responsible_use import STATEMENT

FEW = 100
"""Below this many faces the figures of a class are called shaky."""

Pairs = tuple[tuple[str, str], ...]


def recipe(context: Context) -> Section | None:
    """Every setting, as the run folder keeps it."""
    found = context.recipe
    if not found:
        return None
    groups = []
    for name in ("data", "model", "loss", "phases", "train"):
        part = found.get(name)
        if name == "phases" and isinstance(part, Sequence):
            for i, phase in enumerate(part, 1):
                groups.append((f"Phase {i}" if len(part) > 1 else "Phase", _settings(phase)))
        elif isinstance(part, Mapping):
            kind = found.get(f"{name}_name")
            title = {"train": "Training"}.get(name, opening(name))
            groups.append((f"{title}: {kind}" if kind else title, _settings(part)))
    summary = str(found.get("summary") or "").strip().rstrip(".")
    reading = f"{found.get('name', 'recipe')}: {summary}." if summary else "The settings."
    return Section(
        title="The recipe",
        reading=f"{reading} recipe.yaml in the run folder repeats it.",
        blocks=(Facts(groups=tuple(group for group in groups if group[1]), typed=True),),
    )


def run(context: Context) -> Section | None:
    """Command, machine, versions, seed, times, hashes of the data, uses of the test split."""
    facts = context.run
    if not facts:
        return None
    command = facts.get("command")
    if isinstance(command, Sequence) and not isinstance(command, str):
        facts = {**facts, "command": shlex.join(map(str, command))}
    return Section(
        title="The run",
        reading=(
            "What it takes to get the same numbers again, as run.json keeps it. "
            f"{_test_uses(facts.get('test_uses'))}"
        ),
        blocks=(Facts(groups=tuple(_groups("Run", facts))),),
    )


def limits(context: Context) -> Section:
    """What these numbers do not say, and the statement of responsible use."""
    scores = context.scores
    points = [
        (
            "Apparent expression.",
            "The model repeats what annotators called the expression of a face. Faces do not "
            "reliably show what a person feels (Barrett et al. 2019), and this page does not "
            "either.",
        ),
        ("Responsible use.", STATEMENT),
        (
            "Law.",
            "In the European Union inferring emotions at work and in education is prohibited, "
            "with medical and safety exceptions (AI Act, Article 5(1)(f)); elsewhere the people "
            "exposed must be told (Article 50(3)).",
        ),
        (
            "Groups of people.",
            "No age, gender or origin enters these figures, so differences between groups are "
            "not measured. They are known to exist.",
        ),
        (
            "Uncertainty.",
            "Intervals hold the model fixed and resample its faces. A second training with "
            "another seed moves the figures too, and that is not in them.",
        ),
    ]
    if context.split in ("val", "train"):
        seen = (
            "The best epoch was chosen on these faces, so their figures are a little too good."
            if context.split == "val"
            else "The model was trained on these faces; their figures say nothing about others."
        )
        points.append((f"{opening(SPLITS[context.split])} faces.", seen))
    small = [item.name for item in scores.per_class if 0 < item.support < FEW]
    if small:
        points.append(
            (
                "Few faces.",
                f"{opening(listed(small, 8))}: fewer than {FEW} faces each, so their "
                "figures are shaky.",
            )
        )
    if context.faces is not None:
        points.append(
            (
                "Pictures.",
                "This file holds faces from the data set. Pass it on only where the licence "
                "of the data allows it.",
            )
        )
    points += [("Data.", note) for note in context.notes]
    return Section(
        title="What this page cannot say",
        reading=f"{count(scores.n, 'face')} of one data set, one trained model, one seed.",
        blocks=(Points(points=tuple(points)),),
    )


def _groups(title: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Pairs]]:
    """Single values under the title, then each mapping in it under a title of its own."""
    single = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    if single:
        yield title, _pairs(single)
    for key, value in values.items():
        if isinstance(value, Mapping):
            name = _words(key) if title == "Run" else f"{title}: {_words(key).lower()}"
            yield from _groups(name, value)


def _test_uses(uses: Any) -> str:
    times = uses if isinstance(uses, int) else len(uses) if isinstance(uses, Sequence) else 0
    if times == 0:
        return "The test split has not been looked at."
    return f"The test split has been looked at {'once' if times == 1 else count(times, 'time')}."


def _settings(values: Any) -> Pairs:
    """Names as flags and files spell them."""
    if not isinstance(values, Mapping):
        return ()
    return tuple((str(key), _shown(value)) for key, value in values.items())


def _pairs(values: Mapping[str, Any]) -> Pairs:
    return tuple((_words(key), _shown(value)) for key, value in values.items())


def _words(key: Any) -> str:
    return opening(str(key).replace("_", " ").strip())


def _shown(value: Any) -> str:
    """Write a value as a person reads it; nested ones in one line."""
    if value is None or (isinstance(value, str | Sequence) and len(value) == 0):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key).lower()} {_shown(item)}" for key, item in value.items())
    if isinstance(value, Sequence):
        return "; ".join(map(_shown, value))
    return str(value)
