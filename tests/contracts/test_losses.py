"""What holds for every loss of LOSSES."""

from dataclasses import is_dataclass, replace
from typing import Any

import pytest
import torch
import trained
from torch import Tensor

from adafer.contracts import Batch, StepOutput
from adafer.losses import LOSSES
from adafer.settings.loss import LOSS_SETTINGS

every_loss = pytest.mark.parametrize("name", LOSSES)
COUNT = 8


EXTRA: dict[str, dict[str, Any]] = {
    "ponder": {"deep_supervision": 0.5, "ponder_lambda": 0.1},
    "ldam": {"class_counts": (40, 20, 10, 5, 0), "drw": 0.5, "drw_beta": 0.9},
    "logit-adjustment": {"class_frequencies": (0.5, 0.25, 0.15, 0.1, 0.0)},
    "distillation": {"alpha": 0.5},
}
PLAIN = {"ldam": {"ldam_margin": 0.0}, "distillation": {"alpha": 0.0}}
"""Settings under which a loss is as large as cross-entropy."""


def small(name: str) -> Any:
    return LOSSES[name][1](**EXTRA.get(name, {}))


def batch(order: Tensor | None = None, *, votes: bool = False) -> Batch:
    order = torch.arange(COUNT) if order is None else order
    shares = torch.rand(COUNT, len(trained.NAMES), generator=torch.Generator().manual_seed(2))
    shares = shares / shares.sum(1, keepdim=True)
    return Batch(
        images=trained.inputs(COUNT)[order],
        labels=(torch.arange(COUNT) % len(trained.NAMES))[order],
        votes=shares[order] if votes else None,
        teacher=3 * shares.flip(1)[order],
        ids=tuple(map(str, order.tolist())),
    )


def answer(name: str, given: Batch, *, training: bool = False) -> StepOutput:
    halting = "ponder" if name == "pondernet" else "graves"
    model = trained.module(settings=replace(trained.SMALL["recursive"], halting=halting))
    model.train(training)
    output: StepOutput = model(given.images)
    return output


@every_loss
def test_its_settings_are_itself(name: str) -> None:
    settings_class, loss_class = LOSSES[name]
    assert LOSS_SETTINGS[name] is settings_class
    assert issubclass(loss_class, settings_class)
    assert is_dataclass(loss_class)
    assert loss_class() == loss_class()


@every_loss
@pytest.mark.parametrize("votes", [False, True])
def test_terms_are_finite_scalars_whose_sum_moves_every_parameter_in_use(
    name: str, votes: bool
) -> None:
    given = batch(votes=votes)
    halting = "ponder" if name == "pondernet" else "graves"
    model = trained.module(settings=replace(trained.SMALL["recursive"], halting=halting)).train()
    terms = small(name)(model(given.images), given, 1.0)
    assert "classification" in terms
    assert set(terms) <= {*getattr(LOSSES[name][1], "TERMS", ("classification",))}
    for term in terms.values():
        assert term.shape == ()
        assert bool(term.isfinite())
    sum(terms.values(), torch.zeros(())).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert float(parameter.grad.abs().max()) > 0, key


@every_loss
def test_the_order_of_the_faces_does_not_matter(name: str) -> None:
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    ours, theirs = (
        small(name)(answer(name, given), given, 1.0) for given in (batch(), batch(order))
    )
    for term, value in ours.items():
        assert float(value.detach()) == pytest.approx(float(theirs[term].detach()), rel=1e-5)


@every_loss
def test_a_batch_twice_over_has_the_same_loss(name: str) -> None:
    once, twice = batch(), batch(torch.arange(COUNT).repeat(2))
    ours, theirs = (small(name)(answer(name, given), given, 1.0) for given in (once, twice))
    for term, value in ours.items():
        assert float(value.detach()) == pytest.approx(float(theirs[term].detach()), rel=1e-5)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_extreme_logits_of_half_precision_stay_finite(name: str, dtype: torch.dtype) -> None:
    given = batch()
    output = answer(name, given)
    extreme = torch.linspace(-60, 60, output.logits.numel()).reshape(output.logits.shape)
    output = replace(
        output,
        logits=extreme.to(dtype),
        step_logits=extreme.to(dtype).expand_as(output.step_logits),
        step_probs=torch.linspace(-60, 60, output.step_probs.numel())
        .to(dtype)
        .sigmoid()
        .reshape(output.step_probs.shape),
    )
    for term in small(name)(output, given, 1.0).values():
        assert bool(term.isfinite())
        assert term.dtype == torch.float32


@every_loss
def test_a_sure_and_right_answer_costs_less_than_a_sure_and_wrong_one(name: str) -> None:
    given = batch()
    output = answer(name, given)
    right = 10 * torch.nn.functional.one_hot(given.labels, len(trained.NAMES)).float()
    costs = [
        float(
            LOSSES[name][1](**PLAIN.get(name, {}))(
                replace(output, logits=logits, step_logits=logits.expand_as(output.step_logits)),
                given,
                1.0,
            )["classification"].detach()
        )
        for logits in (right, right.roll(1, 1))
    ]
    assert costs[0] < 0.01
    assert costs[1] == pytest.approx(10.0, abs=0.01)
