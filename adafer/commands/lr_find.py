"""`adafer lr-find`: a learning rate for a recipe and its data."""

from pathlib import Path

from adafer.commands.train import GROUPS
from adafer.errors import WordsError
from adafer.recipe import flags
from adafer.recipes import RECIPES, find_recipe
from adafer.words import add_flag, command_parser


def lr_find(words: list[str]) -> int:
    """Sweep the learning rate and print two suggestions."""
    named = words[0] if words and not words[0].startswith("-") else "act-graves"
    recipe = find_recipe(named)
    parser = command_parser(
        "lr-find",
        "[RECIPE] [--flag value ...]",
        "Train for a hundred steps with a rising learning rate and read a good one from the curve\n"
        "(Smith 2017). The weights are thrown away. RECIPE and the settings below are those of\n"
        "`adafer train`.",
        "  adafer lr-find act-graves --data ferplus/\n"
        "  adafer lr-find tinyvgg --batch-size 64 --steps 200",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help=f"one of: {', '.join(RECIPES)}")
    parser.add_argument("--low", type=float, default=1e-5, metavar="RATE", help="first rate (1e-5)")
    parser.add_argument("--high", type=float, default=1.0, metavar="RATE", help="last rate (1)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="batches (100)")
    parser.add_argument(
        "--output", type=Path, default=Path("lr_find"), metavar="DIR", help="(lr_find)"
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    groups = {part: parser.add_argument_group(title) for part, title in GROUPS.items()}
    for flag in flags(recipe):
        add_flag(groups.get(flag.part) or groups["train"], flag)
    parsed = vars(parser.parse_known_words(words))
    own = {name: parsed.pop(name) for name in ("low", "high", "steps", "output", "recipe", "debug")}
    if not 0 < own["low"] < own["high"] or own["steps"] < 10:
        raise WordsError("give 0 < --low < --high and --steps 10 or more")
    from adafer.progress import Console
    from adafer.studies import lr_find as study

    found = study.lr_find(
        recipe.changed(**parsed),
        low=own["low"],
        high=own["high"],
        steps=own["steps"],
        output=own["output"],
        watcher=Console(),
    )
    print(f"steepest {found.steepest:.1e}, valley {found.valley:.1e}: {own['output']}/lr_find.png")
    print(f"use it: adafer train {recipe.name} --lr {found.valley:.1e}")
    return 0
