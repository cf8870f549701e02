"""The spread of weights and gradients: numpy's numbers, rows of a resumed run, equal text."""

import csv
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, TinyModel, cross_entropy

from adafer.engine.statistics import COLUMNS, extended_table, spread, spreads, weights_text
from adafer.engine.train import State, fit

ALL = [name for name, _ in TinyModel().named_parameters()]


def trained(epochs: int) -> State:
    state = State.create(TinyModel(), TRAIN, PHASES)
    for record in fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN):
        if record.epoch == epochs:
            break
    return state


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_the_five_numbers_are_numpys(shape: tuple[int, ...], dtype: torch.dtype):
    values = (10 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(dtype)
    numbers = values.double().numpy()
    found = spread(values)
    assert (found.min, found.max) == (numbers.min(), numbers.max())
    assert found.mean == pytest.approx(numbers.mean())
    assert found.std == pytest.approx(numbers.std())
    assert found.l2 == pytest.approx(np.linalg.norm(numbers))


def test_the_numbers_of_an_empty_tensor_are_no_numbers():
    found = spread(torch.zeros(0, 3))
    assert math.isnan(found.mean)
    assert found.l2 == 0


def test_the_gradient_is_that_of_the_last_step_and_absent_where_nothing_learned():
    state = trained(1)  # the first phase trains the head alone
    found = {name: (weights, gradient) for name, weights, gradient in spreads(state.model, "all")}
    assert list(found) == ALL
    for name, parameter in state.model.named_parameters():
        weights, gradient = found[name]
        assert weights == spread(parameter)
        assert (gradient is None) == name.startswith("stem")
        if gradient is not None:
            assert gradient == spread(parameter.grad)
            assert gradient.l2 > 0


def test_head_takes_the_last_stage_alone():
    names = [name for name, *_ in spreads(TinyModel(), "head")]
    assert names == ["head.weight", "head.bias"]


def test_the_table_grows_by_an_epoch_and_reads_back_to_the_bit(tmp_path: Path):
    path, state = tmp_path / "weight_stats.csv", trained(2)
    for epoch in (1, 2):
        path.write_text(extended_table(path, epoch, state.model, "all"))
    rows = rows_of(path.read_text())
    assert tuple(rows[0]) == COLUMNS
    assert [(row["epoch"], row["parameter"]) for row in rows] == [
        (epoch, name) for epoch in "12" for name in ALL
    ]
    head = dict(state.model.named_parameters())["head.weight"]
    (row,) = [row for row in rows if row["epoch"] == "2" and row["parameter"] == "head.weight"]
    assert float(row["weight_std"]) == spread(head).std
    assert float(row["gradient_l2"]) == spread(head.grad).l2


@pytest.mark.parametrize("damage", ["", "3,head.we", "three,x" + ",0" * 10, "\n\n"])
def test_a_resumed_run_keeps_the_epochs_before_and_writes_the_others_again(
    tmp_path: Path, damage: str
):
    path, model = tmp_path / "weight_stats.csv", trained(1).model
    for epoch in (1, 2, 3):
        path.write_text(extended_table(path, epoch, model, "head"))
    path.write_text(path.read_text() + damage)
    again = extended_table(path, 2, TinyModel(), "head")
    rows = rows_of(again)
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2"]
    assert all(row["gradient_l2"] for row in rows[:2])
    assert not any(row["gradient_l2"] for row in rows[2:])


def test_a_gradient_that_is_not_finite_leaves_its_cells_empty(tmp_path: Path):
    model = TinyModel()
    model.head.bias.grad = torch.tensor([math.inf, 0.0, math.nan])
    (row,) = [
        row
        for row in rows_of(extended_table(tmp_path / "none.csv", 1, model, "head"))
        if row["parameter"] == "head.bias"
    ]
    assert not any(row[name] for name in COLUMNS if name.startswith("gradient"))
    assert all(row[name] for name in COLUMNS if name.startswith("weight"))


def test_the_text_names_shape_numbers_bytes_and_first_values_of_each_tensor():
    tensors = {
        "layer.weight": torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -0.5]]),
        "steps": torch.tensor(7),
        "half": torch.tensor([0.5], dtype=torch.bfloat16),
    }
    expected = hashlib.sha256(tensors["layer.weight"].numpy().tobytes()).hexdigest()
    blocks = weights_text(tensors).split("\n\n")
    assert blocks[0].splitlines() == [
        "layer.weight",
        "  shape 2x3, float32",
        "  mean 0.333333333, std 1.5184056, min -2, max 3, l2 3.80788655",
        f"  sha256 {expected}",
        "  values 1, -2, 3, 0.5, ...",
    ]
    assert blocks[1].splitlines()[1] == "  shape scalar, int64"
    assert blocks[2].splitlines()[1:3] == [
        "  shape 1, bfloat16",
        "  mean 0.5, std 0, min 0.5, max 0.5, l2 0.5",
    ]


def test_two_equal_trainings_give_equal_files_and_one_bit_shows(tmp_path: Path):
    first, again = trained(3), trained(3)
    for name, state in (("a", first), ("b", again)):
        (tmp_path / name).write_text(extended_table(tmp_path / "none", 3, state.model, "all"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    text = weights_text(first.model.state_dict())
    assert weights_text(again.model.state_dict()) == text
    with torch.no_grad():
        weight = again.model.head.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    changed = weights_text(again.model.state_dict())
    differing = [
        (ours, theirs)
        for ours, theirs in zip(text.splitlines(), changed.splitlines(), strict=True)
        if ours != theirs
    ]
    assert any(ours.startswith("  sha256") for ours, _ in differing)


def test_a_tensor_that_is_not_contiguous_is_described_as_its_copy():
    held = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert weights_text({"a": held.T}) == weights_text({"a": held.T.contiguous()})
