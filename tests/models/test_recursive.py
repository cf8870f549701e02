"""The recursive network: its loop, its halting unit, checkpointing and precision."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trained
from torch import Tensor, nn

from adafer.contracts import StepModel, StepOutput
from adafer.models.recursive import (
    HaltingMechanism,
    HaltingUnit,
    RecursiveBlock,
    RecursiveFER,
)
from adafer.settings.model import RecursiveSettings

SMALL: RecursiveSettings = trained.SMALL["recursive"]
ROOT = Path(__file__).parents[2]


def small(**changes: object) -> RecursiveFER:
    model = trained.module(settings=replace(SMALL, **changes))
    assert isinstance(model, RecursiveFER)
    return model


def count_steps(model: RecursiveFER) -> list[int]:
    """A list that grows by the batch size at every call of the block."""
    calls: list[int] = []
    model.block.register_forward_hook(lambda _, given, __: calls.append(len(given[0])))
    return calls


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_the_answer_unpacks_as_logits_cost_and_step_probabilities() -> None:
    output = small()(trained.inputs(3))
    logits, ponder_cost, step_probs = output
    assert logits is output.logits
    assert ponder_cost is output.ponder_cost
    assert step_probs is output.step_probs


def test_the_halting_unit_answers_to_both_names_and_starts_alike_for_every_face() -> None:
    assert HaltingMechanism is HaltingUnit
    scores = HaltingUnit(16, 1.0)(torch.randn(5, 16, 3, 3))
    assert scores.tolist() == pytest.approx([1 / (1 + 2.718281828**-1)] * 5)


@pytest.mark.parametrize(("bias", "steps"), [(1.0, 2), (-0.5, 3), (-1.0, 4), (-2.0, 9)])
def test_an_untrained_network_takes_the_steps_that_its_bias_says(bias: float, steps: int) -> None:
    model = RecursiveFER(replace(SMALL, halt_bias=bias, max_steps=12), 5).eval()
    calls = count_steps(model)
    assert model(trained.inputs(3)).steps.tolist() == [steps] * 3
    assert len(calls) == steps  # and no step more is computed


def test_the_mixture_is_the_weighted_sum_of_the_step_answers() -> None:
    output = small()(trained.inputs(8))
    mixed = torch.einsum("tb,tbc->bc", output.weights, output.step_logits)
    assert torch.allclose(output.logits, mixed, atol=1e-6)


@pytest.mark.parametrize("halting", ["naive", "ponder", "confidence", "none"])
def test_the_other_rules_answer_with_the_step_at_which_a_face_halts(halting: str) -> None:
    output = small(halting=halting)(trained.inputs(8))
    for face in range(8):
        step = int(output.steps[face]) - 1
        assert torch.equal(output.logits[face], output.step_logits[step, face])


def test_the_loop_outside_gives_what_forward_gives() -> None:
    model = small(halting="none")
    assert isinstance(model, StepModel)
    images = trained.inputs(4)
    output = model(images)
    memory = model.begin(images)
    for step in range(SMALL.max_steps):
        memory = model.step(memory)
        logits, scores = model.read(memory)
        assert torch.equal(logits, output.step_logits[step])
        assert torch.equal(scores, output.step_probs[step])


def test_evaluation_stops_when_the_last_face_of_the_batch_has_halted() -> None:
    model = small(max_steps=8)
    calls = count_steps(model)
    output = model(trained.inputs(16))
    assert len(calls) == int(output.steps.max()) < 8
    assert len(set(output.steps.tolist())) > 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"halting": "graves"}, 2),
        ({"halting": "graves", "run_all_steps": True}, 6),
        ({"halting": "ponder"}, 6),
        ({"halting": "confidence"}, 6),
        ({"halting": "none"}, 6),
    ],
)
def test_training_runs_the_steps_that_learning_needs(
    changes: dict[str, object], expected: int
) -> None:
    model = RecursiveFER(replace(SMALL, halt_bias=1.0, max_steps=6, **changes), 5).train()
    calls = count_steps(model)
    model(trained.inputs(3))
    assert len(calls) == expected


def test_the_state_does_not_grow_with_depth() -> None:
    model = small(halting="none")
    memory = model.begin(trained.inputs(4))
    norms = []
    for _ in range(40):
        memory = model.step(memory)
        norms.append(float(memory.state.detach().norm()))
    assert norms == pytest.approx([memory.state.numel() ** 0.5] * 40, rel=1e-3)


def test_a_gru_step_lies_between_the_state_and_the_candidate() -> None:
    block = RecursiveBlock(16, "gru").eval()
    state, stem = torch.randn(2, 16, 4, 4), torch.randn(2, 16, 4, 4)
    nn.init.zeros_(block.gates.weight)
    assert block.gates.bias is not None
    nn.init.constant_(block.gates.bias, -100.0)  # gates shut: nothing enters
    assert torch.allclose(block(state, stem), state)
    nn.init.constant_(block.gates.bias, 100.0)  # gates open: the candidate replaces the state
    assert torch.allclose(block(state, stem), block.transform(state + stem).tanh(), atol=1e-6)


# Learning -----------------------------------------------------------------------------------------


def halting_gradient(halting: str, remainder: str = "additive") -> Tensor:
    """Gradient of the classification loss alone (lambda = 0) at the halting unit's weights."""
    model = small(halting=halting, remainder=remainder).train()
    output = model(trained.inputs(16))
    nn.functional.cross_entropy(output.logits, torch.arange(16) % 5).backward()
    grad = model.halting.linear.weight.grad
    return torch.zeros(1) if grad is None else grad


