"""A trained model on disk: weights, recipe, class names, preprocessing and hashes.

A run folder's `weights/` holds `best.safetensors`, `last.safetensors` and `config.json`, which says
what both are. Nothing here is pickled, and what could be a pickle is never opened by a loader.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import safetensors.torch as safe_tensors
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import adafer
from adafer.errors import AdaferError, DataError, WordsError
from adafer.image import Preprocessing
from adafer.models import MODELS, build
from adafer.plain_values import finite

CONFIG = "config.json"
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib", ".npy"})
_PICKLE_STARTS = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"\x93NUMPY")
_LONGEST_LIST = 4  # differences that one sentence names

Which = Literal["best", "last"]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A trained model, ready to answer, and all that is needed to read its answers."""

    path: Path  # the safetensors file
    model: nn.Module  # in evaluation mode, on the CPU
    model_name: str
    recipe: Mapping[str, Any]  # as Recipe.to_dict wrote it
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    facts: Mapping[str, Any]  # epoch, metric and what else was said when it was saved
    history: tuple[Mapping[str, Any], ...]  # one entry an epoch
    version: str  # of adafer, when it was saved

    @property
    def temperature(self) -> float:
        """Number that the logits are divided by before softmax; 1 where none was fitted."""
        value = self.facts.get("temperature", 1.0)
        if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
            raise DataError(
                f"the temperature of {self.path} is {value!r}; fit it again with `adafer evaluate "
                "--calibrate`"
            )
        return float(value)


def save_bundle(
    folder: Path,
    which: Which,
    model: nn.Module,
    *,
    recipe: Mapping[str, Any],
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    facts: Mapping[str, Any],
) -> Path:
    """Write a model into the `weights/` of a run folder and return the safetensors file.

    A stop at any moment leaves a pair that loads: the new weights lie complete beside the old,
    then `config.json` names both, then the new take the name. `facts` are plain values such as
    epoch and metric; `history` among them is kept once for both files. Numbers that are not finite
    are written as null.

    Raises:
        AdaferError: if a weight is not finite, the folder holds another model or cannot be written.
    """
    described = {
        "recipe": recipe,
        "class_names": list(class_names),
        "preprocessing": preprocessing.to_json(),
    }
    # One entry only: safetensors writes several in a random order, and equal weights should give
    # equal files. The rest stands in config.json.
    header = {"class_names": json.dumps(list(class_names), ensure_ascii=False)}
    data = safe_tensors.save(_tensors(model), metadata=header)
    path = folder / "weights" / f"{which}.safetensors"
    config_path = path.with_name(CONFIG)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        config = _extended(_config_to_extend(config_path, described), path, data, facts)
        text = json.dumps(finite(config | described), indent=1, ensure_ascii=False, allow_nan=False)
        part = _written(path, data)
        os.replace(_written(config_path, text.encode()), config_path)
        _sync_folder(path.parent)
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        why = error.strerror or error
        raise AdaferError(f"cannot write {path} ({why}); free space or choose --runs") from None
    return path


def load_bundle(path: Path, which: Which = "best") -> Bundle:
    """Load a trained model from a run folder, its weights folder or a safetensors file.

    Raises:
        DataError: in one sentence, if anything is missing, damaged or of another shape or class
            list than the recipe says; then nothing was loaded.
    """
    file = _weights_file(Path(path), which)
    config = _read_config(file.parent / CONFIG)
    data = _safe_bytes(file)
    entry = _entry_of(config, data, file.stem)
    if entry is None:
        raise DataError(
            f"{file} is not the file that {CONFIG} describes (its sha256 differs), so it is "
            "damaged or from another run; copy weights and config.json again"
        )
    tensors, header = _parsed(file, data)
    class_names = tuple(config["class_names"])
    if header.get("class_names") != json.dumps(list(class_names), ensure_ascii=False):
        raise DataError(
            f"{file} was trained on the classes {header.get('class_names')}, but {CONFIG} lists "
            f"{json.dumps(list(class_names), ensure_ascii=False)}; take both from one run"
        )
    name, settings = _model_settings(config["recipe"], file.parent / CONFIG)
    preprocessing = Preprocessing.from_json(config["preprocessing"])
    model = _filled(name, settings, len(class_names), preprocessing.size, tensors, file)
    return Bundle(
        path=file,
        model=model,
        model_name=name,
        recipe=config["recipe"],
        class_names=class_names,
        preprocessing=preprocessing,
        facts={k: v for k, v in entry.items() if k not in ("file", "sha256")},
        history=tuple(config.get("history") or ()),
        version=str(config.get("adafer", "unknown")),
    )


