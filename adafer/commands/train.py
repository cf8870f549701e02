"""`adafer train`: a recipe, its settings as flags, and where the run is kept."""

import argparse
from pathlib import Path
from typing import Any

from adafer.errors import WordsError
from adafer.recipe import Recipe, flags
from adafer.recipes import RECIPES, find_recipe, run_folders
from adafer.settings.loss import LOSS_SETTINGS
from adafer.synonyms import SYNONYMS
from adafer.words import Words, add_flag, command_parser

GROUPS = {
    "data": "data: which faces, and how they are prepared",
    "model": "model",
    "loss": "loss",
    "train": "training",
}


def train_parser(recipe: Recipe) -> Words:
    """Return the parser whose flags are this recipe's settings."""
    parser = command_parser(
        "train",
        "[RECIPE] [--flag value ...]",
        "Train a model. RECIPE names a whole experiment; every setting of it is a flag below,\n"
        f"shown with its value in {recipe.name!r}. What was trained is kept in runs/NAME/, with a\n"
        "report.html to read. Ctrl-C saves and stops; --resume goes on, exactly.",
        "  adafer train\n"
        "  adafer train act-graves --data ferplus/ --leaks drop --name first\n"
        "  adafer train --data toy --max-steps 5 --lr 1e-3 --seed 1\n"
        "  adafer train --resume                       the run that was written to last\n"
        "  adafer train --resume runs/first --epochs 40   extend a finished run\n"
        "  adafer train --config runs/first/recipe.yaml   repeat a run",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help=f"one of: {', '.join(RECIPES)}")
    _add_run_words(parser, recipe.runs)
    add_settings(parser, recipe)
    return parser


def add_settings(parser: Words, recipe: Recipe, without: tuple[str, ...] = ()) -> None:
    """Add the settings of a recipe as flags, and the names that other programs have for them."""
    groups = {part: parser.add_argument_group(title) for part, title in GROUPS.items()}
    chosen = [flag for flag in flags(recipe) if flag.name not in without]
    for flag in chosen:
        group = groups.get(flag.part) or groups["train"]
        add_flag(group, flag)
    _add_other_names(parser, {flag.name for flag in chosen})


def _add_other_names(parser: Words, known: set[str]) -> None:
    """Add the names that other programs have for these settings."""
    group = parser.add_argument_group("other names of these settings, for scripts that have them")
    for name, synonym in SYNONYMS.items():
        word = "--" + name.replace("_", "-")
        if synonym.becomes not in known:
            continue
        if synonym.kind is bool:
            group.add_argument(
                word,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=synonym.help,
            )
        else:
            group.add_argument(
                word,
                default=argparse.SUPPRESS,
                metavar=synonym.kind.__name__.upper(),
                help=synonym.help,
            )
    if "pretrained" not in known:
        group.add_argument(
            "--pretrained", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS,
            help="published weights; this recipe's model has none",
        )  # fmt: skip


def check_published(recipe: Recipe, changes: dict[str, Any]) -> None:
    """Refuse published weights where there are none; without them is how it trains anyway."""
    if hasattr(recipe.model, "pretrained"):
        return
    if changes.pop("pretrained", False):
        raise WordsError(f"{recipe.name} has no published weights; leave --pretrained out")


def _show(recipe: Recipe) -> None:
    """Print the complete recipe; beside it, which parts of its model learn, and how fast."""
    import torch
    from rich.console import Console as Terminal

    from adafer.engine.optim import stage_rates
    from adafer.models import build, preprocessing_for
    from adafer.report.console import stages_table

    data = recipe.data
    faces = preprocessing_for(recipe.model, data.img_size, data.grey, data.crop)
    with torch.device("meta"):  # looked at, not run
        model = build(recipe.model, data.toy_classes, faces.size)
    table = stages_table(stage_rates(model, recipe.phases))
    print(recipe.to_yaml(), end="", flush=True)
    Terminal(stderr=True, highlight=False).print(table)  # the recipe alone goes into a file


def _recipe_among(words: list[str]) -> str:
    """Return the recipe's name: a first word without dashes."""
    return words[0] if words and not words[0].startswith("-") else "act-graves"


