"""The largest batch: what is counted, against hand-made sums and against tensors alive at once."""

import copy
import weakref
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adafer.contracts import Batch
from adafer.engine import optim
from adafer.progress import Silence
from adafer.readiness import prepare_training, training_batches
from adafer.recipes import find_recipe
from adafer.studies import doctor_batch
from adafer.studies.doctor_batch import Needs, estimated, largest_batch
from adafer.training import Training

GRAVES = {"channels": 16, "stem_channels": 8}


@cache
def prepared(name: str = "tinyvgg", **changes: object) -> tuple[Training, Batch]:
    recipe = find_recipe(name).changed(toy_faces=70, workers=0, batch_size=8, **changes)
    training = prepare_training(recipe, Silence())
    return training, next(iter(training_batches(training)(0)))


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        answer = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.seen:
                    size = self.seen[storage] = storage.nbytes()
                    self.now += size
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self.forget, size)
        return answer

    def forget(self, size: int) -> None:
        self.now -= size


def alive(training: Training, batch: Batch, size: int) -> int:
    model = copy.deepcopy(training.state.model)
    optim.set_modes(model, training.phases[-1])
    faces = doctor_batch._of(batch, size)
    with Alive() as counted:
        doctor_batch._loss(training, model, faces, "bf16").backward()
    return counted.most


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tinyvgg", {}),
        ("act-graves", GRAVES),
        ("act-graves", GRAVES | {"checkpoint_block": True}),
        ("transfer-resnet50", {"backbone": "test_resnet", "pretrained": False, "img_size": 32}),
    ],
)
def test_the_part_for_each_face_is_near_what_is_alive_at_once(
    name: str, changes: dict[str, object]
) -> None:
    training, batch = prepared(name, **changes)
    counted = (alive(training, batch, 8) - alive(training, batch, 2)) / 6
    assert 0.95 < estimated(training, batch).each / counted < 1.4


def test_the_lasting_part_is_weights_gradients_two_moments_and_the_average() -> None:
    training, _ = prepared(ema=0.99)
    weights = sum(value.numel() for value in training.state.model.parameters())
    buffers = sum(v.numel() * v.element_size() for v in training.state.model.buffers())
    assert training.state.average is not None
    assert doctor_batch._lasting(training, training.phases[0]) == 20 * weights + 2 * buffers


def test_frozen_weights_have_neither_gradients_nor_moments() -> None:
    training, _ = prepared(stages="classifier", ema=0.99)
    model = training.state.model
    everything = sum(value.numel() for value in model.parameters())
    head = sum(value.numel() for value in dict(model.stages())["classifier"].parameters())  # type: ignore[operator]
    buffers = sum(v.numel() * v.element_size() for v in model.buffers())
    lasting = doctor_batch._lasting(training, training.phases[0])
    assert lasting == 8 * everything + 12 * head + 2 * buffers


def test_more_pixels_and_more_steps_need_more_and_recomputing_needs_less() -> None:
    each = {size: estimated(*prepared(img_size=size)).each for size in (48, 96)}
    assert each[96] / each[48] == pytest.approx(4, rel=0.05)
    few, many = (estimated(*prepared("act-graves", max_steps=t, **GRAVES)).each for t in (2, 6))
    assert few < many
    spared = estimated(*prepared("act-graves", max_steps=6, checkpoint_block=True, **GRAVES)).each
    assert few < spared < many


def test_the_estimate_leaves_the_training_as_it_was() -> None:
    training, batch = prepared("act-graves", checkpoint_block=True, **GRAVES)
    before = copy.deepcopy(training.state.model.state_dict())
    estimated(training, batch)
    after = training.state.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert training.state.model.settings.checkpoint_block  # type: ignore[union-attr]
    assert all(value.grad is None for value in training.state.model.parameters())


def test_faces_that_fit() -> None:
    assert Needs(fixed=4e9, each=1e7).faces(14e9) == 1000
    assert Needs(fixed=4e9, each=1e7).faces(3e9) == 0
    assert Needs(fixed=0, each=0).faces(1e12) == doctor_batch.MOST


def needing(monkeypatch: pytest.MonkeyPatch, each: float) -> None:
    monkeypatch.setattr(doctor_batch, "estimated", lambda *_: Needs(0.0, each))


def test_the_verdict_weighs_how_far_off_an_estimate_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    training, batch = prepared()  # eight faces
    room = 0.9 * (16 - 0.6) * 1e9
    needing(monkeypatch, room / 1000.5)
    check = largest_batch(training, batch)
    assert check.verdict == "pass"
    assert "about 1,000 faces fit a card of 16 GB" in check.said
    assert "30% away" in check.said
    needing(monkeypatch, room / 9.5)
    check = largest_batch(training, batch)
    assert (check.verdict, check.todo) == ("warn", "use --batch-size 6 --accumulate 2")
    needing(monkeypatch, room / 5.5)
    check = largest_batch(training, batch)
    assert (check.verdict, check.todo) == ("fail", "use --batch-size 3 --accumulate 3")
    assert largest_batch(training, batch, 64.0).verdict == "pass"
    halved, batch = prepared(processes=2, device="cpu")
    check = largest_batch(halved, batch)
    assert "this recipe's has 8, 4 on each GPU" in check.said
    assert (check.verdict, check.todo) == ("warn", "use --batch-size 6 --accumulate 2")
    needing(monkeypatch, room * 2)
    assert "a smaller --img-size" in largest_batch(training, batch).todo


def test_on_a_gpu_the_answer_is_tried_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    training, batch = prepared()
    tried: list[int] = []

    def peak(_: Training, given: Batch, size: int) -> int:
        tried.append(size)
        if size > 900:
            raise torch.OutOfMemoryError
        return 1_000_000_000 + 10_000_000 * size

    monkeypatch.setattr(doctor_batch, "_peak", peak)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=16e9)
    )
    check = doctor_batch._measured(training, batch, None)
    first = int((0.9 * 15.4e9 - 1e9) / 1e7)
    assert tried == [16, 64, first, 1093, 929, 789]  # 1286, and 0.85 of it again and again
    assert first == 1286
    assert "780 faces fit 16 GB (measured on this GPU)" in check.said
    tried.clear()
    doctor_batch._measured(training, batch, 40.0)
    assert tried == [16, 64]  # a larger card than this one cannot be tried
