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
        print(f"{recipe.name:14} {recipe.summary}")
    return 0


def models(words: list[str]) -> int:
    """Print each recipe's model with its parameters."""
    command_parser(
        "models", "", "List the models and their parameters.", "  adafer models"
    ).parse_known_words(words)
    from adafer.models import MODELS
    from adafer.recipes import RECIPES

    for recipe in RECIPES.values():
        _, module = MODELS[recipe.model_name]
        count = sum(p.numel() for p in module(recipe.model, 7).parameters())
        print(f"{recipe.name:14} {recipe.model_name:10} {count:>10,} parameters")
    return 0
