"""The schedule by hand, the groups of parameters, and what the machine is asked."""

import math
import random

import numpy as np
import pytest
import torch
from tiny_training import PHASES, TinyModel

from adafer.engine import hardware, optim
from adafer.engine.hardware import choose_device, choose_precision, machine_limits, set_seed
from adafer.engine.optim import Schedule, build_optimiser, set_modes, warmup_cosine
from adafer.errors import AdaferError, MachineError, WordsError
from adafer.settings.training import PhaseSettings


def test_the_rate_rises_in_a_line_and_falls_in_a_half_cosine() -> None:
    factors = [warmup_cosine(step, 10, 0.2) for step in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.5)  # half of the eight falling steps
    assert factors[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert warmup_cosine(10, 10, 0.2) == 0.0
    assert [warmup_cosine(s, 1, w) for s, w in ((0, 0.0), (0, 1.0))] == [1.0, 1.0]


def test_each_phase_has_a_schedule_of_its_own() -> None:
    schedule = Schedule(
        phases=(
            PhaseSettings(epochs=1, warmup=0.0),
            PhaseSettings(epochs=0),
            PhaseSettings(epochs=2, warmup=0.5),
        ),
        batches_per_epoch=7,
        accumulate=2,
    )
    assert [schedule.phase_at(epoch) for epoch in range(4)] == [0, 2, 2, 2]
    assert (schedule.epochs, schedule.steps_per_epoch) == (3, 4)
    assert schedule.factor(0, 0) == 1.0
    assert schedule.factor(0, 4) == pytest.approx(0.5)
    assert [schedule.factor(1, batch) for batch in (0, 2, 4, 6)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.factor(2, 4) == pytest.approx(0.5)
    assert schedule.progress(0, 0) == 0.0
    assert schedule.progress(1, 4) == 0.5
    assert schedule.progress(3, 0) == 1.0


def test_decay_is_for_kernels_and_the_head_has_its_own_rate() -> None:
    model = TinyModel()
    phase = PhaseSettings(lr=0.1, lr_backbone_factor=0.1, weight_decay=0.3)
    set_modes(model, phase)
    optimiser = build_optimiser(model, phase)
    found = {
        name: (group["peak"], group["weight_decay"])
        for group in optimiser.param_groups
        for name, parameter in model.named_parameters()
        if any(parameter is p for p in group["params"])
    }
    assert found == {
        "stem.0.weight": (pytest.approx(0.01), 0.3),
        "stem.0.bias": (pytest.approx(0.01), 0.0),
        "stem.1.weight": (pytest.approx(0.01), 0.0),
        "stem.1.bias": (pytest.approx(0.01), 0.0),
        "head.weight": (0.1, 0.3),
        "head.bias": (0.1, 0.0),
    }
    optim.set_rates(optimiser, 0.5)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == pytest.approx([0.005, 0.05])


def test_a_stage_that_rests_has_no_gradient_and_no_group() -> None:
    model = TinyModel()
    set_modes(model, PHASES[0])
    assert not any(p.requires_grad for p in model.stem.parameters())
    assert (model.stem[1].training, model.head.training) == (False, True)
    optimiser = build_optimiser(model, PHASES[0])
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 2
    assert optim.peak_rate(optimiser, "backbone") == 0.0
    set_modes(model, PHASES[1])
    assert all(p.requires_grad for p in model.parameters())
    assert model.stem[1].training


@pytest.mark.parametrize("name", ["gpu!", "cuda:x", "tpu9"])
def test_a_word_that_is_no_device(name: str) -> None:
    with pytest.raises(WordsError, match="is no device; use --device auto"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:63", "xpu", "meta", "cpu:3"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(MachineError, match=f"this machine has no device {name}"):
        choose_device(name)


@pytest.mark.parametrize(
    ("capability", "native", "expected"),
    [((9, 0), True, "bf16"), ((7, 5), False, "fp16"), ((6, 0), False, "fp32")],
)
def test_a_gpu_gets_the_arithmetic_that_it_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool, expected: str
) -> None:
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "device", lambda device: hardware.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_precision("auto", torch.device("cuda")) == expected
    assert choose_precision("fp32", torch.device("cuda")) == "fp32"


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16"), (False, "fp32")])
def test_a_cpu_gets_bf16_where_it_has_amx(
    monkeypatch: pytest.MonkeyPatch, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert choose_precision("auto", torch.device("cpu")) == expected
    with pytest.raises(WordsError, match="is no precision"):
        choose_precision("fp8", torch.device("cpu"))


def test_seeds_reach_every_generator() -> None:
    def draws() -> tuple[float, float, float]:
        set_seed(2**40 + 1)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    first = draws()
    assert first == draws()
    set_seed(4)
    assert random.random() != first[0]


def test_step_seeds_differ_wherever_the_training_stands() -> None:
    places = [
        (s, e, b, r) for s in range(3) for e in range(20) for b in range(20) for r in range(3)
    ]
    assert len({hardware.step_seed(*place) for place in places}) == len(places)
    assert (
        hardware.step_seed(0, 1, 2) == hardware.step_seed(0, 1, 2) == hardware.step_seed(0, 1, 2, 0)
    )


def test_deterministic_refuses_what_varies_and_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        set_seed(0, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert hardware.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        set_seed(0)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), MachineError, "out of memory with 8 faces"),
        (RuntimeError("MPS backend out of memory"), MachineError, "out of memory with 8 faces"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."),
            MachineError,
            "use --workers 0",
        ),
        (
            RuntimeError("pool_backward does not have a deterministic implementation"),
            AdaferError,
            "pool_backward has no deterministic form",
        ),
        (RuntimeError("shapes do not match"), RuntimeError, "shapes do not match"),
    ],
)
def test_limits_of_the_machine_are_sentences(
    error: Exception, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught, machine_limits(8):
        raise error
    assert caught.type is kind
