"""Trained models on disk: what comes back, what is refused, and stops in the middle of a save."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import trained
from torch import nn

import adafer.bundle
from adafer.bundle import load_bundle, refuse_pickle, save_bundle
from adafer.errors import AdaferError, DataError
from adafer.image import Preprocessing


def save(folder: Path, which: Any = "best", model: nn.Module | None = None, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "recipe": trained.recipe(),
        "class_names": trained.NAMES,
        "preprocessing": Preprocessing(trained.SIDE, grey=True),
        "facts": {"epoch": 1, "metric": 0.25},
    }
    return save_bundle(folder, which, model or trained.module(), **(given | changes))


def shifted(amount: float) -> nn.Module:
    model = trained.module()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount)
    return model


def config_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "weights" / "config.json").read_text())
    return found


def change_config(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = config_of(run)
    change(config)
    (run / "weights" / "config.json").write_text(json.dumps(config))


def refusal(run: Path) -> str:
    """The one sentence with which loading is refused."""
    with pytest.raises(DataError) as caught:
        load_bundle(run)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# What comes back ----------------------------------------------------------------------------------


def test_everything_that_was_saved_comes_back(tmp_path: Path) -> None:
    history = [{"epoch": 1, "val_acc": 0.2}, {"epoch": 2, "val_acc": 0.3}]
    save(tmp_path, facts={"epoch": 2, "metric": 0.3, "history": history})
    bundle = load_bundle(tmp_path)
    assert bundle.path == tmp_path / "weights" / "best.safetensors"
    assert bundle.model_name == "recursive"
    assert bundle.recipe == trained.recipe()
    assert bundle.class_names == trained.NAMES
    assert bundle.preprocessing == Preprocessing(trained.SIDE, grey=True)
    assert bundle.facts == {"epoch": 2, "metric": 0.3}
    assert list(bundle.history) == history
    assert bundle.version == adafer.__version__
    assert not bundle.model.training


@pytest.mark.parametrize("place", ["", "weights", "weights/best.safetensors"])
def test_a_run_its_weights_folder_and_the_file_name_the_same_model(
    place: str, tmp_path: Path
) -> None:
    save(tmp_path)
    faces = trained.inputs(2)
    assert torch.equal(
        load_bundle(tmp_path / place).model(faces).logits, trained.module()(faces).logits
    )


def test_best_and_last_are_kept_apart_with_their_own_facts(tmp_path: Path) -> None:
    save(tmp_path, "best", facts={"epoch": 1, "metric": 0.5})
    save(tmp_path, "last", shifted(0.1), facts={"epoch": 2, "metric": 0.4})
    best, last = load_bundle(tmp_path, "best"), load_bundle(tmp_path, "last")
    assert (best.facts["epoch"], last.facts["epoch"]) == (1, 2)
    faces = trained.inputs(2)
    assert torch.equal(best.model(faces).logits, trained.module()(faces).logits)
    assert torch.equal(last.model(faces).logits, shifted(0.1)(faces).logits)
    config = config_of(tmp_path)
    assert (config["epoch"], config["metric"]) == (1, 0.5)  # those of the best


def test_the_weights_file_itself_names_the_classes(tmp_path: Path) -> None:
    path = save(tmp_path)
    with safetensors.safe_open(path, "pt") as opened:
        assert json.loads(opened.metadata()["class_names"]) == list(trained.NAMES)


def test_numbers_that_json_cannot_hold_are_null(tmp_path: Path) -> None:
    save(tmp_path, facts={"epoch": 1, "metric": float("nan"), "history": [{"x": float("inf")}]})
    text = (tmp_path / "weights" / "config.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert load_bundle(tmp_path).facts["metric"] is None
    assert load_bundle(tmp_path).history == ({"x": None},)


def test_shared_and_strided_tensors_are_saved_as_what_they_show(tmp_path: Path) -> None:
    model = trained.module().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    bias = model.get_parameter("stem.1.bias")
    model.get_submodule("stem")[1].weight = bias  # type: ignore[index]
    assert not model.get_parameter("stem.0.weight").is_contiguous()
    save(tmp_path, model=model)
    for name, value in load_bundle(tmp_path).model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    save(tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_bundle(tmp_path)
    assert torch.equal(torch.rand(4), expected)


class Compiled(nn.Module):
    """What torch.compile does to the names of a module's parameters."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._orig_mod = model


