"""The evaluation loop against hand-made numbers; a face's answer does not depend on its batch."""

import numpy as np
import pytest
import torch
from tiny_training import MemoryBatches, TinyModel
from torch import Tensor, nn

from adafer.contracts import Batch, Output, StepOutput
from adafer.engine.predict import predict
from adafer.errors import AdaferError, DataError, MachineError
from adafer.models import MODELS
from adafer.settings.model import RecursiveSettings

NAMES = ("sad", "glad", "mad")


class Fixed(nn.Module):
    """Answers with the logits that each image carries, at two depths."""

    def forward(self, images: Tensor) -> StepOutput:
        logits = images[:, 0, 0, :3]  # (B, C)
        count = torch.arange(len(images))
        return StepOutput(
            logits=logits,
            step_logits=torch.stack([-logits, logits]),
            step_probs=torch.zeros(2, len(images)),
            weights=torch.zeros(2, len(images)),
            remainder=torch.zeros(len(images)),
            ponder_cost=count + 0.5,
            steps=count + 1,
        )


def batch(logits: list[list[float]], labels: list[int], start: int = 0) -> Batch:
    images = torch.zeros(len(labels), 3, 4, 4)
    images[:, 0, 0, :3] = torch.tensor(logits)
    ids = tuple(f"face-{start + i}" for i in range(len(labels)))
    votes = torch.full((len(labels), 3), 1 / 3)
    return Batch(images=images, labels=torch.tensor(labels), ids=ids, votes=votes)


def test_the_table_holds_what_the_model_said() -> None:
    two = [
        batch([[0.0, np.log(3.0), 0.0], [0.0, 0.0, np.log(2.0)]], [1, 0]),
        batch([[np.log(8.0), 0.0, 0.0]], [0], start=2),
    ]
    table = predict(Fixed(), two, class_names=NAMES)
    expected = [[0.2, 0.6, 0.2], [0.25, 0.25, 0.5], [0.8, 0.1, 0.1]]
    np.testing.assert_allclose(table.probabilities, expected, atol=1e-6)  # a float32 softmax
    assert table.probabilities.dtype == np.float64
    assert table.ids == ("face-0", "face-1", "face-2")
    assert table.labels.tolist() == [1, 0, 0]
    assert table.predicted.tolist() == [1, 2, 0]
    assert table.steps is not None
    assert table.steps.tolist() == [1, 2, 1]
    assert table.ponder_cost is not None
    assert table.ponder_cost.tolist() == [0.5, 1.5, 0.5]
    assert table.step_correct is not None
    assert table.step_correct.tolist() == [[False, True], [True, False], [False, True]]
    assert table.votes is not None
    assert table.votes.shape == (3, 3)
    assert table.loss == pytest.approx(-(np.log(0.6) + np.log(0.25) + np.log(0.8)) / 3)


def test_a_model_without_steps_gives_a_table_without_them() -> None:
    table = predict(TinyModel(), MemoryBatches()(0), class_names=NAMES)
    assert (table.steps, table.ponder_cost, table.step_correct, table.votes) == (None,) * 4


@pytest.mark.parametrize("rule", ["graves", "naive", "confidence"])
def test_the_answer_does_not_depend_on_the_size_of_the_batch(rule: str) -> None:
    torch.manual_seed(1)
    settings = RecursiveSettings(
        max_steps=4, channels=16, stem_channels=8, halting=rule, confidence=0.45
    )
    model = MODELS["recursive"][1](settings, 3)
    nn.init.normal_(model.halting.linear.weight, std=3.0)
    images, labels = torch.randn(12, 3, 16, 16), torch.arange(12) % 3

    def in_batches_of(size: int) -> object:
        ids = [str(i) for i in range(12)]
        parts = [
            Batch(
                images=images[i : i + size],
                labels=labels[i : i + size],
                ids=tuple(ids[i : i + size]),
            )
            for i in range(0, 12, size)
        ]
        return predict(model, parts, class_names=NAMES)

    whole, fives, alone = in_batches_of(12), in_batches_of(5), in_batches_of(1)
    assert len(set(whole.steps.tolist())) > 1
    for other in (fives, alone):
        np.testing.assert_allclose(other.probabilities, whole.probabilities, atol=1e-6)
        np.testing.assert_allclose(other.ponder_cost, whole.ponder_cost, atol=1e-6)
        assert other.steps.tolist() == whole.steps.tolist()
        assert other.loss == pytest.approx(whole.loss, abs=1e-6)
    model.full_depth = True
    assert in_batches_of(5).step_correct.shape == (12, 4)


def test_batches_that_took_unlike_numbers_of_steps_have_no_accuracy_by_step() -> None:
    class Ragged(Fixed):
        def forward(self, images: Tensor) -> StepOutput:
            output = super().forward(images)
            object.__setattr__(output, "step_logits", output.step_logits[: len(images)])
            return output

    parts = [batch([[1.0, 0.0, 0.0]] * 2, [0, 0]), batch([[1.0, 0.0, 0.0]], [0], start=2)]
    assert predict(Ragged(), parts, class_names=NAMES).step_correct is None


def test_modes_are_left_as_they_were_and_nothing_is_learned() -> None:
    model = TinyModel()
    model.train()
    model.stem.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predict(model, MemoryBatches()(0), class_names=NAMES)
    assert (model.training, model.head.training, model.stem[1].training) == (True, True, False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_answer_that_is_not_a_number_names_the_faces(value: float) -> None:
    part = batch([[0.0, 1.0, 0.0], [0.0, value, 0.0]], [0, 0])
    with pytest.raises(AdaferError, match="face-1 is not a number") as caught:
        predict(Fixed(), [part], class_names=NAMES)
    assert "face-0" not in str(caught.value)


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no face to evaluate"):
        predict(TinyModel(), [], class_names=NAMES)
    with pytest.raises(DataError, match="answers with 3 classes and the data has 2"):
        predict(TinyModel(), MemoryBatches()(0), class_names=("sad", "glad"))


def test_out_of_memory_names_the_batch_size() -> None:
    class Greedy(TinyModel):
        def forward(self, images: Tensor) -> Output:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(MachineError, match="4 faces in a batch"):
        predict(Greedy(), MemoryBatches()(0), class_names=NAMES)
