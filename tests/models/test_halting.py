"""The halting rules against numbers worked out by hand, a plain loop, and their invariances."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_halting import PLAIN
from torch import Tensor

from adafer.models.halting import HALTING, Halt, finished, step_distribution
from adafer.settings.model import RecursiveSettings

RULES = {
    "graves-additive": RecursiveSettings(halting="graves", remainder="additive"),
    "graves-multiplicative": RecursiveSettings(halting="graves", remainder="multiplicative"),
    "naive": RecursiveSettings(halting="naive"),
    "ponder": RecursiveSettings(halting="ponder"),
    "ponder-min-2": RecursiveSettings(halting="ponder", min_steps=2),
    "confidence": RecursiveSettings(halting="confidence", confidence=0.6),
    "confidence-min-3": RecursiveSettings(halting="confidence", confidence=0.6, min_steps=3),
    "none": RecursiveSettings(halting="none"),
}
# Each example holds up to five faces, so 40 examples are near 200 faces.
every_rule = pytest.mark.parametrize("name", RULES)
bounded = settings(max_examples=40, derandomize=True, deadline=None, database=None)


def decide(name: str, scores: Tensor) -> Halt:
    return HALTING[RULES[name].halting](scores, RULES[name])


def column(*scores: float) -> Tensor:
    """Scores of one face, (T, 1), in double precision."""
    return torch.tensor(scores, dtype=torch.float64)[:, None]


def told(halt: Halt) -> tuple[int, float, float, list[float]]:
    """Steps, remainder, cost and weights of one face."""
    return (
        int(halt.steps),
        float(halt.remainder),
        float(halt.cost),
        halt.weights[:, 0].tolist(),
    )


@st.composite
def scores_of_a_batch(draw: st.DrawFn) -> Tensor:
    steps, faces = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    probability = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.33, 0.5, 0.99, 1.0]))
    rows = draw(
        st.lists(
            st.lists(probability, min_size=faces, max_size=faces), min_size=steps, max_size=steps
        )
    )
    return torch.tensor(rows, dtype=torch.float64)


# Toy cases by hand ------------------------------------------------------------------------------


def test_graves_stops_at_the_first_step_when_its_probability_reaches_one_minus_epsilon() -> None:
    # 0.995 >= 0.99, so N = 1, R = 1 - 0 = 1 and the cost is N + R = 2.0
    assert told(decide("graves-additive", column(0.995, 0.5, 0.5))) == (1, 1.0, 2.0, [1.0, 0, 0])


def test_graves_stops_in_the_middle_and_gives_the_last_step_what_is_left() -> None:
    # 0.3 + 0.6 = 0.9 < 0.99 <= 0.9 + 0.2, so N = 3, R = 1 - 0.9 = 0.1 and the cost is 3.1
    steps, remainder, cost, weights = told(decide("graves-additive", column(0.3, 0.6, 0.2, 0.9)))
    assert steps == 3
    assert remainder == pytest.approx(0.1, abs=1e-12)
    assert cost == pytest.approx(3.1, abs=1e-12)
    assert weights == pytest.approx([0.3, 0.6, 0.1, 0.0], abs=1e-12)


def test_graves_is_stopped_by_the_last_step_when_nothing_else_stops_it() -> None:
    # 0.01 x 5 never reaches 0.99: N = T = 6, R = 1 - 0.05 = 0.95, cost 6.95
    halt = decide("graves-additive", column(*[0.01] * 6))
    steps, remainder, cost, weights = told(halt)
    assert steps == 6
    assert remainder == pytest.approx(0.95, abs=1e-12)
    assert cost == pytest.approx(6.95, abs=1e-12)
    assert weights == pytest.approx([0.01] * 5 + [0.95], abs=1e-12)
    assert not halt.finished


def test_reaching_the_threshold_exactly_is_enough() -> None:
    rule = RecursiveSettings(halt_epsilon=0.25)  # 0.5 + 0.25 = 0.75 without rounding
    halt = HALTING["graves"](column(0.5, 0.25, 0.5), rule)
    assert int(halt.steps) == 2
    assert bool(HALTING["graves"](column(0.5, 0.25), rule).finished)
    product = RecursiveSettings(halt_epsilon=0.25, remainder="multiplicative")
    halt = HALTING["graves"](column(0.5, 0.5, 0.5), product)  # mass left: 1, 0.5, 0.25
    assert int(halt.steps) == 2


def test_the_multiplicative_remainder_by_hand() -> None:
    # mass left before each step: 1, 0.5, 0.25, 0.125; never at most 0.01, so T = 4 is the last;
    # weights p_n x mass are 0.5, 0.25, 0.125 and the last takes 0.125; the cost is the sum 1.875
    steps, remainder, cost, weights = told(decide("graves-multiplicative", column(*[0.5] * 4)))
    assert (steps, remainder, cost) == (4, 0.125, 1.875)
    assert weights == [0.5, 0.25, 0.125, 0.125]
    # 0.9 twice leaves 0.01 after two steps, which is epsilon: the second step takes the 0.1
    steps, remainder, cost, weights = told(decide("graves-multiplicative", column(0.9, 0.91, 0.9)))
    assert steps == 2
    assert remainder == pytest.approx(0.1)
    assert cost == pytest.approx(1.1)
    assert weights == pytest.approx([0.9, 0.1, 0.0])


def test_naive_halts_where_graves_does_and_answers_with_that_step_alone() -> None:
    scores = column(0.3, 0.6, 0.2, 0.9)
    naive, graves = decide("naive", scores), decide("graves-additive", scores)
    assert int(naive.steps) == int(graves.steps) == 3
    assert naive.weights[:, 0].tolist() == [0, 0, 1, 0]
    assert torch.equal(naive.cost, graves.cost)


def test_ponder_halts_at_the_median_of_the_steps() -> None:
    # P(N = n) = 0.25, 0.1875, 0.140625, ...; the sum passes one half at n = 3 (0.578)
    hazards = column(*[0.25] * 5)
    steps, remainder, cost, weights = told(decide("ponder", hazards))
    assert steps == 3
    assert remainder == 0.5625  # 0.75 ** 2
    assert weights == [0.25, 0.1875, 0.5625, 0, 0]
    assert cost == 0.25 + 2 * 0.1875 + 3 * 0.5625
    full = [0.25, 0.1875, 0.140625, 0.10546875, 0.31640625]
    assert step_distribution(hazards)[:, 0].tolist() == full


def test_ponder_waits_for_the_fewest_steps() -> None:
    assert int(decide("ponder", column(0.9, 0.9, 0.9)).steps) == 1
    halt = decide("ponder-min-2", column(0.9, 0.9, 0.9))
    assert int(halt.steps) == 2
    assert halt.weights[:, 0].tolist() == pytest.approx([0.9, 0.1, 0])
    assert not decide("ponder-min-2", column(0.9)).finished


def test_confidence_stops_at_the_first_sure_step_from_the_fewest_on() -> None:
    scores = column(0.3, 0.6, 0.5, 0.7)
    assert told(decide("confidence", scores)) == (2, 0.0, 2.0, [0, 1, 0, 0])
    assert told(decide("confidence-min-3", scores)) == (4, 0.0, 4.0, [0, 0, 0, 1])
    assert told(decide("confidence", column(0.1, 0.2, 0.3))) == (3, 0.0, 3.0, [0, 0, 1])
    assert not decide("confidence-min-3", column(0.9, 0.9)).finished


def test_none_takes_every_step() -> None:
    halt = decide("none", column(1.0, 1.0, 1.0))
    assert told(halt) == (3, 0.0, 3.0, [0, 0, 1])
    assert not halt.finished


@pytest.mark.parametrize(
    ("bias", "steps"), [(1.0, 2), (0.0, 2), (-0.5, 3), (-1.0, 4), (-2.0, 9), (-3.0, 21)]
)
def test_the_starting_bias_sets_the_first_number_of_steps(bias: float, steps: int) -> None:
    probability = torch.full((30, 1), bias).sigmoid()
    assert int(decide("graves-additive", probability).steps) == steps
    assert steps == math.ceil(0.99 * (1 + math.exp(-bias)))


# Gradients --------------------------------------------------------------------------------------


def test_the_gradient_of_the_additive_cost_is_minus_one_before_the_last_step() -> None:
    scores = column(0.3, 0.6, 0.2, 0.9).requires_grad_()
    decide("graves-additive", scores).cost.sum().backward()
    assert scores.grad is not None
    assert scores.grad[:, 0].tolist() == [-1, -1, 0, 0]
    scores = column(0.995, 0.5).requires_grad_()
    decide("graves-additive", scores).cost.sum().backward()
    assert scores.grad is not None
    assert scores.grad[:, 0].tolist() == [0, 0]


def test_the_gradient_of_a_mixture_is_the_lead_over_the_last_step() -> None:
    # y = sum w_n y_n with w_N = 1 - sum p_n, so dy/dp_n = y_n - y_N (Graves 2016)
    scores = column(0.3, 0.6, 0.2, 0.9).requires_grad_()
    values = torch.tensor([5.0, 3.0, 1.0, 9.0], dtype=torch.float64)[:, None]
    (decide("graves-additive", scores).weights * values).sum().backward()
    assert scores.grad is not None
    assert scores.grad[:, 0].tolist() == [4, 2, 0, 0]


def test_the_choice_of_a_step_has_no_gradient() -> None:
    scores = column(0.3, 0.6, 0.2).requires_grad_()
    for name in ("naive", "confidence", "none"):
        assert not decide(name, scores).weights.requires_grad


@pytest.mark.parametrize("name", ["graves-additive", "graves-multiplicative", "naive", "ponder"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    scores = torch.tensor(
        [[0.3, 0.05, 0.7], [0.4, 0.1, 0.2], [0.2, 0.2, 0.8], [0.3, 0.1, 0.6]],
        dtype=torch.float64,
        requires_grad=True,
    )

    def differentiable(given: Tensor) -> tuple[Tensor, ...]:
        halt = decide(name, given)
        return halt.cost, halt.remainder, *((halt.weights,) if name != "naive" else ())

    assert torch.autograd.gradcheck(differentiable, (scores,), nondet_tol=0.0)
    assert torch.autograd.gradcheck(step_distribution, (scores,), nondet_tol=0.0)


def test_finite_differences_notice_a_wrong_gradient() -> None:
    scores = column(0.3, 0.4, 0.2).requires_grad_()

    def half_detached(given: Tensor) -> Tensor:
        halt = decide("graves-additive", given)
        return halt.steps + 0.5 * halt.remainder + 0.5 * halt.remainder.detach()

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(half_detached, (scores,))


# A plain loop, one face at a time -----------------------------------------------------------------


@every_rule
@bounded
@given(scores=scores_of_a_batch())
def test_a_rule_equals_a_plain_loop_over_faces_and_steps(name: str, scores: Tensor) -> None:
    halt = decide(name, scores)
    for face in range(scores.shape[1]):
        expected = PLAIN[name](scores[:, face].tolist(), RULES[name])
        assert int(halt.steps[face]) == expected.steps
        assert float(halt.remainder[face]) == pytest.approx(expected.remainder, abs=1e-12)
        assert float(halt.cost[face]) == pytest.approx(expected.cost, abs=1e-12)
        assert halt.weights[:, face].tolist() == pytest.approx(expected.weights, abs=1e-12)


# Properties -------------------------------------------------------------------------------------


@every_rule
@bounded
@given(scores=scores_of_a_batch())
def test_weights_are_a_distribution_and_costs_keep_their_bounds(name: str, scores: Tensor) -> None:
    count = len(scores)
    for given_scores in (scores, scores.float()):
        halt = decide(name, given_scores)
        assert bool((halt.weights >= 0).all())
        assert torch.allclose(
            halt.weights.double().sum(0), torch.ones(scores.shape[1]).double(), atol=1e-6, rtol=0
        )
        assert bool(((halt.steps >= 1) & (halt.steps <= count)).all())
        assert bool(((halt.cost >= 1 - 1e-6) & (halt.cost <= count + 1)).all())
        if name.startswith(("graves", "naive")) or name == "ponder":
            assert bool(((halt.remainder > 0) & (halt.remainder <= 1)).all())
        after = torch.arange(1, count + 1)[:, None] > halt.steps
        assert float(halt.weights[after].abs().sum()) == 0


@pytest.mark.parametrize("name", ["graves-additive", "graves-multiplicative", "naive", "ponder"])
@bounded
@given(scores=scores_of_a_batch(), share=st.floats(0, 1))
def test_halting_later_only_raises_the_cost(name: str, scores: Tensor, share: float) -> None:
    assert bool((decide(name, scores * share).cost >= decide(name, scores).cost - 1e-12).all())


@every_rule
@bounded
@given(scores=scores_of_a_batch(), data=st.data())
def test_a_face_is_told_the_same_alone_permuted_split_and_padded(
    name: str, scores: Tensor, data: st.DataObject
) -> None:
    faces = scores.shape[1]
    order = torch.tensor(data.draw(st.permutations(range(faces))))
    cut = data.draw(st.integers(0, faces))
    padding = torch.rand(len(scores), 3, dtype=scores.dtype, generator=torch.Generator())
    whole = decide(name, scores)
    parts = [decide(name, part) for part in (scores[:, :cut], scores[:, cut:]) if part.numel()]
    for field in ("steps", "remainder", "cost", "weights", "finished"):
        expected = getattr(whole, field)
        permuted = getattr(decide(name, scores[:, order]), field)
        padded = getattr(decide(name, torch.cat([scores, padding], 1)), field)
        assert torch.equal(permuted, expected[..., order])
        assert torch.equal(padded[..., :faces], expected)
        assert torch.equal(torch.cat([getattr(part, field) for part in parts], -1), expected)


@every_rule
@bounded
@given(scores=scores_of_a_batch())
def test_what_a_finished_face_was_told_stays_when_more_steps_are_run(
    name: str, scores: Tensor
) -> None:
    prefixes = [decide(name, scores[:count]) for count in range(1, len(scores) + 1)]
    for count, (early, later) in enumerate(pairwise(prefixes), 1):
        done = early.finished
        assert bool((later.finished >= done).all())
        for field in ("steps", "remainder", "cost"):
            now, before = getattr(later, field)[done], getattr(early, field)[done]
            assert torch.allclose(now, before, rtol=0, atol=1e-12)
        assert torch.equal(later.weights[:count, done], early.weights[:, done])
        assert float(later.weights[count:, done].sum()) == 0


@every_rule
@bounded
@given(scores=scores_of_a_batch())
def test_an_unfinished_face_takes_every_step(name: str, scores: Tensor) -> None:
    halt = decide(name, scores)
    assert bool((halt.steps[~halt.finished] == len(scores)).all())


# Precision --------------------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_are_in_float32_under_autocast(name: str, dtype: torch.dtype) -> None:
    scores = torch.rand(6, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = decide(name, scores)
    expected = decide(name, scores.float())
    for field in ("steps", "remainder", "cost", "weights"):
        assert torch.equal(getattr(found, field), getattr(expected, field))
    assert found.weights.dtype == found.cost.dtype == torch.float32


def test_a_bfloat16_sum_would_never_halt_where_the_float32_sum_does() -> None:
    # 0.0015 is lost in a bfloat16 sum above 0.5, whose neighbours lie 0.0039 apart.
    scores = torch.full((800, 1), 0.0015, dtype=torch.bfloat16)
    spent = torch.zeros(1, dtype=torch.bfloat16)
    for score in scores:
        spent = spent + score
    assert float(spent) < 0.6
    exact = math.ceil(0.99 / float(scores[0]))
    assert int(decide("graves-additive", scores).steps) == pytest.approx(exact, abs=1)


@every_rule
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_extreme_logits_stay_finite_forward_and_backward(name: str, dtype: torch.dtype) -> None:
    logits = torch.linspace(-60, 60, 40).reshape(8, 5).to(dtype).requires_grad_()
    halt = decide(name, logits.sigmoid())
    for values in (halt.weights, halt.cost, halt.remainder):
        assert bool(values.isfinite().all())
    total = halt.weights.square().sum() + halt.cost.sum()
    if total.requires_grad:
        total.backward()
        assert logits.grad is not None
        assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("min_steps", [1, 3])
@pytest.mark.parametrize("remainder", ["additive", "multiplicative"])
@pytest.mark.parametrize("rule", list(HALTING))
def test_the_quick_question_gets_the_rules_answer(rule: str, remainder: str, min_steps: int):
    settings = RecursiveSettings(halting=rule, remainder=remainder, min_steps=min_steps)
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(8, 5000, generator=generator) ** 2
    scores[:, :50] = torch.rand(8, 50, generator=generator).round()  # zeros and ones
    for count in range(1, 9):
        told = HALTING[rule](scores[:count], settings).finished
        assert torch.equal(finished(scores[:count], settings), told)
