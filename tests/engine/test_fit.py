"""What the training loop does to weights, counted by hand or done again in plain torch."""

import copy
import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from tiny_training import (
    PHASES,
    TRAIN,
    MemoryBatches,
    NormlessModel,
    TinyModel,
    cross_entropy,
)
from torch import Tensor, nn
from torch.nn import functional

from adafer.contracts import Batch, Output
from adafer.engine.batches import Batches
from adafer.engine.train import State, Stopper, fit
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.settings.training import PhaseSettings, TrainSettings

PLAIN = TrainSettings(clip=0, ema=0, device="cpu", precision="fp32")
ONE_EPOCH = (PhaseSettings(epochs=1, lr=1e-2, warmup=0.0),)


def bits(module: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


class OneBatch(MemoryBatches):
    """A single batch, the same in every epoch."""

    @property
    def batches_per_epoch(self) -> int:
        return 1

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        images, labels = self.all()
        yield Batch(images=images, labels=labels, ids=tuple(map(str, range(len(labels)))))


def test_an_epoch_equals_a_hand_written_loop() -> None:
    batches = MemoryBatches()
    model = NormlessModel()
    mine = copy.deepcopy(model)
    settings = dataclasses.replace(PLAIN, clip=0.5)
    state = State.create(model, settings, ONE_EPOCH)
    record = next(iter(fit(state, cross_entropy, batches, ONE_EPOCH, settings)))

    decayed = [p for p in mine.parameters() if p.ndim >= 2]
    others = [p for p in mine.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        fused=True,
    )
    losses, right = 0.0, 0
    for number, batch in enumerate(batches(0)):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * number / batches.batches_per_epoch))
        optimiser.zero_grad()
        logits = mine(batch.images).logits
        loss = functional.cross_entropy(logits, batch.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(mine.parameters(), 0.5)
        optimiser.step()
        losses += loss.item() * len(batch.ids)
        right += int((logits.argmax(1) == batch.labels).sum())
    for ours, plain in zip(model.parameters(), mine.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    assert record.train_loss == pytest.approx(losses / batches.faces)
    assert record.train_acc == right / batches.faces
    assert record.faces == batches.faces


@pytest.mark.parametrize("faces", [16, 14])
def test_accumulated_batches_have_the_gradient_of_one_large_batch(faces: int) -> None:
    """14 faces: batches of 4, 4, 4 and 2, whose faces count alike."""
    gradients = []
    for size, accumulate in ((4, 4), (16, 1)):
        settings = dataclasses.replace(PLAIN, accumulate=accumulate)
        state = State.create(NormlessModel(), settings, ONE_EPOCH)
        batches = MemoryBatches(faces=faces, batch_size=size)
        record = next(iter(fit(state, cross_entropy, batches, ONE_EPOCH, settings)))
        assert state.step == 1
        gradients.append([p.grad.clone() for p in state.model.parameters()])
        assert record.faces == faces
    for many, one in zip(*gradients, strict=True):
        torch.testing.assert_close(many, one, rtol=1e-5, atol=1e-7)


def test_the_last_group_of_an_epoch_may_be_smaller() -> None:
    state = State.create(TinyModel(), TRAIN, PHASES)  # 7 batches, 2 a step
    steps = [record.step for record in fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN)]
    assert steps == [4, 8, 12]


def test_a_frozen_stage_keeps_its_weights_and_its_norm_statistics() -> None:
    state = State.create(TinyModel(), TRAIN, PHASES)
    before = bits(state.model)
    epochs = fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN)
    first = next(epochs)
    middle = bits(state.model)
    assert all(middle[name] == before[name] for name in before if name.startswith("stem"))
    assert middle["head.weight"] != before["head.weight"]
    assert (first.lr_backbone, first.phase) == (0.0, 1)
    head_steps = state.optimiser.state[state.model.head.weight]["step"].item()
    assert head_steps == 4
    second = next(epochs)
    assert bits(state.model)["stem.1.running_mean"] != middle["stem.1.running_mean"]
    assert second.lr_backbone == pytest.approx(second.lr_head / 2)
    # The head's optimiser state went on; the stem's began.
    assert state.optimiser.state[state.model.head.weight]["step"].item() == 8
    assert state.optimiser.state[state.model.stem[0].weight]["step"].item() == 4


def test_the_average_follows_its_formula_and_copies_buffers() -> None:
    settings = dataclasses.replace(PLAIN, ema=0.3)
    phases = (PhaseSettings(epochs=4, lr=1e-2),)
    state = State.create(TinyModel(), settings, phases)
    expected = state.model.head.weight.detach().clone()
    for number, _ in enumerate(fit(state, cross_entropy, OneBatch(), phases, settings)):
        decay = min(0.3, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * state.model.head.weight.detach()
    torch.testing.assert_close(state.smoothed.head.weight, expected)
    assert state.smoothed is not state.model
    assert bits(state.smoothed)["stem.1.running_var"] == bits(state.model)["stem.1.running_var"]


def test_without_an_average_the_model_itself_is_smoothed() -> None:
    state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
    assert state.smoothed is state.model


def test_dropout_depends_on_the_place_in_the_training_alone() -> None:
    def train(disturb: bool) -> dict[str, bytes]:
        state = State.create(TinyModel(dropout=0.5), TRAIN, PHASES)
        for _ in fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN):
            if disturb:
                torch.rand(7)
        return bits(state.smoothed)

    assert train(disturb=False) == train(disturb=True)


