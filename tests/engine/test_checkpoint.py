"""Saves come back to the bit, damage is found, and the save before stays."""

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resume_child import digests
from tiny_training import PHASES, TRAIN, MemoryBatches, TinyModel, cross_entropy

from adafer.engine import checkpoint, vault
from adafer.engine.train import State, fit
from adafer.errors import AdaferError, MachineError
from adafer.losses import LOSSES
from adafer.models import MODELS
from adafer.settings.model import RecursiveSettings
from adafer.settings.training import PhaseSettings

IDENTITY = {"class_names": ("sad", "glad", "mad"), "img_size": 48, "data": {"train": "abc"}}


def trained(steps: int) -> State:
    state = State.create(TinyModel(), TRAIN, PHASES)
    batches = MemoryBatches()
    for _ in fit(state, cross_entropy, batches, PHASES, TRAIN, stop=lambda: state.step >= steps):
        pass
    return state


def fresh() -> State:
    model = TinyModel()
    torch.nn.init.constant_(model.head.weight, 7.0)
    return State.create(model, TRAIN, PHASES)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two saves, at steps 5 and 6."""
    folder = tmp_path_factory.mktemp("saved") / "state"
    for steps in (5, 6):
        checkpoint.save(trained(steps), folder, IDENTITY)
    return folder


def restore(folder: Path, **changes: object) -> tuple[State, Path, list[str]]:
    state, lines = fresh(), []
    place = checkpoint.restore(state, folder, IDENTITY | changes, PHASES, warn=lines.append)
    return state, place, lines


def test_a_restored_state_has_the_bits_of_the_saved_one(saved: Path) -> None:
    state, place, lines = restore(saved)
    original = trained(6)
    original.totals.seconds = state.totals.seconds
    assert digests(state) == digests(original)
    assert place.name == "step-00000006"
    assert lines == []
    assert state.counters() == original.counters()
    assert (state.batch, state.averaged) == (4, 6)
    assert state.totals.faces == 16


def test_the_same_state_saves_the_same_bytes(tmp_path: Path) -> None:
    state = trained(3)
    first = checkpoint.save(state, tmp_path / "a", IDENTITY)
    second = checkpoint.save(state, tmp_path / "b", IDENTITY)
    for name in os.listdir(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_two_saves_are_kept_and_none_is_written_over(tmp_path: Path) -> None:
    state = trained(1)
    for step in (1, 2, 2, 3):
        state.step = step
        checkpoint.save(state, tmp_path, IDENTITY)
    assert sorted(os.listdir(tmp_path)) == ["step-00000002-2", "step-00000003"]


FILES = (
    "model.safetensors",
    "average.safetensors",
    "optimiser.safetensors",
    "state.json",
    "manifest.json",
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(saved: Path, name: str, where: float, bit: int) -> None:
    path = vault.saved_folders(saved)[0] / name
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[int(where * len(whole))] ^= 1 << bit
    path.write_bytes(broken)
    try:
        with pytest.raises(vault.Damaged):
            vault.read_verified(path.parent)
    finally:
        path.write_bytes(whole)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(saved: Path, name: str, where: float) -> None:
    path = vault.saved_folders(saved)[0] / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(where * len(whole))])
    try:
        with pytest.raises(vault.Damaged):
            vault.read_verified(path.parent)
    finally:
        path.write_bytes(whole)


def break_file(folder: Path, name: str, how: str) -> None:
    path = folder / name
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "empty", "changed"])
def test_a_damaged_save_is_told_in_one_line_and_the_one_before_is_used(
    saved: Path, tmp_path: Path, name: str, how: str
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    break_file(folder / "step-00000006", name, how)
    state, place, lines = restore(folder)
    assert (place.name, state.step) == ("step-00000005", 5)
    assert len(lines) == 1
    assert name in lines[0]
    assert "\n" not in lines[0]
    # The next saves keep a good one beside them, whatever lies there damaged.
    state.step = 6
    checkpoint.save(state, folder, IDENTITY)
    assert sorted(os.listdir(folder)) == ["step-00000005", "step-00000006"]


def test_no_good_save_is_an_error(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    for place in vault.saved_folders(folder):
        break_file(place, "model.safetensors", "changed")
    with pytest.raises(AdaferError, match=r"every save under .* is damaged"):
        restore(folder)
    with pytest.raises(AdaferError, match="nothing was saved under"):
        restore(tmp_path / "elsewhere")
    assert not checkpoint.exists(tmp_path / "elsewhere")


def test_a_folder_that_was_not_finished_is_not_looked_at(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    (folder / "partial-step-00000007").mkdir()
    (folder / "step-latest").write_text("step-00000099")
    assert restore(folder)[1].name == "step-00000006"


def test_every_difference_is_listed_and_nothing_is_loaded(saved: Path) -> None:
    state = fresh()
    before = digests(state)
    identity = {"class_names": ("glad", "sad", "mad"), "img_size": 64, "data": {"train": "xyz"}}
    with pytest.raises(AdaferError) as caught:
        checkpoint.restore(state, saved, identity, PHASES)
    text = str(caught.value)
    assert "class_names: ['sad', 'glad', 'mad'] in the save, ['glad', 'sad', 'mad'] now" in text
    assert "img_size: 48 in the save, 64 now" in text
    assert "data.train: 'abc' in the save, 'xyz' now" in text
    assert digests(state) == before


def test_a_setting_that_is_younger_than_the_save_may_stand_at_its_default(saved: Path) -> None:
    identity = IDENTITY | {"train": {"cutmix": 0.0}, "crop": 1.0}
    usual = {"train": {"cutmix": 0.0}, "crop": 1.0}
    with pytest.raises(AdaferError, match="train: None in the save"):
        checkpoint.restore(fresh(), saved, identity, PHASES)
    with pytest.raises(AdaferError, match=r"crop: None in the save, 0.9 now"):
        checkpoint.restore(fresh(), saved, identity | {"crop": 0.9}, PHASES, defaults=usual)
    state = fresh()
    checkpoint.restore(state, saved, identity, PHASES, defaults=usual)
    assert state.forks == []
    assert digests(state) == digests(restore(saved)[0])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (TinyModel(classes=4), r"model head\.weight: \(3, 4\) float32 in the save, \(4, 4\)"),
        (TinyModel(width=5), r"model stem\.0\.weight"),
        (TinyModel().half(), r"float32 in the save, .* float16 now"),
    ],
)
def test_another_architecture_is_refused_whole(saved: Path, model: TinyModel, words: str) -> None:
    state = State.create(model, TRAIN, PHASES)
    before = digests(state)
    with pytest.raises(AdaferError, match=words):
        checkpoint.restore(state, saved, IDENTITY, PHASES)
    assert digests(state) == before


def test_a_moving_average_cannot_appear_or_vanish(saved: Path) -> None:
    state = State.create(TinyModel(), dataclasses.replace(TRAIN, ema=0), PHASES)
    with pytest.raises(AdaferError, match="moving average"):
        checkpoint.restore(state, saved, IDENTITY, PHASES)


def test_an_allowed_change_is_a_fork_that_is_written_down(saved: Path, tmp_path: Path) -> None:
    state = fresh()
    changed = IDENTITY | {"img_size": 64}
    checkpoint.restore(state, saved, changed, PHASES, allow_changed=("img_size",))
    assert state.forks == [{"step": 6, "changed": {"img_size": "48 in the save, 64 now"}}]
    assert (state.batch, state.totals.faces, state.epoch) == (0, 0, 1)
    checkpoint.save(state, tmp_path, changed)
    again = fresh()
    checkpoint.restore(again, tmp_path, changed, PHASES)
    assert again.forks == state.forks


def test_a_history_with_figures_that_are_no_numbers_can_be_saved(tmp_path: Path) -> None:
    state = trained(1)
    state.history.append({"epoch": 1, "val_loss": float("nan"), "val_acc": 0.25})
    place = checkpoint.save(state, tmp_path, IDENTITY)
    text = (place / "state.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["history"] == [{"epoch": 1, "val_loss": None, "val_acc": 0.25}]


def test_the_scaler_comes_back(tmp_path: Path) -> None:
    state = trained(1)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    state.precision = "fp16"
    checkpoint.save(state, tmp_path, IDENTITY)
    again = fresh()
    again.scaler = torch.amp.GradScaler("cpu")
    again.precision = "fp16"
    checkpoint.restore(again, tmp_path, IDENTITY, PHASES)
    assert again.scaler.get_scale() == 8.0


def test_another_precision_is_told(saved: Path) -> None:
    state, lines = fresh(), []
    state.precision = "bf16"
    checkpoint.restore(state, saved, IDENTITY, PHASES, warn=lines.append)
    assert lines == ["resumed in bf16, saved in fp32: bits will differ"]


def test_too_little_room_is_seen_before_the_first_byte(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    usage = shutil.disk_usage(folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(MachineError, match=r"has 1000 bytes free and the save needs \d{7}"):
        checkpoint.save(trained(7), folder, IDENTITY)
    assert restore(folder)[1].name == "step-00000006"
    assert sorted(os.listdir(folder)) == ["step-00000005", "step-00000006"]


@pytest.mark.parametrize("files", range(len(FILES)))
def test_a_disk_that_fills_up_leaves_the_save_before(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    left, whole = [files], vault.write_through

    def write(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            whole(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(vault, "write_through", write)
    with pytest.raises(MachineError, match="bytes free and the save needs"):
        checkpoint.save(trained(1), folder, IDENTITY)
    assert sorted(os.listdir(folder)) == ["step-00000005", "step-00000006"]
    assert restore(folder)[1].name == "step-00000006"


class TiedModel(TinyModel):
    def __init__(self) -> None:
        super().__init__()
        self.tied = self.head.weight


def test_weights_that_are_shared_can_be_saved(tmp_path: Path) -> None:
    state = State.create(TiedModel(), TRAIN, PHASES)
    checkpoint.save(state, tmp_path, IDENTITY)
    again = State.create(TiedModel(), TRAIN, PHASES)
    torch.nn.init.zeros_(again.model.head.weight)
    checkpoint.restore(again, tmp_path, IDENTITY, PHASES)
    assert digests(again) == digests(state)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_recursive_model_resumes_to_the_bit(tmp_path: Path, precision: str) -> None:
    settings = dataclasses.replace(TRAIN, precision=precision)
    phases = (PhaseSettings(epochs=2, lr=1e-2),)
    loss = LOSSES["ponder"][1]()

    def start() -> State:
        torch.manual_seed(0)
        shape = RecursiveSettings(max_steps=3, channels=16, stem_channels=8)
        return State.create(MODELS["recursive"][1](shape, 3), settings, phases)

    def train(state: State, until: int = 100) -> State:
        batches = MemoryBatches()
        for record in fit(state, loss, batches, phases, settings, stop=lambda: state.step >= until):
            if record.finished:
                state.history.append({"loss": record.train_loss, "cost": record.ponder_cost})
        return state

    unbroken = train(start())
    checkpoint.save(train(start(), until=3), tmp_path, IDENTITY)
    resumed = start()
    checkpoint.restore(resumed, tmp_path, IDENTITY, phases)
    assert (resumed.step, resumed.batch) == (3, 6)
    assert digests(train(resumed)) == digests(unbroken)
    assert len(resumed.history) == 2
