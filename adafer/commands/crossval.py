"""`adafer crossval`: a recipe trained once a fold, and what the held-out faces say together."""

import argparse
from pathlib import Path

from adafer.commands.train import add_settings, check_place, check_published, chosen_recipe
from adafer.recipe import Recipe
from adafer.recipes import RECIPES, run_folders
from adafer.settings.loss import LOSS_SETTINGS
from adafer.words import Words, command_parser

FOLDS = 5


def crossval(words: list[str]) -> int:
    """Train every fold, or go on with the fold that was stopped."""
    resume = _resumed(words)
    recipe = chosen_recipe(words).changed(folds=FOLDS) if resume is None else _planned(words)
    given = vars(_parser(recipe).parse_known_words(words))
    general = {
        name: given.pop(name)
        for name in (
            "recipe", "config", "name", "runs", "resume", "time", "track", "quiet", "loss",
            "debug",
        )
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    started = general["config"] is not None or resume is not None
    check_place(general["recipe"], words, started, "crossval")
    check_published(recipe, changes)
    from adafer.progress import Console
    from adafer.studies import crossval as study

    study.crossval(
        recipe,
        changes.pop("folds", None),
        runs=general["runs"],
        name=general["name"],
        resume=general["resume"],
        hours=general["time"],
        track=general["track"],
        watcher=Console(quiet=general["quiet"]),
        command=("adafer", "crossval", *words),
        **changes,
    )
    return 0


def _parser(recipe: Recipe) -> Words:
    parser = command_parser(
        "crossval",
        "[RECIPE] [--folds K] [--flag value ...]",
        "Train a recipe once a fold, each time without the faces of that fold, and measure it on\n"
        "them. Train and validation of the data set are dealt into K folds by class; faces of one\n"
        "group and copies of one picture share a fold; test is never looked at. Every setting of\n"
        f"the recipe is a flag below, shown with its value in {recipe.name!r}. The folder holds a\n"
        "run a fold, predictions.csv (every face once), scores.csv, summary.json and report.html.",
        "  adafer crossval tinyvgg --data faces/ --folds 5\n"
        "  adafer crossval tinyvgg --data list.csv --group-col subject --name by-person\n"
        "  adafer crossval --resume                    the one that was written to last\n"
        "  adafer crossval --resume runs/by-person     at the fold that it was in\n"
        "  adafer label-errors runs/by-person          labels that look wrong, over all faces",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help=f"one of: {', '.join(RECIPES)}")
    runs = parser.add_argument_group("run: where it is kept and how it goes on")
    runs.add_argument("--config", type=Path, metavar="FILE", help="a saved recipe.yaml")
    runs.add_argument("--name", help="name of the folder (the recipe's name, then -crossval)")
    runs.add_argument(
        "--runs", type=Path, metavar="DIR",
        help=f"where runs are kept ({recipe.runs}; on Kaggle working/checkpoints)",
    )  # fmt: skip
    runs.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on with a cross-validation: its folder, or the newest",
    )
    runs.add_argument(
        "--time", type=float, metavar="HOURS", help="stop and save after so many hours in all"
    )
    runs.add_argument(
        "--track",
        choices=("off", "wandb", "trackio", "tensorboard", "mlflow"),
        default="off",
        help="send each fold's figures to a tracker as well (off)",
    )
    runs.add_argument("--quiet", action="store_true", help="print the last table only")
    runs.add_argument("--loss", metavar="NAME", help=f"another loss: {', '.join(LOSS_SETTINGS)}")
    runs.add_argument("--debug", action="store_true", help="show a traceback on errors")
    add_settings(parser, recipe, without=("fold",))
    return parser


def _resumed(words: list[str]) -> str | None:
    """Folder after --resume, "" for the newest, None without --resume."""
    known, _ = _early().parse_known_args([word for word in words if word not in ("-h", "--help")])
    resumed: str | None = known.resume
    return resumed


def _planned(words: list[str]) -> Recipe:
    """Return the recipe of the cross-validation to go on with."""
    from adafer.studies.crossval_folder import latest_crossval, open_crossval

    known, _ = _early().parse_known_args(words)
    folders = run_folders() if known.runs is None else (known.runs,)
    return (
        open_crossval(Path(known.resume)) if known.resume else latest_crossval(*folders)
    ).recipe()


def _early() -> argparse.ArgumentParser:
    early = Words(prog="adafer crossval", add_help=False, allow_abbrev=False)
    early.add_argument("--resume", nargs="?", const="")
    early.add_argument("--runs", type=Path)
    return early
