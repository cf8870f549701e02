"""What is done to a batch before the model sees it: mixing, then a teacher's answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trained
from command_line import rows
from PIL import Image
from safetensors.torch import load_file

import adafer
from adafer.bundle import save_bundle
from adafer.contracts import Batch
from adafer.engine.cutmix import CutMix
from adafer.engine.mixup import MixUp
from adafer.errors import AdaferError, DataError, WordsError
from adafer.image import Preprocessing
from adafer.preparation import converted, mixing, open_teacher, preparation
from adafer.recipe import Recipe
from adafer.recipes import find_recipe
from adafer.settings.training import TrainSettings

CPU = torch.device("cpu")
SAME = Preprocessing(trained.SIDE, grey=True)


def distilling(teacher: Path | str) -> Recipe:
    return find_recipe("tinyvgg").changed(loss="distillation", teacher=str(teacher))


def batch_of(pictures: list[np.ndarray], seen: Preprocessing) -> Batch:
    faces = np.stack([seen.resized(picture) for picture in pictures])
    count = len(pictures)
    return Batch(
        images=torch.from_numpy(seen.normalised(faces)),
        labels=torch.arange(count) % len(trained.NAMES),
        ids=tuple(map(str, range(count))),
    )


def probabilities(path: Path, pictures: list[np.ndarray]) -> torch.Tensor:
    found = adafer.load(path).predict(pictures)
    return torch.tensor([[face.probabilities[name] for name in trained.NAMES] for face in found])


# ── mixing ────────────────────────────────────────────────────────────────────────────────────────


def test_without_settings_nothing_is_prepared() -> None:
    assert mixing(TrainSettings()) is None
    assert mixing(TrainSettings(mixup=0.4, mix_probability=0.0)) is None
    assert preparation(find_recipe("tinyvgg"), None) is None


def test_one_way_alone_is_that_way_and_draws_nothing_more() -> None:
    assert mixing(TrainSettings(mixup=0.4)) == MixUp(alpha=0.4)
    assert mixing(TrainSettings(cutmix=1.0)) == CutMix(alpha=1.0)


def test_each_batch_gets_mixup_or_cutmix_or_neither_in_the_shares_asked_for() -> None:
    mix = mixing(TrainSettings(mixup=1.0, cutmix=1.0, mix_probability=0.6))
    assert mix is not None
    faces = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8)
    batch = Batch(images=faces, labels=torch.zeros(4, dtype=torch.long), ids=tuple("abcd"))
    kinds = {"plain": 0, "cut": 0, "blended": 0}
    for seed in range(1000):
        torch.manual_seed(seed)
        mixed = mix(batch)
        if mixed.partners is None:
            kinds["plain"] += 1
        else:
            whole = bool((mixed.images == mixed.images.round()).all())
            kinds["cut" if whole else "blended"] += 1
    # Standard deviations of the counts are below 16.
    assert kinds["plain"] == pytest.approx(400, abs=60)
    assert kinds["cut"] == pytest.approx(300, abs=60)
    assert kinds["blended"] == pytest.approx(300, abs=60)


def test_the_draw_repeats_with_the_seed_of_the_batch() -> None:
    mix = mixing(TrainSettings(mixup=0.4, cutmix=1.0, mix_probability=0.8))
    assert mix is not None
    batch = batch_of(trained.pictures(4), SAME)
    for seed in range(10):
        once, again = (torch.manual_seed(seed) and mix(batch) for _ in range(2))
        assert torch.equal(once.images, again.images)


# ── teacher ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["recursive", "tinyvgg"])
def test_the_teacher_gives_the_logits_of_its_own_model_and_the_predictors_answers(
    tmp_path: Path, name: str
) -> None:
    run = trained.run_folder(tmp_path / "teacher", name)
    teacher = open_teacher(distilling(run), SAME, trained.NAMES, CPU)
    assert teacher is not None
    pictures = trained.pictures(6)
    batch = batch_of(pictures, SAME)
    taught = teacher(batch)
    assert taught.teacher is not None
    with torch.no_grad():
        own = trained.module(name)(batch.images).logits
    assert torch.equal(taught.teacher, own)
    assert torch.equal(taught.images, batch.images)
    torch.testing.assert_close(
        taught.teacher.softmax(1).double(), probabilities(run, pictures).double(), rtol=0, atol=1e-5
    )


def test_the_teacher_never_learns_and_draws_no_chance(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "teacher", "tinyvgg")
    teacher = open_teacher(distilling(run), SAME, trained.NAMES, CPU)
    assert teacher is not None
    before = load_file(run / "weights/best.safetensors")
    torch.manual_seed(0)
    logits = teacher(batch_of(trained.pictures(4), SAME)).teacher
    drawn = torch.rand(())
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(()))
    assert logits is not None
    assert not logits.requires_grad
    assert not teacher.model.training
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    for key, value in teacher.model.state_dict().items():
        assert torch.equal(value, before[key])  # running statistics of a batch norm too


def test_the_teacher_sees_the_blended_faces(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "teacher", "tinyvgg")
    recipe = distilling(run).changed(mixup=0.4)
    teacher = open_teacher(recipe, SAME, trained.NAMES, CPU)
    prepare = preparation(recipe, teacher)
    assert prepare is not None
    assert teacher is not None
    torch.manual_seed(3)
    mixed = prepare(batch_of(trained.pictures(6), SAME))
    assert mixed.partners is not None
    with torch.no_grad():
        own = trained.module("tinyvgg")(mixed.images).logits
    assert mixed.teacher is not None
    assert torch.equal(mixed.teacher, own)


def test_logits_come_in_the_order_of_the_students_classes(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "teacher", "tinyvgg")
    batch = batch_of(trained.pictures(3), SAME)
    turned = tuple(reversed(trained.NAMES))
    plain, other = (
        open_teacher(distilling(run), SAME, names, CPU) for names in (trained.NAMES, turned)
    )
    assert plain is not None
    assert other is not None
    ours, theirs = plain(batch).teacher, other(batch).teacher
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours.flip(1), theirs)


def test_a_teacher_of_other_classes_is_refused_with_both_lists(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "teacher", "tinyvgg")
    with pytest.raises(DataError) as caught:
        open_teacher(distilling(run), SAME, (*trained.NAMES[:-1], "fear"), CPU)
    said = str(caught.value)
    assert "neutral, happiness, surprise, sadness, anger" in said
    assert "neutral, happiness, surprise, sadness, fear" in said
    assert said.endswith("give a --teacher that was trained on the data's classes")


def test_a_teacher_that_is_not_named_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WordsError, match="give --teacher RUN"):
        open_teacher(distilling(""), SAME, trained.NAMES, CPU)
    with pytest.raises(DataError, match="no model"):
        open_teacher(distilling(tmp_path / "nowhere"), SAME, trained.NAMES, CPU)
    hostile = tmp_path / "teacher.pt"
    hostile.write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(DataError, match="may hold a pickle"):
        open_teacher(distilling(hostile), SAME, trained.NAMES, CPU)


def test_another_loss_opens_no_teacher() -> None:
    assert open_teacher(find_recipe("tinyvgg"), SAME, trained.NAMES, CPU) is None


# ── from one normalisation to another ─────────────────────────────────────────────────────────────

IMAGENET = Preprocessing(32, False, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_equal_preprocessing_changes_no_bit() -> None:
    images = trained.inputs(4)
    assert converted(images, SAME, SAME) is images
    cut = replace(SAME, crop=0.875)  # a middle that was cut out is not cut out again
    assert converted(images, SAME, cut) is images


def test_normalisation_is_undone_and_done_again_as_numpy_would() -> None:
    seen = Preprocessing(30, False)
    wanted = replace(IMAGENET, size=30)
    pictures = np.stack(trained.pictures(3))
    found = converted(torch.from_numpy(seen.normalised(pictures)), seen, wanted)
    np.testing.assert_allclose(found.numpy(), wanted.normalised(pictures), atol=1e-5)


def test_colour_becomes_the_decoders_grey_where_the_teacher_saw_grey() -> None:
    seen, wanted = Preprocessing(30, False), Preprocessing(30, True)
    pictures = trained.pictures(3)
    images = torch.from_numpy(seen.normalised(np.stack(pictures)))
    expected = wanted.normalised(np.stack([wanted.resized(picture) for picture in pictures]))
    found = converted(images, seen, wanted)
    assert torch.equal(found[:, 0], found[:, 1])
    # Pillow rounds its grey to whole levels of 1/255, which are 0.0157 after normalisation.
    np.testing.assert_allclose(found.numpy(), expected, atol=0.0157)


@pytest.mark.parametrize("side", [16, 48, 30])
def test_the_size_becomes_the_teachers_as_pillow_resizes(side: int) -> None:
    seen, wanted = Preprocessing(30, False), replace(IMAGENET, size=side)
    pictures = trained.pictures(3)
    found = converted(torch.from_numpy(seen.normalised(np.stack(pictures))), seen, wanted)
    expected = [
        np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))
        for picture in pictures
    ]
    assert found.shape == (3, 3, side, side)
    # Whole levels again: one of 255, over the smallest deviation, is 0.0175.
    np.testing.assert_allclose(found.numpy(), wanted.normalised(np.stack(expected)), atol=0.0176)


def test_a_larger_teacher_of_another_normalisation_answers_nearly_as_the_predictor(
    tmp_path: Path,
) -> None:
    recipe = {"name": "t", **trained.recipe("tinyvgg")}
    save_bundle(
        tmp_path / "teacher", "best", trained.module("tinyvgg"), recipe=recipe,
        class_names=trained.NAMES, preprocessing=IMAGENET, facts={"epoch": 1},
    )  # fmt: skip
    seen = Preprocessing(30, False)
    teacher = open_teacher(distilling(tmp_path / "teacher"), seen, trained.NAMES, CPU)
    assert teacher is not None
    pictures = trained.pictures(5)
    logits = teacher(batch_of(pictures, seen)).teacher
    assert logits is not None
    expected = probabilities(tmp_path / "teacher", pictures)
    gap = (logits.softmax(1) - expected).abs().max()
    assert float(gap) < 0.02  # Pillow rounds the pixels, the conversion does not


# ── training ──────────────────────────────────────────────────────────────────────────────────────

TINY = {
    "toy_faces": 112,
    "batch_size": 28,
    "img_size": 24,
    "augment": "none",
    "workers": 0,
    "device": "cpu",
    "lr": 1e-2,
}


def gap(run: Path, teacher: Path) -> float:
    """KL(teacher || student) over the validation faces, from their tables."""
    ours, theirs = (
        np.genfromtxt(folder / "eval/val/predictions.csv", delimiter=",", names=True)
        for folder in (run, teacher)
    )
    names = [name for name in ours.dtype.names if name.startswith("p_")]
    p, q = (np.stack([table[name] for name in names], 1) for table in (theirs, ours))
    return float((p * np.log(p / q)).sum(1).mean())


def test_a_student_learns_to_say_what_its_teacher_says(tmp_path: Path, one_thread: None) -> None:
    more = TINY | {"toy_faces": 560, "lr": 3e-3, "monitor": "val_loss"}
    teacher = adafer.train("tinyvgg", runs=tmp_path, name="teacher", epochs=4, **more)
    student = find_recipe("tinyvgg").changed(
        loss="distillation", teacher=str(teacher.path), alpha=1.0, temperature=2.0, seed=5, **more
    )
    once, longer = (
        adafer.train(student, runs=tmp_path, name=f"student-{epochs}", epochs=epochs)
        for epochs in (1, 4)
    )
    learned = [float(row["train_loss"]) for row in rows(longer.path)]  # T^2 x KL on training faces
    assert learned[-1] < 0.4 * learned[0]
    assert gap(longer.path, teacher.path) < 0.7 * gap(once.path, teacher.path)
    facts = longer.facts()["teacher"]
    assert facts["weights"].endswith("best.safetensors")
    config = json.loads((teacher.path / "weights/config.json").read_text())
    assert facts["sha256"] == config["files"]["best"]["sha256"]


def test_a_resumed_student_may_find_its_teacher_elsewhere_but_not_another(
    tmp_path: Path, one_thread: None
) -> None:
    first, second = (
        adafer.train("tinyvgg", runs=tmp_path, name=f"teacher-{seed}", epochs=1, seed=seed, **TINY)
        for seed in (1, 2)
    )
    student = find_recipe("tinyvgg").changed(loss="distillation", teacher=str(first.path), **TINY)
    run = adafer.train(student, runs=tmp_path, name="student", epochs=1)
    moved = first.path.rename(tmp_path / "moved")
    adafer.train(resume=run.path, teacher=str(moved), epochs=2)
    assert len((run.path / "results.csv").read_text().splitlines()) == 3
    with pytest.raises(AdaferError, match="teacher_hash"):
        adafer.train(resume=run.path, teacher=str(second.path), epochs=3)
