"""When has a face been looked at for long enough? Rules from scores to weights, cost and steps.

Legend: T steps that were run, B faces. A rule sees the halting scores of all steps run so far and
treats the last of them as the last allowed step, so a face that has not halted takes what is left.
What a rule says of a face that has finished does not change when more steps are run.
All sums are in float32, because a bfloat16 sum near 1 - epsilon moves the step at which it halts;
float64 stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from adafer.settings.model import RecursiveSettings


@dataclass(frozen=True, kw_only=True)
class Halt:
    """What a rule decided for each face."""

    weights: Tensor  # (T, B), sums to 1 over T
    steps: Tensor  # (B,) whole steps taken, 1..T
    remainder: Tensor  # (B,) probability mass left for the last step
    cost: Tensor  # (B,) ponder cost
    finished: Tensor  # (B,) bool: halted by its own score, not for want of steps


Rule = Callable[[Tensor, RecursiveSettings], Halt]


def graves(scores: Tensor, settings: RecursiveSettings) -> Halt:
    """Adaptive computation time: mix the step outputs by their halting probabilities.

    Graves 2016, arXiv:1603.08983, eq. 5-9 with `remainder="additive"`: weights p_n, the last step
    takes R = 1 - (p_1 + ... + p_{N-1}), cost N + R. With `"multiplicative"` the mass left is
    R_n = R_{n-1} (1 - p_n), the weights are p_n R_{n-1}, and the cost is the sum of R_{n-1}, which
    is the expected number of steps (Eyzaguirre and Soto 2020, arXiv:2004.12770, sec. 3).
    Differs: halting is decided per face of a still image, and T is at most `max_steps`.
    """
    if settings.remainder == "multiplicative":
        return _graves_multiplicative(scores, settings.halt_epsilon)
    return _graves_additive(scores, settings.halt_epsilon)


def _graves_additive(scores: Tensor, epsilon: float) -> Halt:
    probs = at_least_float32(scores)
    running, before = _accumulate(probs, epsilon)
    steps = running.sum(0)  # (B,)
    last = _one_hot(steps, len(probs))  # (T, B)
    remainder = ((1 - before) * last).sum(0)
    weights = torch.where(last, remainder, probs * running)
    total = before[-1] + probs[-1] * running[-1]
    return Halt(
        weights=weights,
        steps=steps,
        remainder=remainder,
        cost=steps + remainder,
        finished=total >= 1 - epsilon,
    )


def _graves_multiplicative(scores: Tensor, epsilon: float) -> Halt:
    probs = at_least_float32(scores)
    before, after = _mass_left(probs)
    running = before > epsilon
    steps = running.sum(0)
    last = _one_hot(steps, len(probs))
    remainder = (before * last).sum(0)
    return Halt(
        weights=torch.where(last, before, probs * before * running),
        steps=steps,
        remainder=remainder,
        cost=_in_order(before * running),
        finished=after[-1] <= epsilon,
    )


def naive(scores: Tensor, settings: RecursiveSettings) -> Halt:
    """Halt when the cumulative probability reaches 1 - epsilon; answer with that step alone.

    Finished faces are masked: later steps do not change them. The choice of a step has no
    gradient, so the classification loss never reaches the halting unit; only the ponder cost does,
    through the remainder, and it always asks for larger probabilities. Differs from Graves 2016:
    no mixture of step outputs.
    """
    halt = _graves_additive(scores, settings.halt_epsilon)
    return Halt(
        weights=_one_hot(halt.steps, len(scores)).float(),
        steps=halt.steps,
        remainder=halt.remainder,
        cost=halt.cost,
        finished=halt.finished,
    )


def ponder(scores: Tensor, settings: RecursiveSettings) -> Halt:
    """PonderNet: scores are conditional halting probabilities; exit at the median of the steps.

    Banino et al. 2021, arXiv:2107.05407; the quantile exit is PALBERT's, arXiv:2204.03276
    (Differs: the paper draws the step at random). Weights are `step_distribution` cut at the exit,
    whose step takes the rest, so that they do not depend on how many steps other faces need; the
    cost is their expected number of steps. The loss reads the whole distribution from the scores.
    """
    hazards = at_least_float32(scores)
    before, after = _mass_left(hazards)
    halted = after <= 0.5  # (T, B)
    steps = _first_true(halted[:-1], len(hazards), settings.min_steps)
    last = _one_hot(steps, len(hazards))
    numbers = torch.arange(1, len(hazards) + 1, device=scores.device)[:, None]
    weights = torch.where(last, before, hazards * before * (numbers <= steps))
    return Halt(
        weights=weights,
        steps=steps,
        remainder=(before * last).sum(0),
        cost=_in_order(weights * numbers),
        finished=halted[settings.min_steps - 1 :].any(0),
    )


def step_distribution(hazards: Tensor) -> Tensor:
    """Probability of halting at each step (T, B), from conditional probabilities (T, B).

    Banino et al. 2021, arXiv:2107.05407, eq. 2; the last step takes the rest.
    """
    before, _ = _mass_left(at_least_float32(hazards))
    return torch.cat([hazards[:-1] * before[:-1], before[-1:]])


def confidence(scores: Tensor, settings: RecursiveSettings) -> Halt:
    """Stop at the first step whose leading emotion is probable enough. Nothing is learned.

    Scores are the largest class probability of each step (BranchyNet, Teerapittayanon et al. 2016,
    arXiv:1709.01686, with a threshold on confidence in place of entropy).
    """
    sure = at_least_float32(scores) >= settings.confidence  # (T, B)
    steps = _first_true(sure[:-1], len(scores), settings.min_steps)
    finished = sure[settings.min_steps - 1 :].any(0)
    return _at_step(steps, scores, finished)


def none(scores: Tensor, settings: RecursiveSettings) -> Halt:
    """Every face takes all T steps; the last one answers."""
    steps = torch.full(scores.shape[1:], len(scores), device=scores.device)
    return _at_step(steps, scores, torch.zeros_like(steps, dtype=torch.bool))


HALTING: dict[str, Rule] = {
    "graves": graves,
    "naive": naive,
    "ponder": ponder,
    "confidence": confidence,
    "none": none,
}
"""Rule by name; the `halting` setting of the recursive model."""


def finished(scores: Tensor, settings: RecursiveSettings) -> Tensor:
    """Whether each face (B,) has halted by its own scores (T, B): what the rule says, sooner.

    The rule also works out weights and costs, which a loop that only asks whether to go on would
    pay for at every step. The sums are taken in the rule's order, so both agree to the bit.
    """
    values = at_least_float32(scores)
    name, epsilon = settings.halting, settings.halt_epsilon
    if name == "none":
        return torch.zeros_like(values[0], dtype=torch.bool)
    if name == "confidence":
        return (values[settings.min_steps - 1 :] >= settings.confidence).any(0)
    if name == "naive" or (name == "graves" and settings.remainder == "additive"):
        spent, reached = torch.zeros_like(values[0]), torch.zeros_like(values[0], dtype=torch.bool)
        for value in values:
            spent = spent + value
            reached |= spent >= 1 - epsilon
        return reached
    left, enough = torch.ones_like(values[0]), 0.5 if name == "ponder" else epsilon
    for value in values:
        left = left * (1 - value)
    # A hazard of 1 can be followed by no other: what is left never grows.
    done = left <= enough
    return done if name == "graves" else done & (len(values) >= settings.min_steps)


MIXING = frozenset({"graves"})
"""Rules whose answer is the weighted sum of the step outputs; the others answer with one step."""

LEARNED_ON_ALL_STEPS = frozenset({"ponder", "confidence", "none"})
"""Rules whose training needs every step, whatever the scores say."""


def at_least_float32(values: Tensor) -> Tensor:
    """Raise half precision to float32 and leave the rest alone."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _accumulate(probs: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Whether each step is reached, and the probability spent before it; both (T, B)."""
    spent, reached, before = torch.zeros_like(probs[0]), [], []
    for prob in probs:
        reached.append(spent < 1 - epsilon)
        before.append(spent)
        spent = spent + prob
    return torch.stack(reached), torch.stack(before)