def test_a_compiled_model_is_saved_under_its_own_names(tmp_path: Path) -> None:
    model = trained.module()
    save(tmp_path, model=Compiled(model))
    assert load_bundle(tmp_path).model.state_dict().keys() == model.state_dict().keys()


# Stops and faults ---------------------------------------------------------------------------------


class Stop(Exception):
    """The moment at which the power fails."""


@pytest.mark.parametrize("allowed", range(4))
def test_a_stop_at_any_moment_of_a_save_leaves_a_model_that_loads(
    allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, facts={"epoch": 1, "metric": 0.1})
    faces = trained.inputs(2)
    known = {epoch: shifted(0.01 * epoch)(faces).logits for epoch in (2, 3)}
    known[1] = trained.module()(faces).logits
    for epoch in (2, 3):  # twice, so that the second save starts from what the first stop left
        moves = iter(range(allowed))
        plain = os.replace

        def failing(source: Any, target: Any, moves: Any = moves, plain: Any = plain) -> None:
            if next(moves, None) is None:
                raise Stop
            plain(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failing)
            try:
                save(tmp_path, model=shifted(0.01 * epoch), facts={"epoch": epoch, "metric": 0.1})
            except Stop:
                assert allowed < 2
        bundle = load_bundle(tmp_path)
        assert torch.equal(bundle.model(faces).logits, known[bundle.facts["epoch"]])
        assert bundle.facts["epoch"] == (1 if allowed < 2 else epoch)


def test_a_full_disk_keeps_the_model_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(AdaferError, match="No space left"):
            save(tmp_path, model=shifted(1.0), facts={"epoch": 2})
    assert load_bundle(tmp_path).facts["epoch"] == 1
    assert not list(tmp_path.rglob("*.part"))


def test_any_flipped_bit_and_any_cut_is_found(tmp_path: Path) -> None:
    path = save(tmp_path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        refusal(tmp_path)
    for length in (0, 1, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert "copy weights and config.json again" in refusal(tmp_path)
    path.write_bytes(data)
    load_bundle(tmp_path)


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    model = trained.module()
    with torch.no_grad():
        model.get_parameter("classifier.bias")[0] = float("nan")
    with pytest.raises(AdaferError, match=r"classifier\.bias"):
        save(tmp_path, model=model)
    assert not (tmp_path / "weights").exists()


def test_another_model_is_not_written_over_this_one(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(AdaferError, match=r"class_names differ.*--name"):
        save(tmp_path, class_names=trained.NAMES[::-1])
    wider = replace(trained.SMALL["recursive"], channels=24)
    with pytest.raises(AdaferError, match="model differ"):
        save(tmp_path, model=trained.module(settings=wider), recipe=trained.recipe(settings=wider))
    load_bundle(tmp_path)


# What is refused ----------------------------------------------------------------------------------


def test_another_shape_is_refused_with_the_differences(tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config["recipe"]["model"].update(channels=24))
    sentence = refusal(tmp_path)
    assert "is (16, 16, 3, 3), not (24, 24, 3, 3)" in sentence
    assert "more;" in sentence


def test_another_architecture_is_refused_with_missing_and_unknown_names(tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config["recipe"]["model"].update(memory="gru"))
    sentence = refusal(tmp_path)
    assert "block.gates.weight is missing" in sentence
    assert "block.norm.weight is unknown" in sentence


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (trained.NAMES[::-1], "was trained on the classes"),
        (trained.NAMES[:4], "was trained on the classes"),
        (("a", "a", "b", "c", "d"), "no usable class_names"),
        ((1, 2, 3, 4, 5), "no usable class_names"),
    ],
)
def test_another_class_list_is_refused(names: tuple[Any, ...], part: str, tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config.update(class_names=list(names)))
    assert part in refusal(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("channels", "16", "channels is '16'"),
        ("channels", 8 * 10**6, "is (16, 16, 3, 3)"),  # refused before any memory is asked for
        ("channels", 12, "cannot be built"),
        ("channels", -8, "cannot be built"),
        ("max_steps", True, "max_steps is True"),
        ("dropout", float("nan"), "dropout is nan"),
        ("memory", "lstm", "memory is 'lstm'"),
        ("depth", 3, "unknown depth"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    field: str, value: Any, part: str, tmp_path: Path
) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config["recipe"]["model"].update({field: value}))
    assert part in refusal(tmp_path)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config["recipe"].update(model_name="resnet"))
    assert "there are recursive, tinyvgg" in refusal(tmp_path)


