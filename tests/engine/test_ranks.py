"""Two processes that train together take the steps of one; what one learns, both act on."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, NormlessModel, cross_entropy

from adafer.engine.ranks import ALONE, Ranks
from adafer.engine.train import State, fit

CHILD = Path(__file__).with_name("ranks_child.py")
Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the two processes found, the first one's first."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, str(CHILD), str(folder)],
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for process in started:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:  # one that failed leaves the other waiting
        for process in started:
            process.kill()
            process.communicate()
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_sums_flags_and_sentences_reach_both(found: Found) -> None:
    for talk in (facts["talk"] for facts in found):
        assert talk["sums"] == [[3.0] * 2, [[3.0] * 3], [3.0] * 7, [[3.0] * 2] * 2, 3.0]
        assert talk["any"] == [True, False, True]
        assert talk["told"] == [True, False]
        assert talk["sentence"] == ["from ä", "from 0", ""]
        assert talk["spread"]
        assert talk["after the first"]


def test_alone_nothing_is_asked_of_anybody() -> None:
    tensor = torch.ones(2)
    ALONE.add_up([tensor])
    ALONE.meet()
    with ALONE.one_by_one():
        assert tensor.tolist() == [1, 1]
    assert [ALONE.any(True), ALONE.told(True), ALONE.sentence("a"), ALONE.first] == [
        *(True, True, "a", True)
    ]
    assert not Ranks(rank=1, count=2).first


def test_the_steps_are_those_of_one_process(found: Found, one_thread: None) -> None:
    """27 faces in batches of 4, two batches a step: the last has 3, which both take whole."""
    state = State.create(NormlessModel(), TRAIN, PHASES)
    records = list(fit(state, cross_entropy, MemoryBatches(), PHASES, TRAIN))
    expected = [[r.train_loss, r.train_acc, r.grad_norm, r.faces] for r in records]
    for facts in (facts["plain"] for facts in found):
        assert facts["steps"] == state.step
        for mine, theirs in zip(state.model.state_dict().values(), facts["weights"], strict=True):
            torch.testing.assert_close(torch.tensor(theirs), mine, rtol=1e-4, atol=1e-6)
        for (loss, right, norm, faces), (loss_1, right_1, norm_1, faces_1) in zip(
            facts["figures"], expected, strict=True
        ):
            assert loss == pytest.approx(loss_1, rel=1e-6)
            assert right == pytest.approx(right_1, rel=1e-6)
            assert norm == pytest.approx(norm_1, rel=1e-5)
            assert faces == faces_1 == 27
    assert found[0]["plain"]["digest"] == found[1]["plain"]["digest"]


def test_a_stop_asked_of_one_ends_both_at_one_step_and_resumes_to_the_bit(found: Found) -> None:
    first, second = (facts["stopped"] for facts in found)
    assert first["stopped at"] == second["stopped at"] == [5, 2]  # 4 steps an epoch, 2 batches each
    assert first["whole"] == first["resumed"] == second["whole"] == second["resumed"]
    assert len({*first["average"], *second["average"]}) == 1
    assert first["same running statistics"]


def test_a_number_that_is_not_finite_is_told_by_the_one_who_has_the_face(found: Found) -> None:
    first, second = (facts["broken"] for facts in found)
    assert first == second
    assert "face-12" in first["said"]
    assert "'classification' is nan in epoch 1" in first["said"]
