"""Do the steps follow people? Steps against the disagreement of annotators, with ceilings.

Legend: N faces, T steps, C classes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.analysis.controls import class_means
from adafer.analysis.exits import exit_steps
from adafer.analysis.resampling import (
    Estimate,
    correlations,
    estimate,
    rank_estimate,
    ranks,
    resamples,
    within,
    within_estimate,
)
from adafer.metrics import prediction_depth, vote_entropy
from adafer.trajectory import Floats, Trajectory

MOST_VOTES = 10
HALVINGS = 100


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spearman of one quantity with another, over all faces and inside the labelled classes."""

    name: str
    overall: Estimate
    within: Estimate
    lead: Estimate | None = None  # the steps' overall correlation minus this one, paired

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Steps against ambiguity (the entropy of the votes)."""

    steps: Correlation
    companions: tuple[Correlation, ...]  # continuous forms of the number of steps
    rivals: tuple[Correlation, ...]  # single numbers that need no halting
    partial: Estimate  # given predicted class, sharpness and brightness
    given: tuple[str, ...]  # what was held fixed
    ceiling: float | None  # of any predictor, from the votes of this split
    ceiling_within: float | None
    left_out: tuple[str, ...]  # classes with too few faces, or where all take equally many steps

    @property
    def of_ceiling(self) -> float | None:
        """Share of the ceiling that the steps reach, over all faces."""
        return _ratio(self.steps.overall.value, self.ceiling)

    @property
    def of_ceiling_within(self) -> float | None:
        """Share of the ceiling that the steps reach, inside the classes."""
        return _ratio(self.steps.within.value, self.ceiling_within)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        shares = {"of_ceiling": self.of_ceiling, "of_ceiling_within": self.of_ceiling_within}
        return asdict(self) | shares


@dataclass(frozen=True, kw_only=True)
class Reducible:
    """Steps against what more steps can still change: the other notion of difficulty."""

    gain: Correlation  # cross-entropy with votes or label at step 1 minus at step T
    label_gain: Correlation  # the same with the label
    depth: Correlation  # first step from which the answer is right and stays right

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def agreement(
    trajectory: Trajectory, chosen_on: Trajectory | None = None, seed: int = 0
) -> Agreement | None:
    """Hold the steps against the votes; None where there are no votes or all steps are equal."""
    table = trajectory.predictions
    if table.votes is None or table.steps is None or np.ptp(table.steps) == 0:
        return None
    ambiguity, labels = vote_entropy(table.votes), table.labels
    counts = resamples(len(table), seed)
    compare = _comparer(table.steps, ambiguity, labels, counts)
    _, left_out = within(table.steps, ambiguity, labels, counts[:1])
    covariates, given = _covariates(trajectory)
    reliable, reliable_within = ceilings(table.votes, labels, seed)
    return Agreement(
        steps=compare("steps", table.steps),
        companions=tuple(compare(name, v) for name, v in _companions(trajectory).items()),
        rivals=tuple(
            compare(name, v) for name, v in _rivals(trajectory, ambiguity, chosen_on, seed).items()
        ),
        partial=partial_estimate(table.steps, ambiguity, covariates, counts),
        given=given,
        ceiling=reliable,
        ceiling_within=reliable_within,
        left_out=tuple(table.class_names[label] for label in left_out),
    )


def reducible(trajectory: Trajectory, seed: int = 0) -> Reducible | None:
    """Hold the steps against reducible loss; None where all steps are equal."""
    table = trajectory.predictions
    if table.steps is None or np.ptp(table.steps) == 0:
        return None
    trained = trajectory.trained_steps
    logs = np.log(trajectory.probabilities[:, :trained].clip(1e-12))  # (N, T, C)
    one_hot = np.eye(len(table.class_names))[table.labels]
    target = one_hot if table.votes is None else table.votes / table.votes.sum(1, keepdims=True)
    losses = {
        name: -(wanted[:, None] * logs).sum(2)  # (N, T)
        for name, wanted in (("votes", target), ("label", one_hot))
    }
    counts = resamples(len(table), seed)
    depth = prediction_depth(logs.argmax(2) == table.labels[:, None])
    known = np.flatnonzero(depth > 0)

    def against(name: str, values: NDArray[Any], faces: NDArray[np.intp]) -> Correlation:
        assert table.steps is not None
        steps, labels, drawn = table.steps[faces], table.labels[faces], counts[:, faces]
        drawn = drawn[drawn.sum(1) > 1]
        return Correlation(
            name=name,
            overall=rank_estimate(steps, values[faces], drawn),
            within=within_estimate(steps, values[faces], labels, drawn),
        )

    everyone = np.arange(len(table))
    gains = {name: loss[:, 0] - loss[:, -1] for name, loss in losses.items()}
    return Reducible(
        gain=against("gain in loss against the votes", gains["votes"], everyone),
        label_gain=against("gain in loss against the label", gains["label"], everyone),
        depth=against("first step right for good", depth, known),
    )


def ceilings(
    votes: Floats, groups: NDArray[np.int64], seed: int = 0
) -> tuple[float | None, float | None]:
    """Largest Spearman that any predictor can reach with the entropy of so few votes.

    The votes of each face are halved by lot; the correlation of the entropies of both halves,
    stepped up to all votes (Spearman and Brown 1910), is their reliability, and its square root
    the ceiling. Over all faces, and inside the groups. None where the votes cannot be halved.
    """
    numbers = implied_counts(votes)  # (N, C)
    if (numbers.sum(1) < 2).any():
        return None, None
    random = np.random.default_rng(seed)
    everyone = np.ones((1, len(votes)), np.float32)
    found: list[tuple[float, float]] = []
    for _ in range(HALVINGS):
        first = halved(numbers, random)
        one, two = vote_entropy(first.astype(float)), vote_entropy((numbers - first).astype(float))
        overall = correlations(ranks(one), ranks(two), everyone)[0]
        found.append((overall, within(one, two, groups, everyone)[0][0]))
    overall, inside = np.nanmean(np.array(found), 0)
    return _stepped_up(overall), _stepped_up(inside)


def halved(numbers: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Draw half of the votes (N, C) of each face without replacement, (N, C)."""
    ends = np.cumsum(numbers, 1)  # (N, C)
    places = np.arange(ends[:, -1].max())
    classes = (places[None, :, None] >= ends[:, None]).sum(2)  # (N, votes) class of each vote
    keys = np.where(places < ends[:, -1:], random.random((len(numbers), len(places))), np.inf)
    chosen = keys.argsort(1).argsort(1) < ends[:, -1:] // 2
    drawn = [(chosen & (classes == c)).sum(1) for c in range(numbers.shape[1])]
    return np.stack(drawn, 1).astype(np.int64)


