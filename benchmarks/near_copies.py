"""What a model gains from copies of test faces in train: the table of ferplus-duplicates.md.

    python benchmarks/near_copies.py --keep RUN --copies data_check/ferplus/duplicates.csv
    python benchmarks/near_copies.py            write the table
    python benchmarks/near_copies.py --check    fail if the page is out of date

A run is kept with its accuracy on test, once measured, for the faces with an exact copy in train,
with another copy only, and with none, all as `adafer data check` found them in the whole of train.
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tables import with_block

from adafer.predictions_file import read_predictions

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "near-copies"
PAGE = ROOT / "docs" / "concepts" / "ferplus-duplicates.md"
START, END = "<!-- table: benchmarks/near_copies.py -->", "<!-- end of table -->"
GROUPS = {
    "all": "all",
    "exact": "exact copy in train",
    "other": "only another copy",
    "none": "no copy in train",
}
POLICIES = {"drop": "`--leaks drop`", "drop-near": "`--leaks drop-near`"}


Face = tuple[str, str]
"""Split and id."""


def strictest(copies: Path, split: str) -> dict[str, str]:
    """Strictest kind of copy in train of each face of a split that has one, by id.

    A link joins the first faces of identical ones; the others have the same links.
    """
    with copies.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    same: dict[Face, set[Face]] = {}
    linked: list[tuple[Face, Face]] = []
    for row in rows:
        one, other = ((row[f"{side}_split"], row[side]) for side in ("first", "second"))
        if row["kind"] == "exact":
            same.setdefault(one, {one}).add(other)
        else:
            linked += [(one, other), (other, one)]
    found = {face: "exact" for faces in same.values() if in_train(faces) for face in faces}
    for here, there in linked:
        if in_train(same.get(there, {there})):
            for face in same.get(here, {here}):
                found.setdefault(face, "other")
    return {name: kind for (where, name), kind in found.items() if where == split}


def in_train(faces: set[Face]) -> bool:
    """Whether one of the faces is in train."""
    return any(split == "train" for split, _ in faces)


def keep(run: Path, copies: Path) -> None:
    """Write the figures of a run, without anything of the machine."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    seen = read_predictions(run / "eval" / "test" / "predictions.csv")
    kinds = strictest(copies, "test")
    group = np.array([kinds.get(name, "none") for name in seen.ids])
    right = seen.predicted == seen.labels
    inside = {name: right if name == "all" else right[group == name] for name in GROUPS}
    told = {
        "recipe": recipe["name"],
        "leaks": recipe["data"]["leaks"],
        "seed": recipe["train"]["seed"],
        "train": sum(facts["data"]["train"].values()),
        "test_uses": len(facts["test_uses"]),
        "faces": {name: len(found) for name, found in inside.items()},
        "accuracy": {name: float(found.mean()) for name, found in inside.items()},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{told['recipe']}-{told['leaks']}-seed{told['seed']}.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def table(found: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown: mean ± standard deviation over seeds, in percent."""
    faces = found[0]["faces"]
    runs = {policy: [told for told in found if told["leaks"] == policy] for policy in POLICIES}
    heads = [
        f"{POLICIES[policy]} ({told[0]['train']:,} training faces, {len(told)} seeds)"
        for policy, told in runs.items()
    ]
    lines = [f"| Test faces | {' | '.join(heads)} |", "|---|---|---|"]
    for name, words in GROUPS.items():
        cells = []
        for told in runs.values():
            values = [100 * one["accuracy"][name] for one in told]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| {words} ({faces[name]:,}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Keep a run, write the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="RUN")
    parser.add_argument("--copies", type=Path, metavar="CSV")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.keep:
        keep(given.keep, given.copies)
        return
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    before = PAGE.read_text(encoding="utf-8")
    after = with_block(before, START, END, table(kept))
    if given.check and before != after:
        sys.exit(f"{PAGE.name} is out of date: run python benchmarks/near_copies.py")
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
