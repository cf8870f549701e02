"""Frozen starts, layer-wise rates and the other schedules, by hand."""

import math

import pytest
import torch
from torch import nn

from adafer.engine import optim
from adafer.engine.optim import cosine_restarts, in_phases, one_cycle, rate_at, stage_rates
from adafer.errors import WordsError
from adafer.settings.training import PhaseSettings


class Stack(nn.Module):
    """Four linear layers, each a stage."""

    wants_landmarks = False

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(2, 2) for _ in range(4))

    def stages(self) -> list[tuple[str, nn.Module]]:
        return [(name, part) for name, part in zip("abcd", self.parts, strict=True)]


def test_a_frozen_start_becomes_a_phase_of_its_own() -> None:
    given = PhaseSettings(epochs=80, freeze_backbone_epochs=3, lr=1e-3, schedule="one-cycle")
    head, rest = in_phases((given,))
    assert (head.epochs, head.stages, head.warmup, head.schedule) == (3, ("head",), 1.0, "cosine")
    assert (rest.epochs, rest.stages, rest.schedule) == (77, (), "one-cycle")
    assert in_phases((PhaseSettings(epochs=2),)) == (PhaseSettings(epochs=2),)
    (only,) = in_phases((PhaseSettings(epochs=2, freeze_backbone_epochs=2),))
    assert (only.epochs, only.stages) == (2, ("head",))


def test_the_frozen_start_rises_in_a_line_to_its_end() -> None:
    head, _ = in_phases((PhaseSettings(epochs=10, freeze_backbone_epochs=2),))
    assert [rate_at(step, 4, head) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_layer_wise_rates_fall_from_the_head_to_the_stem() -> None:
    phase = PhaseSettings(lr=1.0, lr_backbone_factor=0.1, layer_decay=0.5)
    found = {line.name: line.rates for line in stage_rates(Stack(), (phase,))}
    assert found == {
        "a": (pytest.approx(0.025),), "b": (pytest.approx(0.05),),
        "c": (pytest.approx(0.1),), "d": (1.0,),
    }  # fmt: skip
    model = Stack()
    optim.set_modes(model, phase)
    peaks = sorted({group["peak"] for group in optim.build_optimiser(model, phase).param_groups})
    assert peaks == pytest.approx([0.025, 0.05, 0.1, 1.0])
    assert optim.peak_rate(optim.build_optimiser(model, phase), "backbone") == pytest.approx(0.1)


def test_the_table_of_stages_tells_who_rests_in_which_phase() -> None:
    phases = (PhaseSettings(epochs=4, freeze_backbone_epochs=1, lr=0.2, stages=("c", "head")),)
    lines = stage_rates(Stack(), phases)
    assert [(line.name, line.parameters, line.rates) for line in lines] == [
        ("a", 6, (None, None)), ("b", 6, (None, None)), ("c", 6, (None, 0.2)), ("d", 6, (0.2, 0.2)),
    ]  # fmt: skip


def test_head_names_the_last_stage_and_an_unknown_one_is_refused() -> None:
    model = Stack()
    optim.set_modes(model, PhaseSettings(stages=("head",)))
    assert [part.weight.requires_grad for part in model.parts] == [False, False, False, True]
    with pytest.raises(WordsError, match="no stage 'e'; its stages are a, b, c, d"):
        optim.set_modes(model, PhaseSettings(stages=("e",)))


def test_one_cycle_rises_over_three_tenths_as_torch_does() -> None:
    steps = 100
    parameter = nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([parameter], lr=1.0), max_lr=1.0, total_steps=steps + 1, pct_start=0.31,
        cycle_momentum=False, div_factor=25, final_div_factor=1e9,
    )  # fmt: skip
    assert theirs.get_last_lr()[0] == pytest.approx(one_cycle(0, steps)) == pytest.approx(0.04)
    assert one_cycle(30, steps) == 1.0
    assert one_cycle(15, steps) == pytest.approx(1 - 0.96 * 0.5)
    assert one_cycle(65, steps) == pytest.approx(0.5)
    rates = [one_cycle(step, steps) for step in range(steps)]
    assert rates == sorted(rates[:31]) + sorted(rates[31:], reverse=True)


def test_cosine_restarts_are_those_of_torch() -> None:
    cycle = 10  # 10 + 20 + 40 steps for two restarts
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, cycle, T_mult=2)
    for step in range(70):
        assert cosine_restarts(step, 70, 0.0, 2) == pytest.approx(theirs.get_last_lr()[0]), step
        optimiser.step()
        theirs.step()
    assert cosine_restarts(0, 100, 0.1, 2) == 0.1


def test_a_constant_rate_rises_and_stays() -> None:
    phase = PhaseSettings(schedule="constant", warmup=0.2)
    assert [rate_at(step, 10, phase) for step in (0, 1, 2, 9)] == [0.5, 1.0, 1.0, 1.0]
    assert math.isclose(rate_at(0, 10, PhaseSettings(schedule="constant", warmup=0.0)), 1.0)
