"""The recipes by name: a whole experiment each, none of which imports torch."""

from difflib import get_close_matches
from pathlib import Path

from adafer.errors import WordsError
from adafer.kaggle import default_runs
from adafer.recipe import Recipe
from adafer.recipes.act_graves import ACT_GRAVES
from adafer.recipes.act_naive import ACT_NAIVE
from adafer.recipes.baselines import RESNET18, TINYVGG
from adafer.recipes.best import ADAFER
from adafer.recipes.grefel import GREFEL
from adafer.recipes.transfer import (
    TRANSFER_CONVNEXT,
    TRANSFER_EFFICIENTNET,
    TRANSFER_RESNET50,
    TRANSFER_VIT,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        ACT_GRAVES,
        ACT_NAIVE,
        ADAFER,
        TINYVGG,
        RESNET18,
        TRANSFER_RESNET50,
        TRANSFER_CONVNEXT,
        TRANSFER_EFFICIENTNET,
        TRANSFER_VIT,
        GREFEL,
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises:
        WordsError: if there is none; the nearest name is suggested.
    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RECIPES)}"
        raise WordsError(f"no recipe {name!r}; {hint}")
    return RECIPES[name]


def run_folders() -> tuple[Path, ...]:
    """Folders in which runs are where no other is named: those of all recipes, or Kaggle's."""
    return tuple(dict.fromkeys(default_runs(recipe.runs) for recipe in RECIPES.values()))
