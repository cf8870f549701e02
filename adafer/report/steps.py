"""How long the model looks: how many steps it takes, at whom, and what they buy."""

from matplotlib.ticker import MaxNLocator, PercentFormatter

from adafer.metrics import Scores
from adafer.report.charts import FIRST, MUTED, SECOND, axes, svg
from adafer.report.section import (
    Bar,
    Bars,
    Block,
    Chart,
    Context,
    Figure,
    Figures,
    HeatCell,
    Heatmap,
    Section,
)
from adafer.report.wording import count, number, percent, signed


def steps(context: Context) -> Section | None:
    """Histogram, means per emotion and per pair of emotions, accuracy by depth, correlations."""
    scores = context.scores
    if scores.step_counts is None or scores.mean_steps is None:
        return None
    blocks: list[Block] = []
    correlations = _correlations(scores)
    if correlations:
        blocks.append(Figures(figures=correlations))
    blocks.append(_histogram(context))
    if scores.accuracy_by_step is not None:
        blocks.append(_by_depth(scores))
    blocks += [_means(context), _matrix(scores)]
    return Section(title="How long it looks", reading=_reading(context), blocks=tuple(blocks))


def empty_ends(context: Context) -> str:
    """Say in words that no face stopped after one step, or that none took all T."""
    counts, longest = context.scores.step_counts or (), context.longest
    first = bool(counts and counts[0])
    last = len(counts) >= longest and bool(counts and counts[-1])
    if longest < 2 or (first and last):
        return ""
    if not first and not last:
        return f"No face stopped after one step, and none took all {longest}."
    return f"No face took all {longest} steps." if first else "No face stopped after one step."


def _histogram(context: Context) -> Chart:
    counts = [*(context.scores.step_counts or ())]
    counts += [0] * (context.longest - len(counts))
    drawn = axes()
    places = range(1, len(counts) + 1)
    drawn.bar(places, counts, width=0.72, color=FIRST, alpha=0.9)
    drawn.set(xlim=(0.4, len(counts) + 0.6), xlabel="steps taken")
    drawn.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    drawn.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    drawn.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    mean = context.scores.mean_steps
    if mean is not None:
        drawn.axvline(mean, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)))
    parts = [f"{place}: {faces}" for place, faces in zip(places, counts, strict=True)]
    return Chart(
        title="Faces by number of steps",
        svg=svg(drawn, "steps", f"Faces by number of steps. {'; '.join(parts)}."),
        caption=f"Dotted: the mean, {number(mean)}. {empty_ends(context)}".strip(),
    )


def _by_depth(scores: Scores) -> Chart:
    accuracies = scores.accuracy_by_step or ()
    drawn = axes()
    places = range(1, len(accuracies) + 1)
    drawn.plot(places, accuracies, color=SECOND, linewidth=2, marker="o", markersize=4)
    drawn.axhline(scores.accuracy, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)))
    low, high = min(*accuracies, scores.accuracy), max(*accuracies, scores.accuracy)
    margin = max(0.01, 0.12 * (high - low))
    drawn.set(
        xlim=(0.4, len(accuracies) + 0.6),
        ylim=(max(0.0, low - margin), min(1.01, high + margin)),
        xlabel="steps, the same for every face",
    )
    drawn.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    drawn.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    drawn.yaxis.set_major_formatter(
        PercentFormatter(1, decimals=_decimals(high - low), symbol=" %")
    )
    parts = [f"{step}: {percent(value)}" for step, value in zip(places, accuracies, strict=True)]
    return Chart(
        title="Accuracy if every face stopped there",
        svg=svg(drawn, "depth", f"Accuracy by depth. {'; '.join(parts)}."),
        caption=f"Dotted: the accuracy with its own stopping, {percent(scores.accuracy)}.",
    )


def _means(context: Context) -> Bars:
    bars = [
        Bar(
            name=item.name,
            text=number(item.mean_steps),
            share=(item.mean_steps or 0.0) / context.longest,
            note=count(item.support, "face"),
        )
        for item in context.scores.per_class
        if item.mean_steps is not None
    ]
    return Bars(
        title="Mean steps per labelled emotion",
        bars=tuple(bars),
        caption=f"The full width is {count(context.longest, 'step')}.",
    )


def _matrix(scores: Scores) -> Heatmap:
    table = scores.steps_by_outcome or ()
    known = [value for row in table for value in row if value is not None]
    low, high = min(known), max(known)
    names = scores.class_names

    def cell(i: int, j: int) -> HeatCell:
        mean, faces = table[i][j], int(scores.confusion[i, j])
        if mean is None:
            return HeatCell(text="–", means=f"no face labelled {names[i]} is predicted {names[j]}")
        return HeatCell(
            text=number(mean, 1),
            below=count(faces),
            level=round(8 * (mean - low) / (high - low)) if high > low else 4,
            means=(
                f"labelled {names[i]}, predicted {names[j]}: mean of {number(mean)} steps over "
                f"{count(faces, 'face')}"
            ),
        )

    classes = range(len(names))
    return Heatmap(
        title="Mean steps, labelled by predicted",
        rows="labelled",
        columns="predicted",
        names=names,
        cells=tuple(tuple(cell(i, j) for j in classes) for i in classes),
        caption="Below each mean, the number of faces; a mean of few faces says little.",
    )


def _correlations(scores: Scores) -> tuple[Figure, ...]:
    found = [
        (
            "Steps follow ambiguity",
            scores.spearman_steps_entropy,
            "Spearman with the entropy of the votes",
        ),
        (
            "… within an emotion",
            scores.spearman_steps_entropy_within_class,
            "the same inside each class, averaged",
        ),
        (
            "Steps follow difficulty",
            scores.spearman_steps_depth,
            "Spearman with the first depth that is right for good",
        ),
    ]
    spread = Figure(
        name="Spread of steps", value=number(scores.sd_steps), note="standard deviation over faces"
    )
    return (
        spread,
        *(Figure(name=a, value=signed(b), note=c) for a, b, c in found if b is not None),
    )


def _reading(context: Context) -> str:
    scores = context.scores
    taken = [step + 1 for step, faces in enumerate(scores.step_counts or ()) if faces]
    if len(taken) == 1:
        return f"Every face takes {count(taken[0], 'step')}: the model does not look longer at any."
    reading = (
        f"A face takes {number(scores.mean_steps)} steps on average, the quickest "
        f"{taken[0]} and the slowest {taken[-1]} of {context.longest}"
    )
    known = [item for item in scores.per_class if item.mean_steps is not None]
    if len(known) > 1:
        quick = min(known, key=lambda item: item.mean_steps or 0.0)
        slow = max(known, key=lambda item: item.mean_steps or 0.0)
        reading += (
            f"; it looks longest at {slow.name} ({number(slow.mean_steps)}) and shortest at "
            f"{quick.name} ({number(quick.mean_steps)})"
        )
    return f"{reading}. {_following(scores)}".strip()


def _following(scores: Scores) -> str:
    """Say whether the steps follow the votes, with the strength that the correlation has."""
    found = scores.spearman_steps_entropy
    if found is None:
        return ""
    if abs(found) < 0.1:
        return "The steps hardly follow the disagreement of the annotators."
    strength = "weakly" if abs(found) < 0.3 else "clearly" if abs(found) < 0.5 else "strongly"
    less = "" if found > 0 else ", but the wrong way round: fewer steps where people disagree"
    return f"The steps follow the disagreement of the annotators {strength}{less}."


def _decimals(spread: float) -> int:
    return 0 if spread > 0.08 else 1
