"""Names that other programs have for our settings."""

import pytest

from adafer import cli
from adafer.errors import WordsError
from adafer.recipe import Recipe
from adafer.recipes import find_recipe
from adafer.settings.training import PhaseSettings, TrainSettings


def recipe(**changes: object) -> Recipe:
    return find_recipe("transfer-resnet50").changed(**changes)


def test_the_reference_values_of_the_recipe_are_those_of_the_mission() -> None:
    found = recipe()
    (phase,) = found.phases
    assert (phase.epochs, phase.freeze_backbone_epochs, phase.weight_decay) == (80, 3, 1e-4)
    assert (phase.lr, phase.lr * phase.lr_backbone_factor) == (1e-3, pytest.approx(1e-4))
    train = found.train
    assert (train.mixup, train.cutmix, train.ema, train.clip) == (0.4, 0.0, 0.999, 1.0)
    assert (train.patience, train.monitor) == (5, "val_macro_f1")
    data = found.data
    assert (data.img_size, data.batch_size, data.balance, data.balance_power) == (
        224, 32, "weights", 0.6,
    )  # fmt: skip
    assert found.loss.label_smoothing == 0.05


def test_rates_are_given_as_rates() -> None:
    changed = recipe(lr_head=2e-3, lr_backbone=5e-5).phases[0]
    assert changed.lr == 2e-3
    assert changed.lr_backbone_factor == pytest.approx(0.025)
    alone = recipe(lr_backbone="2e-4").phases[0]
    assert (alone.lr, alone.lr_backbone_factor) == (1e-3, pytest.approx(0.2))


def test_switches_turn_on_and_off_and_keep_a_value_that_is_on() -> None:
    assert recipe(use_mixup=False, use_ema="no").train == TrainSettings(
        ema=0.0, mixup=0.0, patience=5
    )
    assert recipe(use_mixup=True, use_cutmix="true").train.cutmix == 1.0
    assert recipe(use_mixup=True).train.mixup == 0.4
    assert find_recipe("act-graves").changed(use_ema=True).train.ema == 0.998
    assert find_recipe("tinyvgg").changed(use_ema=True).train.ema == 0.999
    assert recipe(use_class_weights=False).data.balance == "none"
    assert find_recipe("tinyvgg").changed(use_class_weights=True).data.balance == "weights"


def test_the_other_plain_names() -> None:
    found = recipe(grad_clip_norm=2, model_type="convnext_base", num_workers=3)
    assert found.train.clip == 2.0
    assert found.model.backbone == "convnext_base"  # type: ignore[union-attr]
    assert found.data.workers == 3
    assert recipe(freeze_backbone_epochs=0).phases[0].freeze_backbone_epochs == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": 1e-3, "lr_head": 1e-3}, "--lr-head and --lr are one setting"),
        ({"lr_backbone": "fast"}, "takes a number"),
        ({"lr_backbone": 0}, "must be above 0"),
        ({"freeze_backbone_epochs": 81}, "from 0 to --epochs"),
        ({"layer_decay": 0}, "--layer-decay"),
        ({"crop": 0.3}, "--crop"),
        ({"augment_engine": "batch"}, "leave --augment-engine batch out"),
        ({"label_noise": 1}, "--label-noise"),
    ],
)
def test_what_contradicts_itself_is_one_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(WordsError, match=sentence):
        recipe(**changes)


def test_a_shell_knows_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--lr_backbone", "3e-5", "--no-use-mixup", "--freeze_backbone_epochs", "2"]
    assert cli.run(["train", "transfer-vit", *words, "--epochs", "5", "--dry-run"]) == 0
    printed = capsys.readouterr()
    changed = Recipe.from_yaml(printed.out)
    assert changed.phases == (
        PhaseSettings(
            epochs=5, freeze_backbone_epochs=2, lr=1e-3, lr_backbone_factor=3e-5 / 1e-3,
            weight_decay=1e-4, warmup=0.02,
        ),
    )  # fmt: skip
    assert changed.train.mixup == 0.0
    table = printed.err
    assert "blocks.11" in table
    assert "frozen" in table
    assert "3.00e-05" in table