def implied_counts(votes: Floats) -> NDArray[np.int64]:
    """Whole votes (N, C) behind shares: the largest number, ten at most, that gives each share."""
    shares = votes / votes.sum(1, keepdims=True)
    numbers = np.full(len(shares), MOST_VOTES)
    for total in range(1, MOST_VOTES + 1):
        whole = np.abs(shares * total - np.round(shares * total)).max(1) < 1e-3 * total
        numbers[whole] = total
    return np.asarray(np.round(shares * numbers[:, None]), dtype=np.int64)


def partial_estimate(
    first: NDArray[Any],
    second: NDArray[Any],
    covariates: Floats,
    counts: NDArray[np.float32],
) -> Estimate:
    """Spearman of what is left of both ranks once the covariates (N, K) are regressed out."""
    design = np.column_stack([np.ones(len(first)), covariates])
    left = []
    for values in (ranks(first), ranks(second)):
        fit, *_ = np.linalg.lstsq(design, values, rcond=None)
        left.append(values - design @ fit)
    value = correlations(left[0], left[1], np.ones((1, len(first)), np.float32))[0]
    return estimate(float(value), correlations(left[0], left[1], counts))


def _comparer(
    steps: NDArray[np.int64],
    ambiguity: Floats,
    labels: NDArray[np.int64],
    counts: NDArray[np.float32],
) -> Callable[[str, NDArray[Any]], Correlation]:
    target = ranks(ambiguity)
    own = correlations(ranks(steps), target, counts)
    everyone = np.ones((1, len(steps)), np.float32)
    own_value = float(correlations(ranks(steps), target, everyone)[0])

    def compare(name: str, values: NDArray[Any]) -> Correlation:
        draws = correlations(ranks(values), target, counts)
        value = float(correlations(ranks(values), target, everyone)[0])
        return Correlation(
            name=name,
            overall=estimate(value, draws),
            # What a class alone tells is constant within it, but for the lot of the folds.
            within=(
                Estimate(None)
                if name.endswith("class alone")
                else within_estimate(values, ambiguity, labels, counts)
            ),
            lead=None if values is steps else estimate(own_value - value, own - draws),
        )

    return compare


def _companions(trajectory: Trajectory) -> dict[str, Floats]:
    table, trained = trajectory.predictions, trajectory.trained_steps
    probabilities = trajectory.probabilities[:, :trained]
    entropies = -(probabilities * np.log(probabilities.clip(1e-12))).sum(2)
    found = {"area under the entropy of the steps": entropies.mean(1)}
    if table.ponder_cost is not None and np.ptp(table.ponder_cost) > 0:
        found["ponder cost"] = table.ponder_cost
    return found


def _rivals(
    trajectory: Trajectory, ambiguity: Floats, chosen_on: Trajectory | None, seed: int
) -> dict[str, NDArray[Any]]:
    table, trained = trajectory.predictions, trajectory.trained_steps
    assert table.steps is not None
    probabilities = trajectory.probabilities[:, :trained]
    entropies = -(probabilities * np.log(probabilities.clip(1e-12))).sum(2)  # (N, T)
    ordered = np.sort(probabilities[:, -1], 1)
    mean = float(table.steps.mean())
    return {
        "entropy of the last step": entropies[:, -1],
        "entropy of step 1": entropies[:, 0],
        "margin of the last step (negative)": ordered[:, -2] - ordered[:, -1],
        "predicted class alone": class_means(table.predicted, ambiguity, seed),
        "labelled class alone": class_means(table.labels, ambiguity, seed),
        "steps of a confidence exit, same mean": exit_steps(
            "confidence", trajectory, mean, chosen_on, seed
        ),
    }


def _covariates(trajectory: Trajectory) -> tuple[Floats, tuple[str, ...]]:
    table = trajectory.predictions
    classes = np.eye(len(table.class_names))[table.predicted][:, 1:]
    columns, given = [classes], ["predicted class"]
    for name in ("sharpness", "brightness"):
        values = getattr(trajectory, name)
        if values is not None:
            columns.append(ranks(values)[:, None])
            given.append(name)
    return np.concatenate(columns, 1), tuple(given)


def _stepped_up(reliability: float) -> float | None:
    """Ceiling from the correlation of two halves."""
    if not np.isfinite(reliability) or reliability <= 0:
        return None
    return float(np.sqrt(2 * reliability / (1 + reliability)))


def _ratio(value: float | None, ceiling: float | None) -> float | None:
    return None if value is None or not ceiling else value / ceiling