def _mass_left(hazards: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of not having halted before and after each step; both (T, B)."""
    left, lefts = torch.ones_like(hazards[0]), []
    for hazard in hazards:
        lefts.append(left)
        left = left * (1 - hazard)
    return torch.stack(lefts), torch.stack([*lefts[1:], left])


def _in_order(values: Tensor) -> Tensor:
    """Sum (T, B) step by step: a reduction's order, and so its last bit, depends on the batch."""
    total = torch.zeros_like(values[0])
    for value in values:
        total = total + value
    return total


def _one_hot(steps: Tensor, count: int) -> Tensor:
    numbers = torch.arange(1, count + 1, device=steps.device)
    return numbers[:, None] == steps[None]  # (T, B)


def _first_true(flags: Tensor, last: int, min_steps: int) -> Tensor:
    """Number of the first step, from `min_steps` on, whose flag is set; else the last step."""
    numbers = torch.arange(1, len(flags) + 1, device=flags.device)[:, None]
    allowed = flags & (numbers >= min_steps)
    candidates = torch.where(allowed, numbers, last)
    ceiling = torch.full(flags.shape[1:], last, device=flags.device)
    return torch.cat([candidates, ceiling[None]]).min(0).values


def _at_step(steps: Tensor, scores: Tensor, finished: Tensor) -> Halt:
    return Halt(
        weights=_one_hot(steps, len(scores)).float(),
        steps=steps,
        remainder=torch.zeros_like(scores[0], dtype=torch.float32),
        cost=steps.float(),
        finished=finished,
    )