@pytest.mark.parametrize("remainder", ["additive", "multiplicative"])
def test_classification_alone_teaches_the_graves_unit(remainder: str) -> None:
    assert float(halting_gradient("graves", remainder).abs().max()) > 1e-4


@pytest.mark.parametrize("halting", ["naive", "confidence", "none"])
def test_classification_alone_teaches_the_naive_unit_nothing(halting: str) -> None:
    assert float(halting_gradient(halting).abs().max()) == 0


def test_the_ponder_cost_alone_teaches_the_naive_unit() -> None:
    model = small(halting="naive").train()
    model(trained.inputs(16)).ponder_cost.mean().backward()
    assert model.halting.linear.weight.grad is not None
    assert float(model.halting.linear.weight.grad.abs().max()) > 1e-4


def test_the_halting_unit_has_the_gradient_of_finite_differences() -> None:
    unit = HaltingUnit(4, -0.5).double()
    nn.init.normal_(unit.linear.weight)
    state = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit, (state,), nondet_tol=0.0)


# Checkpointing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["residual", "gru"])
def test_checkpointing_changes_neither_answers_nor_gradients(memory: str) -> None:
    found = []
    for checkpointing in (False, True):
        model = small(memory=memory, checkpoint_block=checkpointing).train()
        torch.manual_seed(1)  # dropout
        output = model(trained.inputs(6))
        (output.logits.square().mean() + output.ponder_cost.mean()).backward()
        found.append((output.logits, gradients(model)))
    (plain, plain_grads), (kept, kept_grads) = found
    assert torch.equal(plain, kept)
    assert plain_grads.keys() == kept_grads.keys()
    for name, grad in plain_grads.items():
        assert torch.allclose(grad, kept_grads[name], rtol=1e-5, atol=1e-7)


def test_checkpointing_costs_at_most_a_quarter_of_the_memory_per_step() -> None:
    measured = runpy.run_path(str(ROOT / "benchmarks" / "checkpoint_memory.py"))
    found = measured["compare"](measured["live_peak"], batch=4, side=48)
    assert found["without"] > 0
    assert found["ratio"] <= measured["AIM"] == 0.25


# Precision ----------------------------------------------------------------------------------------


def test_under_autocast_answers_and_scores_are_float32() -> None:
    model = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(trained.inputs(8))
    for values in (output.logits, output.step_probs, output.weights, output.ponder_cost):
        assert values.dtype == torch.float32
    assert torch.allclose(output.weights.sum(0), torch.ones(8), atol=1e-6)


def test_the_halting_probability_is_not_rounded_by_autocast() -> None:
    unit = HaltingUnit(16, -0.5)
    nn.init.normal_(unit.linear.weight)
    state = torch.randn(50, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = unit(state)
        rounded = unit.linear(state.mean((2, 3))).squeeze(1).float().sigmoid()
    assert torch.equal(inside, unit(state))
    assert not torch.equal(inside, rounded)  # what a linear layer would have done


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_answers_are_finite_for_inputs_of_any_scale(scale: float) -> None:
    images = torch.cat([scale * trained.inputs(4), torch.zeros(1, 3, trained.SIDE, trained.SIDE)])
    output: StepOutput = small()(images)
    assert bool(output.logits.isfinite().all())
    assert bool(output.ponder_cost.isfinite().all())
