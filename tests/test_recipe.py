"""Recipes: complete as text, changed by flat names, refused in one sentence."""

from dataclasses import fields

import pytest

from adafer.errors import WordsError
from adafer.recipe import Recipe, flags
from adafer.recipes import RECIPES, find_recipe

ALL = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@ALL
def test_a_recipe_survives_its_written_form(recipe: Recipe) -> None:
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


@ALL
def test_flat_names_are_unique_and_explained(recipe: Recipe) -> None:
    names = [flag.name for flag in flags(recipe)]
    assert len(names) == len(set(names))
    assert all(flag.help.endswith((".", ")")) for flag in flags(recipe))
    parts = (recipe.data, recipe.model, recipe.loss, recipe.train, recipe.phases[0])
    assert len(names) >= sum(len(fields(part)) for part in parts)


def test_words_from_a_shell_become_the_settings_own_types() -> None:
    recipe = find_recipe("act-graves").changed(
        lr="1e-3", max_steps="5", grey="no", ponder_class_weights="2,1,1,1,1,1,1", toy_classes="8"
    )
    assert recipe.phases[0].lr == 1e-3
    assert recipe.model.max_steps == 5  # type: ignore[union-attr]
    assert recipe.data.grey is False
    assert recipe.data.toy_classes == 8
    assert recipe.loss.ponder_class_weights == (2.0, 1, 1, 1, 1, 1, 1)  # type: ignore[union-attr]


def test_naming_the_pondernet_loss_brings_its_rule() -> None:
    recipe = find_recipe("act-graves").changed(loss="pondernet", prior_beta=0.1)
    assert recipe.model.halting == "ponder"  # type: ignore[union-attr]
    assert recipe.loss.prior_beta == 0.1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lrr": 1}, "did you mean --lr?"),
        ({"max_steps": "many"}, "a whole number, not 'many'"),
        ({"max_steps": 2.5}, "a whole number, not 2.5"),
        ({"max_steps": 0}, "--max-steps must be 1 or more"),
        ({"halting": "gravez"}, "graves | naive"),
        ({"halting": "ponder"}, "belong together"),
        ({"loss": "ponderr"}, "did you mean 'ponder'?"),
        ({"channels": 10}, "multiple of 8"),
        ({"epochs": 0}, "--epochs must be 1 or more"),
        ({"lr": "nan"}, "--lr must be above 0"),
        ({"grey": "perhaps"}, "true or false"),
        ({"batch_size": -3}, "--batch-size must be 1 or more"),
    ],
)
def test_a_wrong_change_is_one_sentence_with_the_way_out(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(WordsError) as caught:
        find_recipe("act-graves").changed(**changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "name: x", "{", "!!python/object/apply:os.system ['true']"]
)
def test_a_file_that_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(WordsError):
        Recipe.from_yaml(text)


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(WordsError, match="did you mean 'act-graves'"):
        find_recipe("act-grave")