def keep_temperature(folder: Path, which: Which, temperature: float) -> None:
    """Store a temperature with the weights that it was fitted for; new weights lose it.

    Raises:
        DataError: if the weights are not those that config.json tells of.
    """
    file = _weights_file(Path(folder), which)
    config = _read_config(file.parent / CONFIG)
    digest = hashlib.sha256(_safe_bytes(file)).hexdigest()
    entry = config["files"].get(file.stem, {})
    if entry.get("sha256") != digest:
        raise DataError(f"{file} is not the file that {CONFIG} describes; train or copy it again")
    entry["temperature"] = temperature
    text = json.dumps(finite(config), indent=1, ensure_ascii=False, allow_nan=False)
    os.replace(_written(file.parent / CONFIG, text.encode()), file.parent / CONFIG)


def refuse_pickle(path: Path, start: bytes = b"") -> None:
    """Raise DataError if a file name or the first bytes of a file are those of a pickle."""
    if path.suffix.lower() in PICKLE_SUFFIXES or _looks_pickled(start):
        raise DataError(
            f"{path} may hold a pickle, which can run code when it is opened, so it was not; "
            "give weights saved as safetensors"
        )


def _looks_pickled(start: bytes) -> bool:
    # safetensors starts with the length of a header, which may be 0x280 and look like protocol 2.
    header = len(start) >= 8 and b"\0\0\0\0{".startswith(start[4:9])  # cut after it, too
    protocol = start[:1] == b"\x80" and b"" < start[1:2] <= b"\x05"
    return start.startswith(_PICKLE_STARTS) or (protocol and not header)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU, under the names of the module that is not compiled."""
    tensors = {
        name.removeprefix("_orig_mod."): value.detach().to("cpu", copy=True).contiguous()
        for name, value in model.state_dict().items()
    }
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise AdaferError(
                f"the weights hold numbers that are not finite ({name}); lower --lr or train in "
                "--precision fp32"
            )
    return tensors


def _config_to_extend(path: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that is there, if it tells of the same model, or an empty one."""
    if not path.exists():
        return {"files": {}, "history": []}
    config = _read_config(path)
    same = json.loads(json.dumps(finite(described), allow_nan=False))
    config["preprocessing"] = Preprocessing.from_json(config["preprocessing"]).to_json()
    theirs, ours = config["recipe"], same["recipe"]
    differing = [key for key in ("class_names", "preprocessing") if config[key] != same[key]]
    differing += [key for key in ("model_name", "model") if theirs.get(key) != ours.get(key)]
    if differing:
        raise AdaferError(
            f"{path.parent} holds another model (its {', '.join(differing)} differ); "
            "give this run another --name"
        )
    return config


