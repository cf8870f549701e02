"""Sections to one HTML file: no network, no script, light and dark, narrow and wide."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from adafer.report.gallery import staircase
from adafer.report.section import Context, Figure, Gallery, Section
from adafer.report.wording import SPLITS, count, number, percent

LIGHT = ((240, 240, 250), (43, 54, 150))
DARK = ((38, 40, 52), (170, 182, 255))
"""Ends of the colours of a heat map."""


def render(context: Context, sections: Sequence[Section], *, date: str | None = None) -> str:
    """Return the page of one run; everything that came from outside is escaped."""
    return render_sections(
        title=context.name or "Report",
        kicker=_kicker(context),
        lead=_lead(context),
        sections=sections,
        headline=_headline(context),
        stairs=staircase(context),
        date=date,
    )


def render_sections(
    *,
    title: str,
    kicker: str,
    lead: str,
    sections: Sequence[Section],
    headline: Sequence[Mapping[str, Any]] = (),
    stairs: Gallery | None = None,
    date: str | None = None,
) -> str:
    """Return a page of sections under a title; everything that came from outside is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markup"] = Markup
    folder = files("adafer.report")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    template = environment.from_string(folder.joinpath("template.html").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        kicker=kicker,
        lead=lead,
        headline=headline,
        stairs=stairs,
        sections=sections,
        style=Markup(style + heat_css()),
        date=date or datetime.now(UTC).strftime("%d %B %Y").lstrip("0"),
    )


def heat_css() -> str:
    """Return the colours h0 to h10 of heat maps for light and dark pages."""
    light = "".join(_heat_rule(level, *LIGHT) for level in range(11))
    dark = "".join(_heat_rule(level, *DARK) for level in range(11))
    return f"{light}@media (prefers-color-scheme: dark){{@media screen{{{dark}}}}}"


def contrast(first: Sequence[int], second: Sequence[int]) -> float:
    """Contrast ratio of two colours, 1 to 21. WCAG 2.2, relative luminance."""
    bright, dim = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _heat_rule(level: int, low: Sequence[int], high: Sequence[int]) -> str:
    colour = [round(a + (b - a) * level / 10) for a, b in zip(low, high, strict=True)]
    text = max(((0, 0, 0), (255, 255, 255)), key=lambda ink: contrast(ink, colour))
    return f".h{level}{{background:rgb({_rgb(colour)});color:rgb({_rgb(text)})}}"


def _luminance(colour: Sequence[int]) -> float:
    linear = [c / 3294.6 if c <= 10.31 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: Sequence[int]) -> str:
    return ",".join(map(str, colour))


def _kicker(context: Context) -> str:
    data = context.recipe.get("data")
    named = data if isinstance(data, dict) else {}
    files = [str(named[name]) for name in ("train_csv", "val_csv") if named.get(name)]
    source = context.source or " and ".join(files) or named.get("data")
    recipe = str(context.recipe.get("name") or "")
    split = SPLITS.get(context.split, context.split)
    parts = [
        "" if recipe == context.name else recipe,
        str(source or ""),
        f"{split} split" if split else "",
        count(context.scores.n, "face"),
        count(len(context.scores.class_names), "class", "classes"),
    ]
    return " · ".join(part for part in parts if part)


def _lead(context: Context) -> str:
    scores = context.scores
    where = "it was trained on" if context.split == "train" else "it was not trained on"
    lead = (
        f"Of {count(scores.n, 'face')} {where}, the model names {percent(scores.accuracy)} as "
        "they are labelled"
    )
    if scores.mean_steps is None:
        return f"{lead}."
    return (
        f"{lead}. It looks at a face {number(scores.mean_steps, 1)} times on average and may look "
        f"{count(context.longest, 'time')}."
    )


def _headline(context: Context) -> list[dict[str, Any]]:
    scores = context.scores
    found = [
        _figure(context, "accuracy", "Accuracy", percent(scores.accuracy), scores.accuracy, 1),
        _figure(context, "macro_f1", "Macro F1", percent(scores.macro_f1), scores.macro_f1, 1),
    ]
    if scores.mean_steps is not None:
        found.append(
            _figure(
                context,
                "mean_steps",
                f"Mean steps of {context.longest}",
                number(scores.mean_steps),
                scores.mean_steps,
                context.longest,
            )
        )
    else:
        balanced = scores.balanced_accuracy
        found.append(
            _figure(
                context, "balanced_accuracy", "Balanced accuracy", percent(balanced), balanced, 1
            )
        )
    return found


def _figure(
    context: Context, key: str, name: str, value: str, place: float, full: float
) -> dict[str, Any]:
    """Return one large figure with its interval, also as places on a scale from 0 to 100."""
    low, high = context.scores.intervals.get(key, (place, place))
    form = number if key == "mean_steps" else percent
    note = f"95 % interval {form(low)} to {form(high)}" if low < high else "every resample agrees"
    return {
        "figure": Figure(name=name, value=value, note=note),
        "low": round(100 * low / full, 2),
        "width": round(100 * (high - low) / full, 2),
        "place": round(100 * place / full, 2),
    }
