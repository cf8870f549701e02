"""The door: reads the words of a command, calls what they mean, prints what came of it."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from textwrap import fill

from adafer.errors import AdaferError, WordsError
from adafer.recipe import Recipe, flags
from adafer.recipes import RECIPES, find_recipe
from adafer.responsible_use import MEANING, STATEMENT
from adafer.words import Words, add_flag, command_parser, dashed

NOTICE = fill(f"{MEANING} {STATEMENT}", 95)

ABOUT = f"""\
Adaptive facial expression recognition: models that look longer at harder faces.

commands:
  train      train a model; without words: act-graves on faces drawn by the project
  evaluate   measure a trained model on a split and write its tables and report
  predict    read the apparent expression of face pictures
  export     write a trained model as one ONNX file, checked against PyTorch
  report     write a run's report page again
  recipes    list the recipes that `train` knows
  models     list the models and their parameters

first steps:
  adafer train                                the main job, about two minutes on two cores
  adafer train act-graves --data FOLDER       your own faces; the layout is recognised
  adafer evaluate runs/act-graves --split test
  adafer predict runs/act-graves face.jpg

`adafer COMMAND --help` explains a command. Exit codes: 0 done, 1 failed, 2 wrong words,
3 wrong data, 4 wrong machine.

{NOTICE}
"""

GROUPS = {
    "data": "data: which faces, and how they are prepared",
    "model": "model",
    "loss": "loss",
    "train": "training",
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if words is None else words)
    sys.exit(run(given))


def run(words: list[str]) -> int:
    """Run one command and return its exit code."""
    debug = "--debug" in words
    words = [dashed(word) for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except AdaferError as error:
        if debug:
            traceback.print_exc()
        print(f"adafer: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("adafer: stopped", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(ABOUT)
        return 0
    if words[0] == "--version":
        from adafer import __version__

        print(f"adafer {__version__}")
        return 0
    if words[0] not in COMMANDS:
        near = get_close_matches(words[0], COMMANDS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`adafer --help` lists them"
        raise WordsError(f"no command {words[0]!r}; {hint}")
    try:
        return COMMANDS[words[0]](words[1:])
    except SystemExit as done:
        return int(done.code or 0)


def _train_parser(recipe: Recipe) -> Words:
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
    runs = parser.add_argument_group("run: where it is kept and how it goes on")
    runs.add_argument("--config", type=Path, metavar="FILE", help="repeat a saved recipe.yaml")
    runs.add_argument("--name", help="name of the run's folder (the recipe's name)")
    runs.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (runs)"
    )
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
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="start from published weights, where the recipe's model has them",
    )
    runs.add_argument(
        "--loss", metavar="NAME", help="another loss: ponder, pondernet, cross-entropy"
    )
    runs.add_argument("--debug", action="store_true", help="show a traceback on errors")
    groups = {part: parser.add_argument_group(title) for part, title in GROUPS.items()}
    for flag in flags(recipe):
        group = groups.get(flag.part) or groups["train"]
        add_flag(group, flag)
    return parser


def _recipe_among(words: list[str]) -> str:
    """Return the recipe's name: a first word without dashes."""
    return words[0] if words and not words[0].startswith("-") else "act-graves"


