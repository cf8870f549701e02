"""What each part of GReFEL buys: the tables of docs/concepts/grefel.md.

    python benchmarks/grefel.py --keep NAME RUN   measure a run on test, once, and keep the figures
    python benchmarks/grefel.py                   write the tables
    python benchmarks/grefel.py --check           fail if the page is out of date

NAME is a row of the ablation; several runs of a name are its seeds.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tables import with_block

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "grefel"
PAGE = ROOT / "docs" / "concepts" / "grefel.md"
START, END = "<!-- {0}: benchmarks/grefel.py -->", "<!-- end of {0} -->"
NAMES = {
    "plain": "plain: the backbone and one linear layer",
    "geometry": "+ geometry, the landmarks of each face",
    "canonical": "+ geometry, one learned layout for all",
    "anchors": "+ anchors",
    "attention": "+ attention",
    "all": "all of it",
    "all-center-0.1": "all of it, center weight 0.1",
    "plain-noise": "plain, 20 % of the labels flipped",
    "all-noise": "all of it, 20 % of the labels flipped",
}
"""Rows of the ablation, in order."""


def keep(name: str, run_folder: Path) -> None:
    """Measure a run on the test split and write the figures, without anything of the machine."""
    from adafer.analysis.reliability import against_people
    from adafer.analysis.temperature import cross_fitted
    from adafer.bundle import load_bundle
    from adafer.data.dataset import FaceDataset
    from adafer.engine import hardware
    from adafer.evaluation import listing_of, measure
    from adafer.metrics import score
    from adafer.run import now, open_run
    from adafer.studies.anchors import look
    from adafer.studies.steps import clear_faces

    run = open_run(run_folder)
    bundle, own, device = load_bundle(run.path), run.recipe(), hardware.choose_device("cpu")
    recipe = replace(own, data=replace(own.data, evaluation_faces="votes"))
    dataset = FaceDataset(listing_of(recipe, "test", bundle), bundle.preprocessing)
    run.append("test_uses", {"time": now(), "data": "ferplus", "n": len(dataset)})
    wide = measure(bundle.model, dataset, recipe, device)
    clear = clear_faces(dataset.listing)
    narrow = score(_taken(wide, clear), bootstrap=0)
    ways = {"as it answers": wide.probabilities}
    if getattr(bundle.model, "balancing", None) is not None:
        ways["classifier alone"] = look(bundle, dataset, recipe, device).primary
    ways["with a temperature"] = cross_fitted(wide.probabilities, wide.labels)
    people = against_people(ways, wide.labels, wide.votes)
    val = json.loads((run.path / "eval" / "val" / "metrics.json").read_text(encoding="utf-8"))
    told = {
        "name": name,
        "seed": own.train.seed,
        "epochs": own.phases[0].epochs,
        "parameters": run.facts()["parameters"],
        "landmarks": run.facts()["data"].get("landmarks"),
        "model": own.to_dict()["model"],
        "loss": own.to_dict()["loss"],
        "label_noise": own.data.label_noise,
        "val": {key: val[key] for key in ("n", "accuracy", "macro_f1", "ece", "brier")},
        "test": {
            key: getattr(narrow, key) for key in ("n", "accuracy", "macro_f1", "ece", "brier")
        },
        "people": people.to_json(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}-seed{own.train.seed}.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(path)


def _taken(table: Any, places: Any) -> Any:
    """The predictions at these places."""
    return replace(
        table,
        ids=tuple(table.ids[i] for i in places),
        labels=table.labels[places],
        probabilities=table.probabilities[places],
        votes=None if table.votes is None else table.votes[places],
        loss=None,
    )


def kept() -> dict[str, list[dict[str, Any]]]:
    """What was kept, by name in the order of the table."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    ]
    return {
        name: rows for name in NAMES if (rows := [told for told in found if told["name"] == name])
    }


def ablation(found: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """What each part buys, in Markdown."""
    columns = ("Trained", "seeds", "parameters", "val. accuracy", "val. macro F1",
               "test accuracy", "test macro F1", "test ECE", "test Brier")  # fmt: skip
    rows = []
    for name, told in found.items():
        figures = [
            *(_spread([100 * run[split][key] for run in told], 1)
              for split in ("val", "test") for key in ("accuracy", "macro_f1")),
            *(_spread([run["test"][key] for run in told], 3) for key in ("ece", "brier")),
        ]  # fmt: skip
        rows.append((NAMES[name], str(len(told)), f"{told[0]['parameters']:,}", *figures))
    return _markdown(columns, rows)


def people(found: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Whether confidence follows the annotators, in Markdown."""
    columns = ("Trained", "answer", "seeds", "follows people (Spearman)", "ECE, labels",
               "ECE, votes", "Brier, votes")  # fmt: skip
    rows = []
    for name in ("plain", "anchors", "attention", "all"):
        told = found.get(name, [])
        ways = [row["name"] for row in told[0]["people"]["standings"]] if told else []
        for place, way in enumerate(ways):
            standings = [run["people"]["standings"][place] for run in told]
            figures = (
                _spread([row["agreement"]["value"] for row in standings], 3),
                *(_spread([row[key] for row in standings], 3)
                  for key in ("ece", "vote_ece", "vote_brier")),
            )  # fmt: skip
            rows.append((name, way, str(len(told)), *figures))
    return _markdown(columns, rows)


def _spread(values: Sequence[float], digits: int) -> str:
    shown = f"{mean(values):.{digits}f}"
    return f"{shown} ± {stdev(values):.{digits}f}" if len(values) > 1 else shown


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def main() -> None:
    """Keep a run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", nargs=2, metavar=("NAME", "RUN"))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.keep:
        name, run = given.keep
        if name not in NAMES:
            sys.exit(f"{name!r} is no row of the table: {', '.join(NAMES)}")
        keep(name, Path(run))
        return
    found, text = kept(), PAGE.read_text(encoding="utf-8")
    page = text
    for block, content in (("ablation", ablation(found)), ("people", people(found))):
        page = with_block(page, START.format(block), END.format(block), content)
    if given.check:
        sys.exit(f"{PAGE.name} is out of date" if page != text else 0)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
