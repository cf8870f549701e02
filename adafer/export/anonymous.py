"""What a run knows, without what it knows of a machine: no path, command line, host or user."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adafer.plain_values import finite

FACTS = (
    *("identifier", "started", "finished", "exit_reason", "stopped", "best_epoch"),
    *("versions", "device", "precision", "threads", "seed", "parameters"),
    *("started_from", "teacher", "data", "test_uses", "calibrations", "resumed"),
)
"""Of `run.json`; a fact that is not named here stays at home."""

DATA_FACTS = (
    *("layout", "hashes", "train", "val", "val_carved_from_train", "leaks"),
    *("landmarks", "composition", "left_out"),
)
"""Of its `data`; beside them the number of pictures that could not be read."""

PATHS = frozenset(
    {"data", "also", "synthetic", "source", "weights", "teacher", "landmarks", "face_detector"}
    | {"train_csv", "val_csv", "runs"}
)
"""Settings and facts whose text may be a path, be it relative."""

_ROOT = r"(?:file:/+(?=/)|~|[A-Za-z]:|\\)?[\\/](?=[^\s\\/])"
_PART = r"[^\s'\"\\/<>|:;,]"
_ABSOLUTE = re.compile(_ROOT)
_INSIDE = re.compile(rf"(?<![\w.:/\\]){_ROOT}(?:{_PART}*[\\/])*({_PART}*)")
_REMOTE = re.compile(r"(?:hf|https?):")


def without_places(value: Any, key: str = "") -> Any:
    """Return plain values in which every path is its last part; names of the hub stay."""
    if isinstance(value, Mapping):
        return {name: without_places(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if key in PATHS or _ABSOLUTE.match(value):  # whole, since a folder may have spaces
        return _last(value)
    return _INSIDE.sub(lambda found: found[1] or "...", value)


def public_recipe(recipe: Mapping[str, Any], layout: str) -> dict[str, Any]:
    """Return a recipe, as `Recipe.to_dict` gives it, whose data is named by its layout alone."""
    cleaned: dict[str, Any] = without_places(recipe)
    given = recipe.get("data")
    if isinstance(given, Mapping):
        cleaned["data"] = {
            **without_places(given),
            "data": _named(str(given.get("data", "")), layout),
            "roots": [],
        }
    return cleaned


def public_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be told of `run.json`."""
    told: dict[str, Any] = {
        name: without_places(facts[name], name) for name in FACTS if facts.get(name) is not None
    }
    data = facts.get("data")
    if isinstance(data, Mapping):
        bad = data.get("unreadable")
        told["data"] = {
            "source": _named(str(data.get("source", "")), str(data.get("layout", "data"))),
            **{
                name: without_places(data[name])
                for name in DATA_FACTS
                if data.get(name) is not None
            },
            "unreadable": len(bad) if isinstance(bad, Sequence) else 0,
        }
    plain: dict[str, Any] = finite(told)
    return plain


def public_config(config: Mapping[str, Any], layout: str) -> dict[str, Any]:
    """Return a bundle's `config.json` that tells of the best weights alone."""
    best = {key: value for key, value in config["files"]["best"].items() if key != "replaces"}
    kept = {**config, "files": {"best": best}, "recipe": public_recipe(config["recipe"], layout)}
    plain: dict[str, Any] = finite(kept)
    return plain


def _named(source: str, layout: str) -> str:
    return source if source == "toy" or _REMOTE.match(source) else layout


def _last(text: str) -> str:
    """Last part of a path; text that is none, or a name of the hub, stays as it is."""
    if _REMOTE.match(text) or text.startswith("hub "):
        return text
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1]
