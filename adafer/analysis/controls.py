"""Would something simpler do as well? What a model's own halting is held against.

Every control answers the same faces from the same trajectory, at the model's own mean number of
steps where it can. Legend: N faces, T steps, D features, K permutations.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy as entropy_of
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adafer.analysis.exits import SIGNALS, accuracy_at, exit_steps, step_correct
from adafer.analysis.resampling import Estimate, mean_estimate, ranks, resamples
from adafer.metrics import spearman
from adafer.trajectory import Trajectory

PERMUTATIONS = 1000
FOLDS = 5

Right = NDArray[np.bool_]
Steps = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Control:
    """What one alternative reaches, and how far the model's own halting is above it."""

    name: str
    mean_steps: float
    accuracy: float
    gain: Estimate  # accuracy of the model minus this one's, paired over faces
    p: float | None = None  # one-sided, of a permutation
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How well the number of steps can be told before the second step is taken."""

    r2: float | None  # from the features of step 1, cross-fitted
    spearman: float | None
    class_spearman: float | None  # from the predicted class alone, cross-fitted


@dataclass(frozen=True, kw_only=True)
class Controls:
    """The model's own halting, and everything it is held against."""

    accuracy: float
    mean_steps: float
    sd_steps: float
    step_entropy: float  # nats, of the histogram of steps
    histogram: tuple[int, ...]  # faces that took 1..T steps
    rows: tuple[Control, ...]
    best_fixed: Control  # the best depth, or mixture of two, that costs no more
    gate: Gate

    def row(self, name: str) -> Control | None:
        """Return the control of this name."""
        return next((row for row in self.rows if row.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def controls(
    trajectory: Trajectory, chosen_on: Trajectory | None = None, seed: int = 0
) -> Controls:
    """Hold a model's halting against fixed depths, chance, other exits, a gate and an oracle.

    `chosen_on` is where thresholds are chosen: the validation trajectory for a test one.
    """
    table = trajectory.predictions
    assert table.steps is not None
    right = step_correct(trajectory)
    own = table.predicted == table.labels
    counts = resamples(len(table), seed)
    bench = _Bench(trajectory=trajectory, own=own, right=right, counts=counts, seed=seed)
    fixed = list(bench.fixed())
    equal = [row for row in fixed if row.mean_steps <= table.steps.mean() + 1e-9]
    return Controls(
        accuracy=float(own.mean()),
        mean_steps=float(table.steps.mean()),
        sd_steps=float(table.steps.std()),
        step_entropy=float(entropy_of(np.bincount(table.steps))),
        histogram=_histogram(table.steps, trajectory.trained_steps),
        rows=(
            *fixed,
            *bench.chance(),
            *bench.exits(chosen_on),
            bench.gated(),
            *bench.oracles(),
        ),
        best_fixed=max(equal, key=lambda row: row.accuracy),
        gate=bench.gate(),
    )


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """The faces on which everything is tried."""

    trajectory: Trajectory
    own: Right  # (N,)
    right: Right  # (N, T) each step alone
    counts: NDArray[np.float32]
    seed: int

    @property
    def steps(self) -> Steps:
        found = self.trajectory.predictions.steps
        assert found is not None
        return found

    def stopped(self) -> Right:
        """Whether the answer is right if the face is stopped after each step, (N, T)."""
        trained = self.trajectory.trained_steps
        answers = self.trajectory.stopped()[:, :trained].argmax(2)
        return np.asarray(answers == self.trajectory.predictions.labels[:, None])

    def control(self, name: str, values: NDArray[Any], mean: float, note: str = "") -> Control:
        """From how right each face is (N,), 0 to 1, under the control."""
        gain = mean_estimate(self.own - values.astype(np.float64), self.counts)
        return Control(
            name=name, mean_steps=mean, accuracy=float(values.mean()), gain=gain, note=note
        )

    def fixed(self) -> Iterator[Control]:
        """Yield every fixed depth, and the lot between the two depths around the model's mean."""
        for step in range(self.right.shape[1]):
            yield self.control(f"fixed depth {step + 1}", self.right[:, step], step + 1.0)
        mean = float(self.steps.mean())
        below = min(int(mean), self.right.shape[1] - 1)
        share = mean - below
        if share > 1e-9:
            lot = (1 - share) * self.right[:, below - 1] + share * self.right[:, below]
            note = f"depth {below} or {below + 1}, by lot"
            yield self.control("fixed depth, equal mean", lot, mean, note)
        if self.trajectory.mixing != "one":
            mixed = self.stopped()
            for step in range(1, mixed.shape[1]):
                name = f"mixture cut at {step + 1}"
                yield self.control(name, mixed[:, step], step + 1.0)

    def chance(self) -> Iterator[Control]:
        """Yield the model's own numbers of steps, dealt to other faces."""
        right, random = self.stopped(), np.random.default_rng(self.seed)
        groups = self.trajectory.predictions.predicted
        plain = np.array([_accuracy(right, random.permutation(self.steps)) for _ in _times()])
        inside = np.array([_accuracy(right, _within(self.steps, groups, random)) for _ in _times()])
        drawn = np.array(
            [_accuracy(right, random.choice(self.steps, len(self.steps))) for _ in _times()]
        )
        yield self._dealt("steps shuffled", plain, "among all faces, 1,000 times")
        yield self._dealt("steps shuffled within class", inside, "among faces of one prediction")
        yield self._dealt("steps at random", drawn, "drawn from the same histogram")

    def _dealt(self, name: str, accuracies: NDArray[np.float64], note: str) -> Control:
        own = _accuracy(self.stopped(), self.steps)
        gains = own - accuracies
        low, high = np.quantile(gains, (0.025, 0.975))
        return Control(
            name=name,
            mean_steps=float(self.steps.mean()),
            accuracy=float(accuracies.mean()),
            gain=Estimate(float(gains.mean()), float(low), float(high)),
            # The permutation that was observed is one of them (Phipson and Smyth 2010).
            p=float((1 + (accuracies >= own - 1e-12).sum()) / (1 + len(accuracies))),
            note=note,
        )

    def exits(self, chosen_on: Trajectory | None) -> Iterator[Control]:
        """Yield rules that read the answers of the steps, at the model's own mean."""
        where = "threshold from validation" if chosen_on is not None else "cross-fitted threshold"
        mean = float((chosen_on or self.trajectory).predictions.steps.mean())  # type: ignore[union-attr]
        for name in SIGNALS:
            steps = exit_steps(name, self.trajectory, mean, chosen_on, self.seed)
            yield self._at(f"exit by {name}", steps, where)

    def gated(self) -> Control:
        """Return what the steps told by the features of step 1 reach, with the same histogram."""
        told = self.told_steps()
        steps = np.empty_like(self.steps)
        steps[np.argsort(told, kind="stable")] = np.sort(self.steps)
        return self._at("gate from step 1", steps, "ridge regression on step 1, cross-fitted")

    def oracles(self) -> Iterator[Control]:
        """Yield bounds that know the label."""
        first = np.where(self.right.any(1), self.right.argmax(1) + 1, 1)
        yield self._at("oracle: first right step", first, "knows the label")

    def gate(self) -> Gate:
        """Return how well the number of steps can be told from step 1, and from the class."""
        told, steps = self.told_steps(), self.steps.astype(np.float64)
        groups = self.trajectory.predictions.predicted
        spread = float(((steps - steps.mean()) ** 2).sum())
        return Gate(
            r2=None if spread == 0 else 1 - float(((steps - told) ** 2).sum()) / spread,
            spearman=spearman(told, ranks(steps)),
            class_spearman=spearman(class_means(groups, steps, self.seed), ranks(steps)),
        )

    def told_steps(self) -> NDArray[np.float64]:
        """Steps (N,) told from the features of step 1, by a regression that saw other faces."""
        if np.ptp(self.steps) == 0:
            return self.steps.astype(np.float64)
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 5, 13)))
        folds = KFold(min(FOLDS, len(self.steps)), shuffle=True, random_state=self.seed)
        features = self.trajectory.features.astype(np.float64)
        told = cross_val_predict(model, features, self.steps.astype(np.float64), cv=folds)
        return np.asarray(told, dtype=np.float64)

    def _at(self, name: str, steps: Steps, note: str) -> Control:
        values = self.right[np.arange(len(steps)), steps - 1]
        return self.control(name, values, float(steps.mean()), note)


def class_means(
    groups: NDArray[np.int64], values: NDArray[np.float64], seed: int = 0
) -> NDArray[np.float64]:
    """Tell values (N,) from the class (N,) alone: its mean over the faces of the other folds."""
    told = np.full(len(values), float(values.mean()))
    folds = KFold(min(FOLDS, len(values)), shuffle=True, random_state=seed)
    for seen, here in folds.split(groups):
        for group in np.unique(groups[here]):
            same = seen[groups[seen] == group]
            if len(same):
                told[here[groups[here] == group]] = values[same].mean()
    return told


def _times() -> range:
    return range(PERMUTATIONS)


def _accuracy(right: Right, steps: Steps) -> float:
    return accuracy_at(right, steps)


def _within(steps: Steps, groups: NDArray[np.int64], random: np.random.Generator) -> Steps:
    dealt = steps.copy()
    for group in np.unique(groups):
        here = np.flatnonzero(groups == group)
        dealt[here] = steps[random.permutation(here)]
    return dealt


def _histogram(steps: Steps, longest: int) -> tuple[int, ...]:
    return tuple(np.bincount(steps, minlength=longest + 1)[1:].tolist())
