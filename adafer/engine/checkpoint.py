"""Resume state on disk: verified, never half-written, exact to the bit.

Every save is a new folder `step-00001234/` of safetensors and JSON beside a manifest of sizes and
SHA-256. It is written under another name, forced to the disk, then renamed; the one before it
stays. Nothing is pickled.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch as safe_tensors
import torch
from torch import Tensor, nn

from adafer.engine.state import State
from adafer.engine.vault import Damaged, place, read_verified, saved_folders, set_aside
from adafer.errors import AdaferError
from adafer.plain_values import finite
from adafer.settings.training import PhaseSettings

Identity = Mapping[str, Any]
"""What has to be the same on both sides of a resume, by name: plain values."""

Tensors = dict[str, Tensor]


def save(state: State, folder: Path, identity: Identity) -> Path:
    """Save a training under `folder`, keep the save before it, remove older ones.

    `identity` (architecture, classes, image size, seed, data hashes, ...) is compared on resume.

    Raises:
        MachineError: the disk is full; what was saved before is untouched.
    """
    facts = {
        "identity": dict(identity),
        "counters": state.counters(),
        "history": state.history,
        "forks": state.forks,
        "scaler": state.scaler.state_dict(),
        "precision": state.precision,
        "torch": str(torch.__version__),
    }
    contents = {
        f"{part}.safetensors": safe_tensors.save(tensors)
        for part, tensors in _tensors(state).items()
    }
    contents["state.json"] = json.dumps(finite(facts), allow_nan=False, indent=1).encode()
    return place(folder, f"step-{state.step:08d}", contents)


def exists(folder: Path) -> bool:
    """Whether anything was saved under this folder, damaged or not."""
    return bool(saved_folders(folder))


def restore(
    state: State,
    folder: Path,
    identity: Identity,
    phases: tuple[PhaseSettings, ...],
    *,
    allow_changed: Collection[str] = (),
    defaults: Identity | None = None,
    warn: Callable[[str], None] = print,
) -> Path:
    """Bring a state to the newest good save under `folder`; all of it or nothing.

    A damaged save is named in one line through `warn`, and the one before it is used. Names in
    `allow_changed` may differ in `identity`: the resume is then a fork, kept in `state.forks`, and
    the current epoch starts again, because its batches may be others. A name that the save does not
    know, because it is older, may stand at its value in `defaults`.

    Raises:
        AdaferError: no good save, or one of another architecture or identity, with every
            difference.
    """
    place_of_save, contents = _newest_good(folder, warn)
    facts = json.loads(contents["state.json"])
    tensors = {
        part: safe_tensors.load(contents[f"{part}.safetensors"])
        for part in ("model", "average", "optimiser")
    }
    changed = _changes(facts["identity"], finite(dict(identity)), finite(dict(defaults or {})))
    _refuse(
        place_of_save, {name: text for name, text in changed.items() if name not in allow_changed}
    )
    _refuse(place_of_save, _misfits(state, tensors))
    phase = min(facts["counters"]["phase"], len(phases) - 1)
    state.enter(phases, phase)
    _load(state, tensors)
    _load_facts(state, facts, warn)
    state.phase = phase
    if changed:
        state.forks.append({"step": state.step, "changed": changed})
        state.begin_epoch_again()
    return place_of_save


def _newest_good(folder: Path, warn: Callable[[str], None]) -> tuple[Path, dict[str, bytes]]:
    candidates = saved_folders(folder)
    for candidate in candidates:
        try:
            return candidate, read_verified(candidate)
        except Damaged as damage:
            warn(f"{candidate} is damaged ({damage}); trying the save before it")
            set_aside(candidate)
    if candidates:
        raise AdaferError(f"every save under {folder} is damaged; start again without --resume")
    raise AdaferError(f"nothing was saved under {folder}; start without --resume")


def _tensors(state: State) -> dict[str, Tensors]:
    """Copies on the CPU, each with memory of its own (tied weights may share)."""
    average = {} if state.average is None else state.average.state_dict()
    return {
        "model": _copied(state.model.state_dict()),
        "average": _copied(average),
        "optimiser": _copied(
            {
                f"{name}/{key}": value
                for name, values in _optimiser_state(state).items()
                for key, value in values.items()
            }
        ),
    }


def _copied(tensors: Mapping[str, Tensor]) -> Tensors:
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }


def _optimiser_state(state: State) -> dict[str, dict[str, Tensor]]:
    """Tensors of the optimiser by the name of the parameter."""
    return {
        name: state.optimiser.state[parameter]
        for name, parameter in state.model.named_parameters()
        if parameter in state.optimiser.state
    }


def _misfits(state: State, tensors: dict[str, Tensors]) -> dict[str, str]:
    """Every difference between the saved tensors and this model; empty if they fit."""
    found = _unlike("model", tensors["model"], state.model)
    if bool(tensors["average"]) != (state.average is not None):
        there = "there" if tensors["average"] else "not there"
        found["moving average"] = f"{there} in the save, the other way round now (--ema)"
    elif state.average is not None:
        found |= _unlike("average", tensors["average"], state.average)
    shapes = {name: tuple(p.shape) for name, p in state.model.named_parameters()}
    for key, tensor in tensors["optimiser"].items():
        name = key.rpartition("/")[0]
        if tensor.ndim and shapes.get(name) != tuple(tensor.shape):
            found[f"optimiser {name}"] = (
                f"{tuple(tensor.shape)} in the save, {shapes.get(name)} now"
            )
    return found


def _unlike(part: str, saved: Tensors, module: nn.Module) -> dict[str, str]:
    now = module.state_dict()

    def worded(tensor: Tensor | None) -> str:
        if tensor is None:
            return "absent"
        return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"

    return {
        f"{part} {name}": f"{worded(saved.get(name))} in the save, {worded(now.get(name))} now"
        for name in sorted(saved.keys() | now.keys())
        if worded(saved.get(name)) != worded(now.get(name))
    }


def _changes(saved: Any, now: Any, defaults: Any, name: str = "") -> dict[str, str]:
    """Differences between two identities; nested ones by dotted name.

    A setting that is younger than the save, and stands at its default, is none.
    """
    if isinstance(saved, dict) and isinstance(now, dict):
        usual = defaults if isinstance(defaults, dict) else {}
        found: dict[str, str] = {}
        for key in sorted(saved.keys() | now.keys()):
            if key not in saved and key in usual and now[key] == usual[key]:
                continue
            dotted = f"{name}.{key}" if name else key
            found |= _changes(saved.get(key), now.get(key), usual.get(key), dotted)
        return found
    return {} if saved == now else {name: f"{saved!r} in the save, {now!r} now"}


def _refuse(place_of_save: Path, differences: Mapping[str, str]) -> None:
    if not differences:
        return
    listed = "; ".join(f"{name}: {text}" for name, text in list(differences.items())[:8])
    more = f"; and {len(differences) - 8} more" if len(differences) > 8 else ""
    raise AdaferError(
        f"{place_of_save} is of another training ({listed}{more}); "
        "resume with its own settings, or start a new run"
    )


@torch.no_grad()
def _load(state: State, tensors: dict[str, Tensors]) -> None:
    state.model.load_state_dict(tensors["model"])
    if state.average is not None:
        state.average.load_state_dict(tensors["average"])
    learning = {p for group in state.optimiser.param_groups for p in group["params"]}
    state.optimiser.state.clear()
    for name, parameter in state.model.named_parameters():
        if parameter not in learning:
            continue
        values = {
            key.rpartition("/")[2]: tensor
            for key, tensor in tensors["optimiser"].items()
            if key.rpartition("/")[0] == name
        }
        if values:
            state.optimiser.state[parameter] = {
                key: _like(tensor, parameter) for key, tensor in values.items()
            }


def _like(saved: Tensor, parameter: Tensor) -> Tensor:
    """On the parameter's device, and in its memory layout if it has its shape."""
    if saved.shape != parameter.shape:
        return saved.to(parameter.device)
    return torch.empty_like(parameter, dtype=saved.dtype, requires_grad=False).copy_(saved)


def _load_facts(state: State, facts: dict[str, Any], warn: Callable[[str], None]) -> None:
    state.set_counters(facts["counters"])
    state.history, state.forks = facts["history"], facts["forks"]
    if state.precision != facts["precision"]:
        warn(f"resumed in {state.precision}, saved in {facts['precision']}: bits will differ")
    elif state.scaler.is_enabled():
        state.scaler.load_state_dict(facts["scaler"])
