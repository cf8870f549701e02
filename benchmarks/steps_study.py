"""Print the page on steps from result files: tables, and three pictures.

    adafer steps RUN --split test --copies data_check/ferplus/duplicates.csv
    python benchmarks/steps_study.py --keep RUN [RUN ...] --split test   copy runs' results here
    python benchmarks/steps_study.py                                     write the page's tables
    python benchmarks/steps_study.py --check                             fail if it is out of date

A run's name is METHOD-sSEED; runs of one method are one row, mean and standard deviation.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steps_pictures import draw

from adafer.plain_values import finite
from adafer.run import open_run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "steps"
PAGE = ROOT / "docs" / "concepts" / "do-easy-faces-take-fewer-steps.md"
START, END = "<!-- tables: benchmarks/steps_study.py -->", "<!-- end of tables -->"
MAIN = ("naive-soft", "graves-soft", "ponder-soft", "confidence-soft", "confidence-majority")
WORDS = {
    "naive": "naive halting",
    "graves": "Graves ACT",
    "ponder": "PonderNet",
    "confidence": "confidence exit",
    "soft": "votes",
    "majority": "majority labels",
    "gru": "GRU memory",
    "colour": "colour input",
    "mixup": "MixUp 0.4",
}
PHRASES = {"logit-bias": "bias logit(1/5)", "class-weights": "class weights in the ponder cost"}
EXITS = ("confidence", "entropy", "margin", "patience", "change")

Found = dict[str, Any]


def keep(paths: Sequence[Path], split: str) -> None:
    """Copy what `adafer steps` wrote for these runs, with rounded numbers."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path in paths:
        run = open_run(path)
        folder = path / "steps" / f"{split}-without-copies"
        found = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
        facts = run.facts()
        found["run"] = {
            "name": path.name,
            "split": split,
            "parameters": facts["parameters"],
            "versions": facts["versions"],
            "best_epoch": facts["best_epoch"],
            "finished": facts["finished"][:10],
            "leaks": facts["data"]["leaks"],
            "test_uses": len(facts.get("test_uses", [])),
        }
        text = json.dumps(finite(rounded(found)), ensure_ascii=False, separators=(",", ":"))
        (RESULTS / f"{path.name}-{split}.json").write_text(f"{text}\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Five significant digits say enough."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def results(split: str) -> dict[str, list[Found]]:
    """Results by method, seeds in order."""
    groups: dict[str, list[Found]] = defaultdict(list)
    for path in sorted(RESULTS.glob(f"*-{split}.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        groups[found["run"]["name"].rpartition("-s")[0]].append(found)
    return groups


def spread(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """Mean and standard deviation over seeds, or the one value."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if len(known) == 1:
        return form(known[0])
    return f"{form(statistics.mean(known))} ± {form(statistics.stdev(known)).lstrip('+')}"


def percent(value: float) -> str:
    """A share in percent without the sign of it."""
    return f"{100 * value:.1f}"


def rho(value: float) -> str:
    """A correlation."""
    return f"{value:+.2f}".replace("-", "−")


def plain(value: float) -> str:
    """Two decimals."""
    return f"{value:.2f}"


def points(estimate: Found) -> str:
    """Percentage points with their interval."""
    numbers = [100 * estimate[name] for name in ("value", "low", "high")]
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*numbers).replace("-", "−")


def signed_points(value: float) -> str:
    """Percentage points with their sign."""
    return f"{100 * value:+.2f}".replace("-", "−")


def row(found: Found, name: str) -> Found:
    """One control of a run."""
    return next(r for r in found["controls"]["rows"] if r["name"] == name)


def people(found: Found, where: str) -> float | None:
    """Spearman of the steps with the entropy of the votes."""
    agreement = found["agreement"]
    return None if agreement is None else agreement["steps"][where]["value"]


def words(method: str) -> str:
    """A method as a person says it."""
    rule, _, rest = method.partition("-")
    said = PHRASES.get(rest) or WORDS.get(rest, rest)
    return f"{WORDS.get(rule, rule)}, {said}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def overview(groups: dict[str, list[Found]]) -> str:
    """What each method does, and whether it is adaptive."""
    rows = []
    for method, runs in groups.items():
        controls = [run["controls"] for run in runs]
        rows.append(
            (
                words(method),
                str(len(runs)),
                spread([run["everyone"]["accuracy"] for run in runs], percent),
                spread([c["accuracy"] for c in controls], percent),
                spread([c["mean_steps"] for c in controls], plain),
                spread([c["sd_steps"] for c in controls], plain),
                points(controls[0]["best_fixed"]["gain"]),
                spread([c["best_fixed"]["gain"]["value"] for c in controls], signed_points),
                f"{row(runs[0], 'steps shuffled')['p']:.3f}",
                spread([people(run, "overall") for run in runs], rho),
                spread([people(run, "within") for run in runs], rho),
                spread([_gain(run) for run in runs], rho),
            )
        )
    columns = (
        "Trained as", "Seeds", "Accuracy, all faces, %", "without copies, %", "Mean steps",
        "sd of steps",
        "Above best fixed depth of equal cost, points (seed 0)", "over seeds", "Shuffled p",
        "Steps with vote entropy", "within class", "Steps with gain in loss",
    )  # fmt: skip
    return table(columns, rows)


def _gain(found: Found) -> float | None:
    reducible = found["reducible"]
    return None if reducible is None else reducible["gain"]["overall"]["value"]


def depths(groups: dict[str, list[Found]]) -> str:
    """Accuracy at each fixed depth, to twice the depth of training."""
    longest = max(len(run["by_step"]["every"]) for runs in groups.values() for run in runs)
    rows = []
    for method, runs in groups.items():
        cells = []
        for step in range(longest):
            values = [run["by_step"]["every"][step]["accuracy"]["value"] for run in runs]
            cells.append(percent(statistics.mean(values)))
        rows.append((words(method), *cells))
    return table(("Trained as", *(f"{n + 1}" for n in range(longest))), rows)


def control_tables(groups: dict[str, list[Found]]) -> str:
    """Every control at the model's own mean, for the four methods; first seed's intervals."""
    parts = []
    for method in (name for name in MAIN if name in groups):
        first = groups[method][0]
        own = first["controls"]
        rows = [("**its own halting**", plain(own["mean_steps"]), percent(own["accuracy"]), "", "")]
        for control in own["rows"]:
            p = "" if control["p"] is None else f"{control['p']:.3f}"
            rows.append(
                (
                    control["name"],
                    plain(control["mean_steps"]),
                    percent(control["accuracy"]),
                    points(control["gain"]),
                    p,
                )
            )
        columns = ("Alternative", "Mean steps", "Accuracy, %", "Own halting above it, points", "p")
        parts.append(f"**Trained as {words(method)}**, seed 0\n\n{table(columns, rows)}")
    return "\n\n".join(parts)


def rivals(groups: dict[str, list[Found]]) -> str:
    """What follows the votes better than the steps do."""
    methods = [name for name in MAIN if name in groups]
    with_votes = [m for m in methods if all(run["agreement"] for run in groups[m])]
    rows = []

    def add(name: str, read: Callable[[Found], float | None]) -> None:
        cells = [spread([read(run["agreement"]) for run in groups[m]], rho) for m in with_votes]
        rows.append((name, *cells))

    add("**steps**", lambda a: a["steps"]["overall"]["value"])
    add("steps, within class", lambda a: a["steps"]["within"]["value"])
    add("steps, given class, sharpness, brightness", lambda a: a["partial"]["value"])
    add("share of the ceiling, over all", lambda a: a["of_ceiling"])
    add("share of the ceiling, within class", lambda a: a["of_ceiling_within"])
    first = groups[with_votes[0]][0]["agreement"]
    for place, rival in enumerate(first["rivals"]):
        add(rival["name"], lambda a, place=place: a["rivals"][place]["overall"]["value"])
    return table(("Spearman with the entropy of the votes", *map(words, with_votes)), rows)


def easy_and_hard(groups: dict[str, list[Found]]) -> str:
    """Steps of easy and of hard faces."""
    rows = []
    for method in (name for name in MAIN if name in groups):
        for place, contrast in enumerate(groups[method][0]["difficulty"]):
            runs = [run["difficulty"][place] for run in groups[method]]
            gap = contrast["difference"]
            rows.append(
                (
                    words(method),
                    contrast["name"],
                    spread([r["easy_steps"] for r in runs], plain),
                    spread([r["hard_steps"] for r in runs], plain),
                    f"{gap['value']:+.2f} ({gap['low']:+.2f} to {gap['high']:+.2f})".replace(
                        "-", "−"
                    ),
                    spread([100 * r["chance_harder_longer"] for r in runs], lambda v: f"{v:.0f}"),
                )
            )
    columns = (
        "Trained as", "Easy and hard by", "Steps, easy", "Steps, hard", "Difference (seed 0)",
        "Hard face takes longer, %",
    )  # fmt: skip
    return table(columns, rows)


def clock(groups: dict[str, list[Found]]) -> str:
    """Measured milliseconds a face."""
    rows = []
    for method in (name for name in MAIN if name in groups):
        for timing in groups[method][0]["timings"]:
            saved = timing["saved"]
            rows.append(
                (
                    words(method),
                    str(timing["batch_size"]),
                    plain(timing["mean_steps"]),
                    plain(timing["fixed"][-1]),
                    plain(timing["adaptive"]),
                    "nothing to save" if saved is None else f"{100 * saved:.0f} %",
                )
            )
    columns = (
        "Trained as", "Batch", "Mean steps", "ms a face, all steps", "ms a face, own halting",
        "Of the ideal saving",
    )  # fmt: skip
    return table(columns, rows) if rows else ""


def page_text(groups: dict[str, list[Found]], others: dict[str, list[Found]]) -> str:
    """Everything between the marks of the page."""
    parts = [
        ("What each way of training gives", overview(groups)),
        ("The same on validation, where everything was chosen", overview(others)),
        ("Accuracy at each fixed depth, %", depths(groups)),
        ("All controls", control_tables(groups)),
        ("Steps and rivals against people", rivals(groups)),
        ("Easy and hard faces", easy_and_hard(groups)),
        ("Measured time", clock(others)),
    ]
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts if text)


def main() -> int:
    """Keep results, write the page's tables, or check that they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", nargs="+", type=Path, metavar="RUN", default=[])
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.keep:
        keep(given.keep, given.split)
        return 0
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    groups, others = results("test"), results("val")
    new = f"{before}{START}\n\n{page_text(groups, others)}\n\n{END}{after}"
    if given.check:
        if new != text:
            print(f"{PAGE.name} is out of date; run python benchmarks/steps_study.py")
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    main = {name: groups[name] for name in MAIN if name in groups}
    draw(main, PAGE.parent, words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
