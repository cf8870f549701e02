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

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from adafer.plain_values import finite
from adafer.run import open_run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "steps"
PAGE = ROOT / "docs" / "concepts" / "do-easy-faces-take-fewer-steps.md"
START, END = "<!-- tables: benchmarks/steps_study.py -->", "<!-- end of tables -->"
MAIN = ("naive-soft", "graves-soft", "ponder-soft", "confidence-soft", "confidence-majority")
COLOURS = {
    "naive-soft": "#8a8f98",
    "graves-soft": "#3c48c8",
    "ponder-soft": "#c8643c",
    "confidence-soft": "#2b8a5b",
    "confidence-majority": "#b8519b",
}
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


def draw(groups: dict[str, list[Found]]) -> None:
    """Draw the three pictures beside the page."""
    main = {name: groups[name] for name in MAIN if name in groups}
    _save(_accuracy_against_steps(main), "steps-accuracy")
    _save(_agreement(main), "steps-people")
    _save(_by_depth(main), "steps-depth")


def _axes(width: float = 6.4, height: float = 3.8) -> Any:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    drawn = figure.add_subplot()
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.grid(axis="y", color="0.92")
    drawn.set_axisbelow(True)
    return drawn


def _accuracy_against_steps(groups: dict[str, list[Found]]) -> Any:
    drawn = _axes()
    for method, runs in groups.items():
        colour, name = COLOURS[method], words(method)
        curves = [{c["name"]: c for c in run["curves"]} for run in runs]
        fixed = np.mean([[p["accuracy"] for p in c["fixed depth"]["points"]] for c in curves], 0)
        drawn.plot(range(1, len(fixed) + 1), 100 * fixed, "--", color=colour, linewidth=1)
        drawn.plot(
            [run["controls"]["mean_steps"] for run in runs],
            [100 * run["controls"]["accuracy"] for run in runs],
            "*", color=colour, markersize=12, label=name,
        )  # fmt: skip
    drawn.set(xlabel="mean steps a face", ylabel="accuracy, %")
    drawn.plot([], [], "--", color="0.4", linewidth=1, label="the same network, fixed depth")
    drawn.legend(frameon=False, fontsize=8)
    return drawn


def _agreement(groups: dict[str, list[Found]]) -> Any:
    drawn = _axes(6.4, 3.2)
    names = [name for name, runs in groups.items() if all(r["agreement"] for r in runs)]
    kinds = {
        "steps, over all": lambda a: a["steps"]["overall"]["value"],
        "steps, within class": lambda a: a["steps"]["within"]["value"],
        "entropy of the last step, over all": lambda a: a["rivals"][0]["overall"]["value"],
    }
    shades = ("#3c48c8", "#8f97e6", "#c9c9c9")
    for place, (kind, shade) in enumerate(zip(kinds.items(), shades, strict=True)):
        values = [statistics.mean([kind[1](r["agreement"]) or 0 for r in groups[n]]) for n in names]
        places = np.arange(len(names)) + 0.26 * (place - 1)
        drawn.bar(places, values, width=0.24, color=shade, label=kind[0])
    drawn.set_xticks(range(len(names)), [words(n).replace(", ", ",\n") for n in names])
    drawn.axhline(0, color="0.3", linewidth=0.8)
    drawn.set(ylabel="Spearman with vote entropy", ylim=(None, 0.68))
    drawn.tick_params(axis="x", labelsize=8)
    drawn.legend(frameon=False, fontsize=8)
    return drawn


def _by_depth(groups: dict[str, list[Found]]) -> Any:
    drawn = _axes()
    for method, runs in groups.items():
        values = [[100 * s["accuracy"]["value"] for s in r["by_step"]["every"]] for r in runs]
        colour = COLOURS[method]
        places = range(1, len(values[0]) + 1)
        drawn.plot(
            places, np.mean(values, 0), "o-", color=colour, markersize=3, label=words(method)
        )
    trained = next(iter(groups.values()))[0]["by_step"]["trained_steps"]
    drawn.axvline(trained, color="0.6", linestyle=":", linewidth=1)
    drawn.set(xlabel="steps, the same for every face", ylabel="accuracy, %")
    drawn.legend(frameon=False, fontsize=8)
    return drawn


def _save(drawn: Any, name: str) -> None:
    figure = drawn.figure
    matplotlib.rcParams["svg.hashsalt"] = name  # the same file for the same figures
    figure.savefig(PAGE.parent / f"{name}.svg", format="svg", metadata={"Date": None})


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
    draw(groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