def test_another_number_type_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path)
    with safetensors.safe_open(path, "pt") as opened:
        header = opened.metadata()
    tensors = {k: v.half() for k, v in safetensors.torch.load_file(path).items()}
    data = safetensors.torch.save(tensors, metadata=header)
    path.write_bytes(data)
    digest = adafer.bundle.hashlib.sha256(data).hexdigest()
    change_config(tmp_path, lambda config: config["files"]["best"].update(sha256=digest))
    assert "torch.float16, not torch.float32" in refusal(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", "[" * 100_000, '{"files": {"best": 1}}', "\x00"]
)
def test_a_damaged_config_is_refused(text: str, tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "weights" / "config.json").write_text(text)
    assert "config.json" in refusal(tmp_path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere")
    assert "expected best.safetensors" in refusal(tmp_path)
    path = save(tmp_path)
    with pytest.raises(DataError, match=r"expected weights/last\.safetensors"):
        load_bundle(tmp_path, "last")
    (path.parent / "config.json").unlink()
    assert "no config.json" in refusal(tmp_path)


class Canary:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Ask for a file to be opened for writing."""
        return open, (str(self.path), "w")


def payloads(canary: Path) -> dict[str, bytes]:
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"weights": Canary(canary)}, zipped)
    torch.save({"weights": Canary(canary)}, legacy, _use_new_zipfile_serialization=False)
    wrapped = io.BytesIO()
    with zipfile.ZipFile(wrapped, "w") as archive:
        archive.writestr("model.pt", zipped.getvalue())
    return {
        "torch zip": zipped.getvalue(),
        "torch legacy": legacy.getvalue(),
        "nested zip": wrapped.getvalue(),
        "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
        "numpy": b"\x93NUMPY\x01\x00" + bytes(100),
        "gzip": b"\x1f\x8b" + bytes(100),
    }


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", ["torch zip", "torch legacy", "nested zip", "7z", "numpy", "gzip"])
def test_a_pickle_is_refused_under_any_name_and_never_run(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    save(run)
    canary = tmp_path / "canary"
    file = run / "weights" / f"other{suffix}"
    file.write_bytes(payloads(canary)[kind])
    assert "pickle" in refusal(file)
    assert not canary.exists()


def test_the_canary_sings_when_it_is_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    stream = io.BytesIO(payloads(canary)["torch zip"])
    torch.load(stream, weights_only=False)["weights"].close()  # noqa: TID251 (negative control)
    assert canary.exists()


def test_a_header_length_that_looks_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    for length in (0x280, 0x380, 0x480, 0x580):
        start = struct.pack("<Q", length) + b"{"
        assert start[0] == 0x80
        refuse_pickle(tmp_path / "best.safetensors", start)


def test_the_error_of_a_damaged_preprocessing_is_a_sentence(tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, lambda config: config["preprocessing"].update(size="24"))
    assert "preprocessing" in refusal(tmp_path)
