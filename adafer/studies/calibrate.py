"""Fit a run's temperature on its validation faces, and keep it with the model."""

from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.table import Table

from adafer.analysis.temperature import Temperature, cross_fitted, fit_temperature
from adafer.bundle import Which, keep_temperature, load_bundle
from adafer.data.dataset import FaceDataset
from adafer.engine import hardware
from adafer.evaluation import listing_of, measure
from adafer.metrics import Scores, score
from adafer.predictions import rescaled
from adafer.progress import Watcher, usual_watcher
from adafer.run import now, open_run

FIGURES = {"nll": "negative log-likelihood", "ece": "ECE", "brier": "Brier score"}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature, and what validation says without it, with it, and cross-fitted."""

    temperature: Temperature
    before: Scores
    after: Scores
    honest: Scores  # each face scaled by a temperature that it had no part in


def calibrate(
    path: str | Path,
    *,
    which: Which = "best",
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Calibration:
    """Fit the temperature of a run's model on its own validation faces and store it.

    Every later answer of the model is scaled by it. Steps are not: how long a face is looked at is
    decided by unscaled scores. Where the answer mixes step outputs, the mixture is scaled.

    Raises:
        DataError: no run there, or too few validation faces.
    """
    watcher = watcher or usual_watcher()
    run = open_run(Path(path))
    bundle = load_bundle(run.path, which)
    recipe = run.recipe()
    dataset = FaceDataset(
        listing_of(recipe, "val", bundle), bundle.preprocessing, recipe.data.max_bad
    )
    chosen = hardware.choose_device(device)
    predictions = replace(
        measure(bundle.model.to(chosen), dataset, recipe, chosen), loss=None, step_correct=None
    )
    temperature = fit_temperature(predictions.probabilities, predictions.labels)
    found = Calibration(
        temperature=temperature,
        before=score(predictions, bootstrap=0),
        after=score(rescaled(predictions, temperature.value), bootstrap=0),
        honest=score(
            replace(
                predictions,
                probabilities=cross_fitted(predictions.probabilities, predictions.labels),
            ),
            bootstrap=0,
        ),
    )
    keep_temperature(run.path, which, temperature.value)
    run.append(
        "calibrations",
        {"time": now(), "which": which, "temperature": temperature.value, "n": len(predictions)},
    )
    watcher.show(_table(found))
    if temperature.at_bound:
        watcher.said(
            "the temperature lies at the end of its range, so these faces do not say where it is; "
            "look at the reliability diagram before you trust it"
        )
    watcher.said(f"temperature {temperature.value:.4f}, kept in {run.weights / 'config.json'}")
    return found


def _table(found: Calibration) -> Table:
    table = Table(
        title=f"Temperature {found.temperature.value:.3f}, fitted on {found.before.n:,} "
        "validation faces",
        title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for name in ("validation", "before", "after", "after, cross-fitted"):
        table.add_column(name, justify="left" if name == "validation" else "right")
    for figure, words in FIGURES.items():
        values = (getattr(scores, figure) for scores in (found.before, found.after, found.honest))
        table.add_row(words, *(f"{value:.4f}" for value in values))
    return table
