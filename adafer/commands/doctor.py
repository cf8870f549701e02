"""`adafer doctor`: will this machine, this data and this recipe do?"""

import json
from pathlib import Path
from typing import Any

from adafer.commands.train import GROUPS
from adafer.kaggle import default_runs
from adafer.recipe import flags
from adafer.recipes import RECIPES, find_recipe
from adafer.words import Words, add_flag, command_parser


def doctor(words: list[str]) -> int:
    """Check the machine, and a recipe on its data; 1 if something fails, 4 if the machine does."""
    early = Words(prog="adafer doctor", add_help=False, allow_abbrev=False)
    early.add_argument("--recipe")
    early.add_argument("--data")
    named, _ = early.parse_known_args([word for word in words if word not in ("-h", "--help")])
    recipe = find_recipe(named.recipe or "act-graves")
    parser = _parser(recipe)
    parsed = vars(parser.parse_known_words(words))
    own = {name: parsed.pop(name) for name in ("recipe", "runs", "card_memory", "json", "debug")}
    from adafer.studies.doctor import doctor as examine

    asked = named.recipe is not None or named.data is not None or bool(parsed)
    checks = examine(
        recipe.changed(**parsed) if asked else None, own["runs"], memory=own["card_memory"]
    )
    told = [vars(check) for check in checks]
    if own["json"] == "-":
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(checks)
        if own["json"]:
            from adafer.run import write_json

            write_json(Path(own["json"]), told)
    failed = [check for check in checks if check.verdict == "fail"]
    if any(check.of_machine for check in failed):
        return 4
    return 1 if failed else 0


def _parser(recipe: Any) -> Words:
    parser = command_parser(
        "doctor",
        "[--data SOURCE] [--recipe NAME] [--flag value ...]",
        "Look before a long training. Alone: Python, torch, the GPU against what torch was built\n"
        "for, memory, disk, extras. With data or a recipe: class counts, one batch, the first\n"
        "answer, gradients of every stage in every phase, whether the model learns 32 faces by\n"
        "heart, and the largest batch that fits a card. Each line passes, warns or fails and says\n"
        "what to do. Nothing is written.",
        "  adafer doctor\n"
        "  adafer doctor --data ferplus/ --recipe transfer-resnet50 --no-pretrained\n"
        "  adafer doctor --recipe act-graves --lr 1e-2 --json -",
    )
    parser.add_argument("--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)}")
    parser.add_argument(
        "--runs", type=Path, default=default_runs(), metavar="DIR",
        help="where runs are kept (runs; on Kaggle working/checkpoints)",
    )  # fmt: skip
    parser.add_argument(
        "--card-memory", type=float, metavar="GB",
        help="state the largest batch for a card of so much memory (this GPU's, else 16)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the checks as JSON; - prints them")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    groups = {part: parser.add_argument_group(title) for part, title in GROUPS.items()}
    for flag in flags(recipe):
        add_flag(groups.get(flag.part) or groups["train"], flag)
    return parser


def _show(checks: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"pass": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("check", "", "found"):
        table.add_column(name, overflow="fold")
    for check in checks:
        said = Text(check.said)
        if check.todo:
            said.append(f"\n→ {check.todo}", style=colours[check.verdict])
        table.add_row(check.name, Text(check.verdict, style=colours[check.verdict]), said)
    Console(highlight=False).print(table)
