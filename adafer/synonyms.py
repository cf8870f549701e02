"""Names under which other programs know our settings, so that their scripts go on working."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adafer.errors import WordsError


@dataclass(frozen=True)
class Synonym:
    """Another name of a setting: what it becomes, and its help."""

    becomes: str
    kind: type
    help: str


SYNONYMS: dict[str, Synonym] = {
    "lr_head": Synonym("lr", float, "the same as --lr"),
    "lr_backbone": Synonym(
        "lr_backbone_factor", float, "learning rate of every stage but the last"
    ),
    "grad_clip_norm": Synonym("clip", float, "the same as --clip"),
    "model_type": Synonym("backbone", str, "the same as --backbone"),
    "group_col": Synonym("group_column", str, "the same as --group-column"),
    "num_workers": Synonym("workers", int, "the same as --workers"),
    "num_anchors": Synonym("anchors_per_class", int, "the same as --anchors-per-class"),
    "use_mixup": Synonym("mixup", bool, "--mixup 0.4, or 0 with --no-use-mixup"),
    "use_cutmix": Synonym("cutmix", bool, "--cutmix 1, or 0 with --no-use-cutmix"),
    "use_ema": Synonym("ema", bool, "--ema 0.999, or 0 with --no-use-ema"),
    "use_class_weights": Synonym("balance", bool, "--balance weights, or none"),
}
"""Other name to ours."""

_SWITCHED: dict[str, tuple[Any, Any]] = {
    "use_mixup": (0.4, 0.0),
    "use_cutmix": (1.0, 0.0),
    "use_ema": (0.999, 0.0),
    "use_class_weights": ("weights", "none"),
}


def in_own_names(changes: Mapping[str, Any], current: Callable[[str], Any]) -> dict[str, Any]:
    """Return changes under our names; `current` gives the value that a setting has now.

    A switch that is turned on keeps a value that is on already.

    Raises:
        WordsError: a setting that is given under both names.
    """
    given = {name.replace("-", "_").replace(".", "_"): value for name, value in changes.items()}
    found = {name: value for name, value in given.items() if name not in SYNONYMS}
    for name, value in given.items():
        if name not in SYNONYMS:
            continue
        ours = SYNONYMS[name].becomes
        if ours in given:
            raise WordsError(f"--{_dashed(name)} and --{_dashed(ours)} are one setting; give one")
        found[ours] = _switched(name, value, current(ours)) if name in _SWITCHED else value
    if "lr_backbone" in given:
        rate = found.get("lr", current("lr"))
        found["lr_backbone_factor"] = _number(given["lr_backbone"]) / _number(rate)
    return found


def _switched(name: str, value: Any, now: Any) -> Any:
    on, off = _SWITCHED[name]
    if str(value).lower() not in ("true", "yes", "1"):
        return off
    return on if now in (off, None) else now


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise WordsError(f"--lr-backbone takes a number, not {value!r}") from None
    if not number > 0:
        raise WordsError("--lr and --lr-backbone must be above 0")
    return number


def _dashed(name: str) -> str:
    return name.replace("_", "-")
