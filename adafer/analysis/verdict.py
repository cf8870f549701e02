"""Adaptive or not, and which difficulty the steps follow: a few sentences from the figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adafer.analysis.agreement import Agreement, Correlation, Reducible
from adafer.analysis.controls import Controls
from adafer.analysis.resampling import Estimate

SPREAD, SHUFFLED, SAVED = 0.7, 0.01, 0.7
"""The bar: standard deviation of the steps, p of the shuffled steps, share of the ideal saving."""
SOME, CLEAR = 0.1, 0.3
"""A correlation whose interval lies below the first is as good as none; below the second, weak."""
NOTHING = Correlation(name="", overall=Estimate(None), within=Estimate(None))


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One condition of the bar; `passed` is None where it was not measured."""

    name: str
    figure: str
    passed: bool | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What can be said, most important first."""

    adaptive: bool | None  # None where a criterion that decides was not measured
    follows: str  # ambiguity, reducible loss, both, neither, or unknown
    sentences: tuple[str, ...]
    criteria: tuple[Criterion, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def verdict(
    controls: Controls,
    agreement: Agreement | None,
    reducible: Reducible | None,
    saved: float | None = None,
) -> Verdict:
    """Judge by the bar: better than depth of equal cost, than chance; spread; real time saved.

    `saved` is the measured saving of time at batch 32 as a share of the ideal one.
    """
    criteria = bar(controls, saved)
    known = [criterion.passed for criterion in criteria]
    adaptive = False if False in known else None if None in known else True
    follows = _follows(agreement, reducible)
    return Verdict(
        adaptive=adaptive,
        follows=follows,
        sentences=(_headline(adaptive, criteria), _following(follows, agreement, reducible)),
        criteria=criteria,
    )


def bar(controls: Controls, saved: float | None) -> tuple[Criterion, ...]:
    """Return the four conditions with their figures."""
    best, shuffled = controls.best_fixed, controls.row("steps shuffled")
    gain = best.gain
    p = shuffled.p if shuffled is not None else None
    return (
        Criterion(
            name=f"more accurate than {best.name} ({best.mean_steps:.2f} steps)",
            figure=_points(gain.value, gain.low, gain.high),
            passed=None if gain.low is None else gain.low > 0,
        ),
        Criterion(
            name=f"steps belong to their faces (shuffled p < {SHUFFLED})",
            figure="not measured" if p is None else f"p = {p:.3f}",
            passed=None if p is None else p < SHUFFLED,
        ),
        Criterion(
            name=f"steps differ between faces (standard deviation > {SPREAD})",
            figure=f"{controls.sd_steps:.2f}",
            passed=controls.sd_steps > SPREAD,
        ),
        Criterion(
            name=f"time is saved (at least {SAVED:.0%} of the ideal at batch 32)",
            figure="not measured" if saved is None else f"{saved:.0%}",
            passed=None if saved is None else saved >= SAVED,
        ),
    )


def _headline(adaptive: bool | None, criteria: Sequence[Criterion]) -> str:
    if adaptive:
        return "Adaptive: the steps that this model chooses buy what a fixed depth does not."
    failed = [criterion for criterion in criteria if criterion.passed is False]
    if failed:
        named = "; ".join(f"{criterion.name}: {criterion.figure}" for criterion in failed)
        return f"Not adaptive by the bar set beforehand. Missed: {named}."
    open_ones = "; ".join(c.name for c in criteria if c.passed is None)
    return f"Not decided: what was measured passes, and this was not measured: {open_ones}."


def _follows(agreement: Agreement | None, reducible: Reducible | None) -> str:
    if agreement is None and reducible is None:
        return "unknown"
    ambiguity = agreement is not None and _real(agreement.steps)
    loss = reducible is not None and (_real(reducible.gain) or _real(reducible.depth))
    if ambiguity and loss:
        return "both"
    return "ambiguity" if ambiguity else "reducible loss" if loss else "neither"


def _real(found: Correlation) -> bool:
    """Whether the correlation is positive inside the classes too, with the interval above zero."""
    overall, inside = found.overall, found.within
    return (
        overall.high is not None
        and overall.high >= SOME
        and inside.low is not None
        and inside.low > 0
        and overall.low is not None
        and overall.low > 0
    )


def _following(follows: str, agreement: Agreement | None, reducible: Reducible | None) -> str:
    strongest = max(
        (found.overall.value or 0.0)
        for found in (
            agreement.steps if agreement else NOTHING,
            reducible.gain if reducible else NOTHING,
            reducible.depth if reducible else NOTHING,
        )
    )
    how = "follow" if strongest >= CLEAR else "weakly follow"
    words = {
        "ambiguity": f"The steps {how} ambiguity: faces that people disagree about take longer",
        "reducible loss": f"The steps {how} reducible loss: faces that gain from thinking take "
        "longer",
        "both": f"The steps {how} both ambiguity and reducible loss",
        "neither": "The steps follow neither the disagreement of people nor what more steps gain",
        "unknown": "Every face takes equally many steps, so there is nothing that they could "
        "follow",
    }
    figures = []
    if agreement is not None:
        figures.append(
            f"Spearman with the entropy of the votes {_rho(agreement.steps.overall.value)} over "
            f"all, {_rho(agreement.steps.within.value)} within class"
        )
    if reducible is not None:
        figures.append(
            f"with the gain in loss {_rho(reducible.gain.overall.value)} over all, "
            f"{_rho(reducible.gain.within.value)} within class"
        )
    return words[follows] + (f" ({'; '.join(figures)})." if figures else ".")


def _rho(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _points(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "not measured"
    return f"{100 * value:+.2f} points, {100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")