def _train(words: list[str]) -> int:
    chosen = _chosen_recipe(words)
    parsed = vars(_train_parser(chosen).parse_known_words(words))
    general = {
        name: parsed.pop(name)
        for name in (
            "recipe", "config", "name", "runs", "resume", "allow_changed", "time", "track",
            "test", "dry_run", "quiet", "pretrained", "loss", "debug",
        )
    }  # fmt: skip
    changes = {name: value for name, value in parsed.items() if value is not None}
    started = general["config"] is not None or general["resume"] is not None
    _check_place(general["recipe"], words, started)
    if general["pretrained"]:
        raise WordsError(f"{chosen.name} has no published weights; leave --pretrained out")
    if general["dry_run"]:
        print(chosen.changed(**changes).to_yaml(), end="")
        return 0
    from adafer.experiment import train
    from adafer.progress import Console

    train(
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


def _chosen_recipe(words: list[str]) -> Recipe:
    """Return the recipe that the words start from: a name, a file, or the run to resume."""
    early = Words(prog="adafer train", add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    early.add_argument("--resume", nargs="?", const="")
    early.add_argument("--runs", type=Path, default=Path("runs"))
    early.add_argument("--loss")
    known, _ = early.parse_known_args([word for word in words if word not in ("-h", "--help")])
    if known.resume is not None:
        from adafer.run import latest_run, open_run

        run = open_run(Path(known.resume)) if known.resume else latest_run(known.runs)
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


def _check_place(recipe: str | None, words: list[str], started: bool) -> None:
    """Refuse a recipe's name that would be passed over."""
    if recipe is not None and started:
        raise WordsError(f"--config and --resume bring their recipe; leave {recipe!r} out")
    if recipe is not None and words[0] != recipe:
        raise WordsError(f"the recipe goes first: `adafer train {recipe} ...`")


def _evaluate(words: list[str]) -> int:
    parser = command_parser(
        "evaluate",
        "RUN [--split val|test|train] [...]",
        "Measure a trained model on a split: tables, figures and the report page. Every use of\n"
        "the test split is counted in run.json, because a split that chooses no longer tests.",
        "  adafer evaluate runs/first\n"
        "  adafer evaluate runs/first --split test --data ferplus/\n"
        "  adafer evaluate runs/first --max-steps 5",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--data", help="SOURCE to measure on (the run's own)")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where tables go (RUN/eval/SPLIT)"
    )
    parser.add_argument("--which", choices=("best", "last"), default="best", help="weights (best)")
    parser.add_argument("--max-steps", type=int, metavar="T", help="another T than in training")
    parser.add_argument("--mirror", action="store_true", help="average with the mirrored face")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.evaluation import evaluate
    from adafer.progress import Console

    evaluate(
        given.model,
        data=given.data,
        split=given.split,
        output=given.output,
        which=given.which,
        max_steps=given.max_steps,
        mirror=given.mirror,
        device=given.device,
        watcher=Console(),
    )
    return 0


def _report(words: list[str]) -> int:
    parser = command_parser(
        "report",
        "RUN [--split val|test|train]",
        "Write a run's report.html again from its tables.",
        "  adafer report runs/first --split test",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.evaluation import report

    print(report(given.model, split=given.split))
    return 0


def _predict(words: list[str]) -> int:
    parser = command_parser(
        "predict",
        "MODEL PICTURE [PICTURE ...] [--json]",
        "Read the apparent expression of face crops: one line a picture, or JSON lines.\n\n"
        + NOTICE,
        "  adafer predict runs/first face.jpg\n"
        "  adafer predict runs/first/export/model.onnx faces/ --json > answers.jsonl",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a run's folder, weights or .onnx"
    )
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="files or folders of face crops"
    )
    parser.add_argument("--max-steps", type=int, metavar="T", help="another T than in training")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.answers import print_answers

    return print_answers(given.model, given.pictures, max_steps=given.max_steps, as_json=given.json)


def _export(words: list[str]) -> int:
    parser = command_parser(
        "export",
        "RUN [--output FILE] [--steps T]",
        "Write a trained model as one ONNX file of fixed depth. The file is compared with PyTorch\n"
        "on several batches and kept only if both agree.",
        "  adafer export runs/first\n  adafer export runs/first --steps 3 --output small.onnx",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="a run's folder or weights")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(RUN/export/model.onnx)")
    parser.add_argument("--steps", type=int, metavar="T", help="depth of the graph (the model's T)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.answers import print_export

    return print_export(given.model, given.output, steps=given.steps)


def _recipes(words: list[str]) -> int:
    parser = command_parser(
        "recipes",
        "[RECIPE]",
        "List the recipes, or print one as YAML.",
        "  adafer recipes act-graves",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE")
    given = parser.parse_known_words(words)
    if given.recipe:
        print(find_recipe(given.recipe).to_yaml(), end="")
        return 0
    for recipe in RECIPES.values():
        print(f"{recipe.name:14} {recipe.summary}")
    return 0


def _models(words: list[str]) -> int:
    command_parser(
        "models", "", "List the models and their parameters.", "  adafer models"
    ).parse_known_words(words)
    from adafer.answers import print_models

    return print_models()


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "report": _report,
    "recipes": _recipes,
    "models": _models,
}
