"""The halting rules once more, as loops over the steps of one face: an oracle for the tests."""

from collections.abc import Callable
from dataclasses import dataclass

from adafer.settings.model import RecursiveSettings


@dataclass
class Plain:
    steps: int
    remainder: float
    cost: float
    weights: list[float]


def plain_additive(scores: list[float], rule: RecursiveSettings) -> Plain:
    spent, weights = 0.0, [0.0] * len(scores)
    for place, probability in enumerate(scores):
        if spent + probability >= 1 - rule.halt_epsilon or place == len(scores) - 1:
            weights[place] = 1 - spent
            return Plain(place + 1, 1 - spent, place + 1 + (1 - spent), weights)
        weights[place] = probability
        spent += probability
    raise AssertionError


def plain_multiplicative(scores: list[float], rule: RecursiveSettings) -> Plain:
    left, cost, weights = 1.0, 0.0, [0.0] * len(scores)
    for place, probability in enumerate(scores):
        cost += left
        if left * (1 - probability) <= rule.halt_epsilon or place == len(scores) - 1:
            weights[place] = left
            return Plain(place + 1, left, cost, weights)
        weights[place] = probability * left
        left *= 1 - probability
    raise AssertionError


def plain_naive(scores: list[float], rule: RecursiveSettings) -> Plain:
    found = plain_additive(scores, rule)
    chosen = [float(place == found.steps - 1) for place in range(len(scores))]
    return Plain(found.steps, found.remainder, found.cost, chosen)


def plain_ponder(scores: list[float], rule: RecursiveSettings) -> Plain:
    left, cost, weights = 1.0, 0.0, [0.0] * len(scores)
    for place, hazard in enumerate(scores):
        allowed = place + 1 >= rule.min_steps
        if (allowed and left * (1 - hazard) <= 0.5) or place == len(scores) - 1:
            weights[place] = left
            return Plain(place + 1, left, cost + (place + 1) * left, weights)
        weights[place] = hazard * left
        cost += (place + 1) * hazard * left
        left *= 1 - hazard
    raise AssertionError


def plain_confidence(scores: list[float], rule: RecursiveSettings) -> Plain:
    place = 0
    while place < len(scores) - 1:
        if place + 1 >= rule.min_steps and scores[place] >= rule.confidence:
            break
        place += 1
    chosen = [float(other == place) for other in range(len(scores))]
    return Plain(place + 1, 0.0, place + 1.0, chosen)


def plain_none(scores: list[float], rule: RecursiveSettings) -> Plain:
    count = len(scores)
    return Plain(count, 0.0, float(count), [0.0] * (count - 1) + [1.0])


PLAIN: dict[str, Callable[[list[float], RecursiveSettings], Plain]] = {
    "graves-additive": plain_additive,
    "graves-multiplicative": plain_multiplicative,
    "naive": plain_naive,
    "ponder": plain_ponder,
    "ponder-min-2": plain_ponder,
    "confidence": plain_confidence,
    "confidence-min-3": plain_confidence,
    "none": plain_none,
}
