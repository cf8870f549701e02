"""Print the results table of the README from result files, and put it there.

Each folder below `benchmarks/results/` holds one measurement: `metrics.json`, as `adafer evaluate`
writes it, and `run.json`. Runs that differ in seed only share a row: mean and standard deviation.

    python benchmarks/tables.py                        print the table and write it into README.md
    python benchmarks/tables.py --check                fail if README.md is out of date
    python benchmarks/tables.py --keep RUN [--split S] copy a run's result files to RESULTS
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from adafer.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
START, END = "<!-- results: benchmarks/tables.py -->", "<!-- end of results -->"
COLUMNS = ("Recipe", "Faces", "Measured on", "Parameters", "Accuracy", "Macro F1", "Mean steps")
NONE_YET = "No results yet."

Result = dict[str, Any]


def results(folder: Path) -> list[Result]:
    """Metrics and run facts of every measurement, in the order of the folders' names."""
    found = []
    for metrics in sorted(folder.glob("*/metrics.json")):
        run = json.loads(metrics.with_name("run.json").read_text(encoding="utf-8"))
        figures = json.loads(metrics.read_text(encoding="utf-8"))
        recipe = yaml.safe_load(metrics.with_name("recipe.yaml").read_text(encoding="utf-8"))
        found.append({"metrics": figures, "run": run, "recipe": recipe})
    return found


def not_run(found: Sequence[Result]) -> list[str]:
    """A row for each recipe that starts from published weights and was not measured so."""
    done = {
        result["run"]["recipe"]
        for result in found
        if result["recipe"].get("model", {}).get("pretrained")
    }
    return [
        f"`{name}` | – | pretrained: not run" + " | –" * len(COLUMNS[3:]) + " | – | –"
        for name, recipe in RECIPES.items()
        if getattr(recipe.model, "pretrained", False) and name not in done
    ]


def table(found: Sequence[Result]) -> str:
    """The table in Markdown, one row for runs that differ in seed only."""
    if not found:
        return NONE_YET
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in found:
        run = result["run"]
        key = (run["recipe"], run["data"]["layout"], run["split"], run["parameters"])
        groups[key, run.get("note", "")].append(result)
    lines = [" | ".join(COLUMNS) + " | Seeds | Date", "|".join(["---"] * (len(COLUMNS) + 2))]
    lines += [_row(*key, note, group) for (key, note), group in groups.items()]
    lines += not_run(found)
    return "\n".join(f"| {line} |" if " | " in line else f"|{line}|" for line in lines)


def _row(
    recipe: str, layout: str, split: str, parameters: int, note: str, group: Sequence[Result]
) -> str:
    metrics = [result["metrics"] for result in group]
    name = f"`{recipe}`{', ' + note if note else ''}"
    date = max(result["run"]["finished"] for result in group)[:10]
    cells = (
        name,
        layout,
        f"{metrics[0]['n']:,} {split.removesuffix('-mirror')} faces",
        f"{parameters:,}",
        _spread([100 * figures["accuracy"] for figures in metrics]),
        _spread([100 * figures["macro_f1"] for figures in metrics]),
        _spread([figures["mean_steps"] for figures in metrics], digits=2),
        str(len({result["run"]["seed"] for result in group})),
        date,
    )
    return " | ".join(cells)


def _spread(values: Sequence[float | None], digits: int = 1) -> str:
    """Mean and, of two runs or more, standard deviation; a dash where there is no figure."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "–"
    mean = f"{statistics.mean(numbers):.{digits}f}"
    return mean if len(numbers) < 2 else f"{mean} ± {statistics.stdev(numbers):.{digits}f}"


def with_block(text: str, start: str, end: str, block: str) -> str:
    """Return a page with everything between two marks replaced."""
    if text.count(start) != 1 or text.count(end) != 1:
        sys.exit(f"README.md must hold {start!r} and {end!r} once each")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{block}\n{end}{after}"


def keep(run: Path, split: str, note: str) -> Path:
    """Copy what the table needs of a run, without the paths of the machine it ran on."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    metrics = (run / "eval" / split / "metrics.json").read_text(encoding="utf-8")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    facts["command"] = [Path(word).name if "/" in word else word for word in facts["command"]]
    facts["data"]["source"] = Path(facts["data"]["source"]).name
    facts |= {"recipe": recipe["name"], "split": split, "commit_when_kept": commit}
    for uses in facts.get("test_uses", []):
        uses["data"] = Path(uses["data"]).name
    if note:
        facts["note"] = note
    for told, name in ((facts.get("started_from"), "source"), (facts.get("teacher"), "weights")):
        if told and "/" in str(told.get(name, "")):
            told[name] = Path(told[name]).name
    for part, name in (("model", "weights"), ("loss", "teacher")):
        if recipe.get(part, {}).get(name):
            recipe[part][name] = Path(recipe[part][name]).name
    folder = RESULTS / f"{run.name}-{facts['data']['layout']}-{split}-seed{facts['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    recipe["data"]["data"] = facts["data"]["source"]
    recipe["data"]["roots"] = []
    written = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    (folder / "recipe.yaml").write_text(written, encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / "metrics.json").write_text(metrics, encoding="utf-8")
    for name in ("results.csv", f"eval/{split}/confusion_matrix.csv"):
        shutil.copy(run / name, folder)
    _draw_curves(run / "results.csv", folder / "curves.png")
    return folder


def _draw_curves(results_csv: Path, picture: Path) -> None:
    """Draw accuracy, loss and mean steps over the epochs."""
    with results_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    panels = (
        ("accuracy", ("train_acc", "val_acc", "val_macro_f1")),
        ("loss", ("train_loss", "val_loss")),
        ("mean steps", ("mean_steps", "ponder_cost")),
    )
    panels = tuple(panel for panel in panels if any(rows[0][name] for name in panel[1]))
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name in names:
            if rows[0][name]:
                axes.plot(epochs, [float(row[name]) for row in rows], label=name)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(picture, dpi=110)


def main(words: Sequence[str] | None = None) -> None:
    """Print, write, check or keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail if README.md is out of date")
    parser.add_argument("--keep", type=Path, metavar="RUN", help="copy a run's result files")
    parser.add_argument("--split", default="test", help="the split to keep (test)")
    parser.add_argument("--note", default="", help="words beside the recipe's name")
    given = parser.parse_args(words)
    if given.keep:
        print(keep(given.keep, given.split, given.note))
    printed = table(results(RESULTS))
    text = README.read_text(encoding="utf-8")
    wanted = with_block(text, START, END, printed)
    if given.check:
        if wanted != text:
            sys.exit("README.md is out of date; run: python benchmarks/tables.py")
        return
    partial = README.with_name(".README.md.partial")
    partial.write_text(wanted, encoding="utf-8")
    os.replace(partial, README)
    print(printed)


if __name__ == "__main__":
    main()