@dataclasses.dataclass
class BreaksAt:
    """Cross-entropy with a second term that is not a number in one call."""

    call: int
    value: float
    calls: int = 0

    def __call__(self, output: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
        self.calls += 1
        extra = output.logits.sum() * (self.value if self.calls == self.call else 0.0)
        return cross_entropy(output, batch, progress) | {"thinking": extra}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(value: float) -> None:
    after_each_step = []
    state = State.create(NormlessModel(), TRAIN, PHASES)
    epochs = fit(
        state,
        BreaksAt(4, value),  # second batch of the second step
        MemoryBatches(),
        PHASES,
        TRAIN,
        on_step=lambda state: after_each_step.append((bits(state.model), bits(state.smoothed))),
    )
    with pytest.raises(AdaferError, match=r"'thinking' is (nan|inf|-inf) in epoch 1, step 2") as e:
        next(epochs)
    fourth = list(MemoryBatches()(0))[3]
    assert fourth.ids[0] in str(e.value)
    assert (bits(state.model), bits(state.smoothed)) == after_each_step[-1]
    assert len(after_each_step) == state.step == 1


class InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, logits: Tensor) -> Tensor:
        return logits.sum() * 0

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return torch.full((4, 3), math.inf)


def infinite_gradient(output: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
    return {"classification": InfiniteGradient.apply(output.logits)}


def test_a_gradient_that_is_not_finite_stops_before_the_step() -> None:
    state = State.create(NormlessModel(), PLAIN, ONE_EPOCH)
    before = bits(state.model)
    with pytest.raises(AdaferError, match="the gradient's norm is"):
        next(fit(state, infinite_gradient, MemoryBatches(), ONE_EPOCH, PLAIN))
    assert bits(state.model) == before


def with_scaler(state: State) -> State:
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60, enabled=True)
    return state


def test_the_scaler_may_skip_steps_but_not_fifty_in_a_row() -> None:
    phases = (PhaseSettings(epochs=20, lr=1e-2),)
    state = with_scaler(State.create(NormlessModel(), PLAIN, phases))
    before = bits(state.model)
    with pytest.raises(AdaferError, match="overflowed 50 steps in a row"):
        list(fit(state, infinite_gradient, MemoryBatches(faces=28), phases, PLAIN))
    assert bits(state.model) == before


def test_skipped_steps_are_counted_and_the_training_goes_on() -> None:
    def overflows_twice(output: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
        if progress < 2 / 7:
            return infinite_gradient(output, batch, progress)
        return cross_entropy(output, batch, progress)

    state = with_scaler(State.create(NormlessModel(), PLAIN, ONE_EPOCH))
    record = next(fit(state, overflows_twice, MemoryBatches(faces=28), ONE_EPOCH, PLAIN))
    assert (record.skipped_steps, state.skipped_in_row, state.step) == (2, 0, 7)
    assert state.scaler.get_scale() == 2.0**58
    assert state.optimiser.state[state.model.head.weight]["step"].item() == 5


def test_an_unknown_stage_is_named_with_the_known_ones() -> None:
    with pytest.raises(WordsError, match=r"no stage 'neck'; its stages are stem, head"):
        State.create(TinyModel(), TRAIN, (PhaseSettings(stages=("neck",)),))


def test_a_parameter_outside_every_stage_is_an_error_at_the_start() -> None:
    model = TinyModel()
    model.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(AdaferError, match="no stage of the model holds scale"):
        State.create(model, TRAIN, PHASES)


class ModelWithIdlePart(TinyModel):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)

    def stages(self) -> list[tuple[str, nn.Module]]:
        return [("stem", self.stem), ("idle", self.idle), ("head", self.head)]


def test_a_parameter_that_the_loss_does_not_reach_is_an_error_unless_it_may_rest() -> None:
    state = State.create(ModelWithIdlePart(), PLAIN, ONE_EPOCH)
    before = bits(state.model)
    with pytest.raises(AdaferError, match=r"idle\.weight, idle\.bias"):
        next(fit(state, cross_entropy, MemoryBatches(), ONE_EPOCH, PLAIN))
    assert bits(state.model)["head.weight"] == before["head.weight"]
    epochs = fit(state, cross_entropy, MemoryBatches(), ONE_EPOCH, PLAIN, may_rest=("idle",))
    assert next(epochs).finished
    assert bits(state.model)["idle.weight"] == before["idle.weight"]


def test_a_stop_inside_an_epoch_hands_over_an_unfinished_record_and_ends() -> None:
    state = State.create(TinyModel(), TRAIN, PHASES)
    records = list(
        fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN, stop=lambda: state.step >= 6)
    )
    assert [record.finished for record in records] == [True, False]
    assert (state.epoch, state.batch, state.step) == (1, 4, 6)
    assert records[-1].faces == 16
    assert list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN, stop=lambda: True)) == []
    rest = list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN))
    assert [record.epoch for record in rest] == [2, 3]
    assert rest[0].faces == MemoryBatches().faces


