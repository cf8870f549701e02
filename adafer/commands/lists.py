"""`adafer recipes` and `adafer models`: what there is to choose from."""

from adafer.recipes import RECIPES, find_recipe
from adafer.words import command_parser


def recipes(words: list[str]) -> int:
    """List the recipes, or print one."""
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
        print(f"{recipe.name:22} {recipe.summary}")
    return 0


def models(words: list[str]) -> int:
    """Print each recipe's model with its parameters."""
    command_parser(
        "models", "", "List the models and their parameters.", "  adafer models"
    ).parse_known_words(words)
    import torch

    from adafer.models import build

    for recipe in RECIPES.values():
        with torch.device("meta"):  # counted without memory for them
            model = build(recipe.model, 7, recipe.data.img_size)
        count = sum(p.numel() for p in model.parameters())
        what = getattr(recipe.model, "backbone", recipe.model_name)
        print(f"{recipe.name:22} {what:32} {count:>12,} parameters")
    return 0