def _add_run_words(parser: Words, kept: str) -> None:
    """Add what is said of the run, not of the experiment."""
    runs = parser.add_argument_group("run: where it is kept and how it goes on")
    runs.add_argument("--config", type=Path, metavar="FILE", help="repeat a saved recipe.yaml")
    runs.add_argument("--name", help="name of the run's folder (the recipe's name)")
    runs.add_argument(
        "--runs", "--output-dir", type=Path, metavar="DIR",
        help=f"where runs are kept ({kept}; on Kaggle working/checkpoints)",
    )  # fmt: skip
    runs.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on with a run: its folder, or the newest",
    )
    runs.add_argument(
        "--allow-changed",
        action="store_true",
        help="resume although data or settings changed; recorded",
    )
    runs.add_argument(
        "--time", type=float, metavar="HOURS", help="stop and save after so many hours"
    )
    runs.add_argument(
        "--track",
        choices=("off", "wandb", "trackio", "tensorboard", "mlflow"),
        default="off",
        help="send figures to a tracker as well; results.csv is always written (off)",
    )
    runs.add_argument("--test", action="store_true", help="measure the test split once, at the end")
    runs.add_argument("--dry-run", action="store_true", help="print the complete recipe and stop")
    runs.add_argument("--quiet", action="store_true", help="print the last table only")
    runs.add_argument(
        "--loss", metavar="NAME", help=f"another loss, with its flags: {', '.join(LOSS_SETTINGS)}"
    )
    runs.add_argument("--debug", action="store_true", help="show a traceback on errors")


def train(words: list[str]) -> int:
    """Train, or print the recipe that would be trained."""
    chosen = chosen_recipe(words)
    parsed = vars(train_parser(chosen).parse_known_words(words))
    general = {
        name: parsed.pop(name)
        for name in (
            "recipe", "config", "name", "runs", "resume", "allow_changed", "time", "track",
            "test", "dry_run", "quiet", "loss", "debug",
        )
    }  # fmt: skip
    changes = {name: value for name, value in parsed.items() if value is not None}
    started = general["config"] is not None or general["resume"] is not None
    check_place(general["recipe"], words, started)
    check_published(chosen, changes)
    if general["dry_run"]:
        _show(chosen.changed(**changes))
        return 0
    from adafer import experiment
    from adafer.progress import Console

    experiment.train(
        chosen,
        runs=general["runs"],
        name=general["name"],
        resume=general["resume"],
        allow_changed=general["allow_changed"],
        hours=general["time"],
        track=general["track"],
        test=general["test"],
        watcher=Console(quiet=general["quiet"]),
        command=("adafer", "train", *words),
        **changes,
    )
    return 0


def chosen_recipe(words: list[str]) -> Recipe:
    """Return the recipe that the words start from: a name, a file, or the run to resume."""
    early = Words(prog="adafer train", add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    early.add_argument("--resume", nargs="?", const="")
    early.add_argument("--runs", "--output-dir", type=Path)
    early.add_argument("--loss")
    known, _ = early.parse_known_args([word for word in words if word not in ("-h", "--help")])
    if known.resume is not None:
        from adafer.run import latest_run, open_run

        folders = run_folders() if known.runs is None else (known.runs,)
        run = open_run(Path(known.resume)) if known.resume else latest_run(*folders)
        if known.loss:
            raise WordsError(f"{run.path} keeps its loss; leave --loss out, or start a new run")
        return run.recipe()
    recipe = find_recipe(_recipe_among(words)) if known.config is None else _saved(known.config)
    return recipe.changed(loss=known.loss) if known.loss else recipe


def _saved(path: Path) -> Recipe:
    try:
        return Recipe.from_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise WordsError(f"no recipe in '{path}'; give a run's recipe.yaml") from None


def check_place(
    recipe: str | None, words: list[str], started: bool, command: str = "train"
) -> None:
    """Refuse a recipe's name that would be passed over."""
    if recipe is not None and started:
        raise WordsError(f"--config and --resume bring their recipe; leave {recipe!r} out")
    if recipe is not None and words[0] != recipe:
        raise WordsError(f"the recipe goes first: `adafer {command} {recipe} ...`")