def test_a_finished_training_can_be_extended() -> None:
    state = State.create(TinyModel(), TRAIN, PHASES)
    assert len(list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN))) == 3
    assert list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN)) == []
    longer = (PHASES[0], dataclasses.replace(PHASES[1], epochs=4))
    more = list(fit(state, cross_entropy, MemoryBatches(), longer, TRAIN))
    assert [record.epoch for record in more] == [4, 5]
    assert more[0].lr_head > 0


class OutOfMemory(TinyModel):
    error: type[Exception] = MemoryError

    def forward(self, images: Tensor) -> Output:
        raise self.error("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_is_one_sentence_with_the_way_out(error: type[Exception]) -> None:
    model = OutOfMemory()
    model.error = error
    state = State.create(model, TRAIN, PHASES)
    with pytest.raises(MachineError, match="4 faces in a batch; use --checkpoint-block") as caught:
        next(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN))
    assert "--batch-size" in str(caught.value)
    assert "--accumulate" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_of_a_model_stay_what_they_are() -> None:
    model = OutOfMemory()
    model.error = KeyError
    state = State.create(model, TRAIN, PHASES)
    with pytest.raises(KeyError):
        next(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN))


class EndsEarly(MemoryBatches):
    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yield from list(super().__call__(epoch, start))[:3]


@pytest.mark.parametrize(
    ("batches", "words"),
    [(MemoryBatches(faces=0), "no face to train on"), (EndsEarly(), "after 3 of 7 batches")],
)
def test_a_loader_that_gives_too_little_is_an_error(batches: Batches, words: str) -> None:
    state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
    with pytest.raises(DataError, match=words):
        next(fit(state, cross_entropy, batches, ONE_EPOCH, PLAIN))


class ThinksInSteps(TinyModel):
    def forward(self, images: Tensor) -> Output:
        output = super().forward(images)
        count = torch.arange(len(images))
        object.__setattr__(output, "steps", count)
        object.__setattr__(output, "ponder_cost", count + 0.5)
        return output


def test_figures_are_means_over_the_faces_not_over_the_batches() -> None:
    state = State.create(ThinksInSteps(), PLAIN, ONE_EPOCH)
    batches = MemoryBatches(faces=6, batch_size=4)  # steps 0, 1, 2, 3 and 0, 1
    record = next(fit(state, cross_entropy, batches, ONE_EPOCH, PLAIN))
    assert record.mean_steps == pytest.approx(7 / 6)
    assert record.ponder_cost == pytest.approx(7 / 6 + 0.5)
    assert record.terms["classification"] == pytest.approx(record.train_loss)


def test_a_model_without_steps_has_no_such_figures() -> None:
    state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
    record = next(fit(state, cross_entropy, MemoryBatches(), ONE_EPOCH, PLAIN))
    assert (record.mean_steps, record.ponder_cost) == (None, None)


def test_prepare_is_repeatable_and_changes_what_the_model_sees() -> None:
    def noisy(batch: Batch) -> Batch:
        return dataclasses.replace(batch, images=batch.images + torch.randn_like(batch.images))

    def loss_of(prepare: object) -> float:
        state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
        torch.rand(3)
        run = fit(state, cross_entropy, MemoryBatches(), ONE_EPOCH, PLAIN, prepare=prepare)
        return next(run).train_loss

    assert loss_of(noisy) == loss_of(noisy) != loss_of(None)


def test_the_best_epoch_is_never_one_that_is_not_a_number() -> None:
    state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
    stopper = Stopper(monitor="val_macro_f1", patience=2, min_delta=0.01)
    figures = [math.nan, 0.5, 0.505, math.nan, 0.6]
    verdicts = [stopper.judge(state, epoch, f) for epoch, f in enumerate(figures, 1)]
    assert verdicts == [False, True, False, False, True]
    assert (state.best, state.best_epoch, state.stale) == (0.6, 5, 0)


def test_patience_counts_epochs_in_a_row_and_a_loss_is_better_when_smaller() -> None:
    state = State.create(TinyModel(), PLAIN, ONE_EPOCH)
    stopper = Stopper(monitor="val_loss", patience=2)
    enough = []
    for epoch, figure in enumerate([1.0, 0.9, 0.95, 0.9], 1):
        stopper.judge(state, epoch, figure)
        enough.append(stopper.enough(state))
    assert enough == [False, False, False, True]
    assert state.best_epoch == 2
    assert not Stopper(monitor="val_loss").enough(state)


def test_half_precision_trains_close_to_single() -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        settings = dataclasses.replace(PLAIN, precision=precision)
        state = State.create(NormlessModel(), settings, ONE_EPOCH)
        record = next(fit(state, cross_entropy, MemoryBatches(), ONE_EPOCH, settings))
        assert record.precision == precision
        assert {p.dtype for p in state.model.parameters()} == {torch.float32}
        losses.append(record.train_loss)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
