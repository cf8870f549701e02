"""What a model card says of the data: its name, where it is from, its licence, its protocol."""

import re
from collections.abc import Mapping
from typing import Any

from adafer.data import READERS

TITLES = {
    "toy": "toy faces",
    "ferplus": "FER+",
    "ferplus-csv": "FER+",
    "fer-csv": "FER2013",
    "rafdb": "RAF-DB",
    "rafdb-kaggle": "RAF-DB",
    "affectnet": "AffectNet",
    "affectnet-npy": "AffectNet",
    "affectnet-txt": "AffectNet",
}
"""Name of the data set by its layout; the other layouts hold any data set."""

_SAME = {"rafdb-kaggle": "rafdb", "affectnet-npy": "affectnet", "affectnet-txt": "affectnet"}
_NOTE = re.compile(r"(Source: .*?\.?)(?=\s(?:Class order|Counts|Paper|One fer2013)|$)", re.DOTALL)
_PAPER = re.compile(r"(Papers?: .*?)\s*(?:Counts:|$)", re.DOTALL)

FERPLUS_PROTOCOL = (
    "FER+ protocol: votes of `label.csv`; a vote of 1 counts as 0; validation and test keep a face "
    "whose winner holds more than half of the remaining votes, unknown and not-a-face included "
    "(`majority`)."
)


def title(facts: Mapping[str, Any]) -> str:
    """Name of the data set that a run was trained on, as far as the run knows it."""
    layout, source = str(facts.get("layout", "")), str(facts.get("source", ""))
    if source.startswith("hf:"):
        return source.removeprefix("hf:")
    return TITLES.get(layout, f"a data set in the layout {layout or 'unknown'}")


def hub_sets(facts: Mapping[str, Any]) -> list[str]:
    """Data sets of the hub among the sources, as OWNER/NAME."""
    sources = facts.get("composition", {}).get("sources", [])
    given = [str(facts.get("source", "")), *(str(part.get("source", "")) for part in sources)]
    names = [re.split(r"[:@]", text.removeprefix("hf:"))[0] for text in given if text[:3] == "hf:"]
    return list(dict.fromkeys(names))


def origin(facts: Mapping[str, Any], note: str = "") -> str:
    """Where the faces come from and under which licence; empty where only the publisher knows.

    `note` is what the publisher says. Without it, a known layout's reader says so in its docstring.
    """
    layout, sets = str(facts.get("layout", "")), hub_sets(facts)
    if note or sets:
        pages = [f"https://huggingface.co/datasets/{name}" for name in sets]
        linked = f"Their pages state origin and licence: {', '.join(pages)}." if pages else ""
        return " ".join(text for text in (note.strip(), linked) if text)
    if layout == "toy":
        return "Drawn by adafer, not photographed, and free of rights."
    if layout not in TITLES:
        return ""
    doc = re.sub(r"-\n\s+", "-", READERS[_SAME.get(layout, layout)].__doc__ or "")
    text = " ".join(doc.split())
    found = [pattern.search(text) for pattern in (_NOTE, _PAPER)]
    return " ".join(f"{match[1].strip().rstrip('.')}." for match in found if match)


def is_drawn(facts: Mapping[str, Any]) -> bool:
    """Whether every face was drawn by this project, so that no terms of others apply."""
    sources = facts.get("composition", {}).get("sources", [])
    return facts.get("layout") == "toy" and all(part.get("source") == "toy" for part in sources)


def protocol(facts: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Sentences on how the splits were made and what was left out of them."""
    settings = recipe.get("data", {})
    told = []
    if str(facts.get("layout", "")).startswith("ferplus"):
        labels = settings.get("train_labels", "votes")
        kept = "every face with a vote for an emotion" if labels == "votes" else "the same rule"
        told.append(f"{FERPLUS_PROTOCOL} Training takes {kept}.")
    if facts.get("val_carved_from_train"):
        share = float(settings.get("validation_fraction", 0))
        told.append(
            f"The data has no validation split: {share:.0%} of train was carved off, stratified, "
            f"with seed {settings.get('split_seed')}."
        )
    told += _leaks(facts.get("leaks"))
    left_out = facts.get("left_out") or {}
    if left_out:
        listed = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
        told.append(f"Left out of the training faces: {listed}.")
    if facts.get("unreadable"):
        told.append(f"Pictures that could not be read: {facts['unreadable']:,}.")
    composition = facts.get("composition", {})
    if len(composition.get("sources", [])) > 1:
        parts = [
            f"{part['name']} ({part['train']:,}{', synthetic' if part['synthetic'] else ''})"
            for part in composition["sources"]
        ]
        told.append(
            f"Training faces by source: {', '.join(parts)}; "
            f"{composition['synthetic_fraction']:.0%} are synthetic."
        )
    return told


def _leaks(leaks: Any) -> list[str]:
    if not isinstance(leaks, Mapping):
        return []
    found = {name: leaks[name] for name in ("val", "test") if isinstance(leaks.get(name), int)}
    near = leaks.get("near")
    looked = "; near copies were not looked for" if near is None else ""
    if not any(found.values()) and not any((near or {}).values()):
        told = f"No training face is a copy of a validation or test face{looked}."
        return [told] if found else []
    words = {"val": "validation", "test": "test"}

    def listed(counts: Mapping[str, int]) -> str:
        return " and ".join(f"{n:,} {words[name]}" for name, n in counts.items() if name in words)

    kept = "they stayed in" if leaks.get("policy") == "allow" else "the copies were left out of"
    also = f", and near copies of {listed(near)} faces" if near else ""
    return [
        f"Copies across splits: {listed(found)} faces stood in train pixel for pixel{also}; {kept} "
        f"train{looked}."
    ]
