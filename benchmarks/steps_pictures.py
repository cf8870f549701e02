"""The pictures of the page on steps; `steps_study.py` calls this with the result files."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Groups = dict[str, list[dict[str, Any]]]
"""Results of each method, one a seed."""

COLOURS = {
    "naive-soft": "#8a8f98",
    "graves-soft": "#3c48c8",
    "ponder-soft": "#c8643c",
    "confidence-soft": "#2b8a5b",
    "confidence-majority": "#b8519b",
}


def draw(groups: Groups, folder: Path, words: Callable[[str], str]) -> None:
    """Draw the three pictures into a folder; `words` says a method as a person does."""
    _save(_accuracy_against_steps(groups, words), folder / "steps-accuracy.svg")
    _save(_agreement(groups, words), folder / "steps-people.svg")
    _save(_by_depth(groups, words), folder / "steps-depth.svg")


def _axes(width: float = 6.4, height: float = 3.8) -> Any:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    drawn = figure.add_subplot()
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.grid(axis="y", color="0.92")
    drawn.set_axisbelow(True)
    return drawn


def _accuracy_against_steps(groups: Groups, words: Callable[[str], str]) -> Any:
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


def _agreement(groups: Groups, words: Callable[[str], str]) -> Any:
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


def _by_depth(groups: Groups, words: Callable[[str], str]) -> Any:
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


def _save(drawn: Any, path: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = path.stem  # the same file for the same figures
    drawn.figure.savefig(path, format="svg", metadata={"Date": None})
