"""What a GReFEL recipe learns from the data it is given: how many landmarks, and where from."""

from dataclasses import replace
from pathlib import Path

import pytest
import trained
from fakes import affectnet, imagefolder

from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.errors import WordsError
from adafer.evaluation import listing_of
from adafer.models import build
from adafer.models.grefel import GrefelNet
from adafer.recipe import Recipe
from adafer.recipes import find_recipe
from adafer.training import fitted


def recipe(source: Path, **changes: object) -> Recipe:
    small = {"pretrained": False, "backbone": "test_vit", "patch_size": 8, "img_size": 24}
    return find_recipe("grefel").changed(data=str(source), **small, **changes)


def test_the_points_of_the_data_are_those_of_the_model(tmp_path: Path) -> None:
    affectnet(tmp_path / "faces")
    given = recipe(tmp_path / "faces")
    found = fitted(given, open_data(given.data))
    assert (found.model.points, found.model.landmark_source) == (68, "data")
    model = build(found.model, 8, 24)
    assert isinstance(model, GrefelNet)
    assert model.wants_landmarks
    assert model.geometry is not None
    assert model.geometry.layout.shape == (68, 2)
    assert fitted(found, open_data(found.data)) == found  # as when it goes on


def test_without_landmarks_a_layout_of_five_points_is_learned(tmp_path: Path) -> None:
    imagefolder(tmp_path / "faces")
    given = recipe(tmp_path / "faces", validation_fraction=0.4)
    found = fitted(given, open_data(given.data))
    assert (found.model.points, found.model.landmark_source) == (5, "canonical")
    assert not build(found.model, 3, 24).wants_landmarks


def test_landmarks_that_are_not_wanted_are_left_out(tmp_path: Path) -> None:
    affectnet(tmp_path / "faces")
    given = recipe(tmp_path / "faces", landmarks="canonical", points=9)
    source = open_data(given.data)
    assert source.train.landmarks is None
    assert fitted(given, source).model.points == 9


def test_another_number_of_points_is_one_sentence(tmp_path: Path) -> None:
    affectnet(tmp_path / "faces")
    given = recipe(tmp_path / "faces", points=5)
    with pytest.raises(WordsError, match="--points 5, but the data has 68 landmarks a face"):
        fitted(given, open_data(given.data))


def test_a_recipe_without_geometry_is_left_as_it_is(tmp_path: Path) -> None:
    imagefolder(tmp_path / "faces")
    for name, changes in (("tinyvgg", {}), ("grefel", {"geometry": False})):
        given = replace(find_recipe(name)).changed(
            data=str(tmp_path / "faces"), validation_fraction=0.4, **changes
        )
        assert fitted(given, open_data(given.data)) is given


def test_a_model_of_other_points_is_told_none_and_a_note_says_so(tmp_path: Path) -> None:
    settings = replace(trained.SMALL["grefel"], points=5, landmark_source="file")
    bundle = load_bundle(trained.run_folder(tmp_path / "run", "grefel", settings))
    affectnet(tmp_path / "faces")
    given = recipe(tmp_path / "faces", landmarks="points.csv").measured_on(str(tmp_path / "faces"))
    bundle = replace(bundle, class_names=open_data(given.data).class_names)
    assert given.data.landmarks == "auto"
    listing = listing_of(given, "val", bundle)
    assert listing.landmarks is None
    assert listing.notes[-1] == (
        "the model reads 5 landmarks of a face, val has 68; a learned layout stands for them"
    )