def _extended(
    config: Mapping[str, Any], path: Path, data: bytes, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a config that tells of these new bytes and of the file that they will replace."""
    told = {key: value for key, value in facts.items() if key != "history"}
    entry = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), **told}
    if replaced := _entry_on_disk(config, path):
        entry["replaces"] = replaced
    files = {**config["files"], path.stem: entry}
    leading = files.get("best", entry)
    return {
        "adafer": adafer.__version__,
        **{key: leading.get(key) for key in ("epoch", "metric", "value")},
        "files": files,
        "history": facts.get("history", config["history"]),
    }


def _written(path: Path, data: bytes) -> Path:
    """Write bytes beside a path, down to the disk, and return where."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return part


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened, and a rename is journalled
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _weights_file(path: Path, which: Which) -> Path:
    if path.is_dir():
        folder = path / "weights" if (path / "weights").is_dir() else path
        file = folder / f"{which}.safetensors"
        if not file.is_file():
            raise DataError(
                f"no trained model in '{path}': expected {file.relative_to(path)}; "
                "give the folder of a run that finished an epoch"
            )
        return file
    if not path.is_file():
        raise DataError(f"no model '{path}': no such file or folder; correct the path")
    refuse_pickle(path)
    return path


def _safe_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        start = stream.read(9)
        refuse_pickle(file, start)
        return start + stream.read()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"no {path.name} beside the weights in '{path.parent}'; copy both"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise DataError(f"{path} is damaged; take the folder from the run again") from None
    kinds = {"recipe": dict, "class_names": list, "preprocessing": dict, "files": dict}
    lacking = [
        key
        for key, kind in kinds.items()
        if not isinstance(config, dict) or not isinstance(config.get(key), kind)
    ]
    if not lacking:
        names, entries = config["class_names"], config["files"].values()
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            lacking.append("class_names")
        if not all(isinstance(entry, dict) for entry in entries):
            lacking.append("files")
    if lacking:
        raise DataError(f"{path} has no usable {', '.join(lacking)}; take it from the run again")
    config.setdefault("history", [])
    return config


def _entry_of(config: Mapping[str, Any], data: bytes, stem: str = "") -> dict[str, Any] | None:
    """Return what config.json says of these very bytes; a stop may have left the file before."""
    digest = hashlib.sha256(data).hexdigest()
    # Best and last may be equal weights; what is said of this very file comes first.
    for name in sorted(config["files"], key=lambda name: name != stem):
        entry = config["files"][name]
        replaced = entry.get("replaces")
        for told in (entry, replaced if isinstance(replaced, dict) else {}):
            if told.get("sha256") == digest:
                return {key: value for key, value in told.items() if key != "replaces"}
    return None


def _entry_on_disk(config: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    return _entry_of(config, path.read_bytes()) if path.exists() else None


def _parsed(file: Path, data: bytes) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        tensors = safe_tensors.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError):
        raise DataError(f"{file} is not a whole safetensors file; copy it again") from None
    return tensors, header


def _model_settings(recipe: Mapping[str, Any], path: Path) -> tuple[str, Any]:
    """Return the model's name and settings, every value of its field's own type."""
    name, values = recipe.get("model_name"), recipe.get("model")
    if not isinstance(name, str) or name not in MODELS or not isinstance(values, dict):
        raise DataError(
            f"{path} asks for the model {name!r}, but there are {', '.join(MODELS)}; "
            "take a newer adafer"
        )
    settings_class = MODELS[name][0]
    hints = get_type_hints(settings_class)
    needed = {f.name for f in fields(settings_class) if f.default is MISSING}
    wrong = [f"unknown {key}" for key in values if key not in hints]
    wrong += [f"no {key}" for key in sorted(needed - set(values))]
    wrong += [
        f"{key} is {value!r}"
        for key, value in values.items()
        if key in hints and not _fits(value, hints[key])
    ]
    if wrong:
        raise DataError(f"{path}: the settings of {name} do not fit ({_some(wrong)}); restore it")
    return name, settings_class(**values)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _filled(
    name: str,
    settings: Any,
    classes: int,
    img_size: int,
    tensors: Mapping[str, Tensor],
    file: Path,
) -> nn.Module:
    """Build the module and fill it, once every name, shape and type was found to agree."""
    try:
        with torch.device("meta"):  # no memory yet, whatever sizes the settings ask for
            wanted = build(settings, classes, img_size).state_dict()
    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError, WordsError) as error:
        raise DataError(f"{file}: its {name} cannot be built ({error}); restore it") from None
    wrong = [f"{key} is missing" for key in wanted if key not in tensors]
    wrong += [f"{key} is unknown" for key in tensors if key not in wanted]
    for key in wanted.keys() & tensors.keys():
        found, needed = tensors[key], wanted[key]
        if found.shape != needed.shape:
            wrong.append(f"{key} is {tuple(found.shape)}, not {tuple(needed.shape)}")
        elif found.dtype != needed.dtype:
            wrong.append(f"{key} is {found.dtype}, not {needed.dtype}")
        elif found.is_floating_point() and not bool(found.isfinite().all()):
            wrong.append(f"{key} holds numbers that are not finite")
    if wrong:
        raise DataError(
            f"{file} does not fit a {name} of {classes} classes: {_some(sorted(wrong))}; "
            "take weights and config.json from one run"
        )
    with torch.random.fork_rng(devices=[]):  # the first weights are thrown away; so is their chance
        model = build(settings, classes, img_size)
    model.load_state_dict(tensors)
    return model.eval()


def _some(differences: Sequence[str]) -> str:
    rest = len(differences) - _LONGEST_LIST
    return ", ".join(differences[:_LONGEST_LIST]) + (f" and {rest} more" if rest > 0 else "")
