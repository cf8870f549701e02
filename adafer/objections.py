"""Combinations of settings that cannot train, each with the setting to change."""

from typing import Any

from adafer.settings.data import DataSettings
from adafer.settings.loss import (
    DistillationSettings,
    FocalSettings,
    GrefelLossSettings,
    LDAMSettings,
    LogitAdjustmentSettings,
    LossSettings,
    PonderLossSettings,
    PonderNetLossSettings,
)
from adafer.settings.model import GrefelSettings, RecursiveSettings, TransferSettings


def objections(recipe: Any, loss_name: str) -> list[str]:
    """Return a sentence for each setting that would keep a Recipe from training."""
    data, model, loss, train = recipe.data, recipe.model, recipe.loss, recipe.train
    checks = [
        *source_checks(data),
        (data.batch_size >= 1, "--batch-size must be 1 or more"),
        (data.img_size >= 12 or _sized(recipe), "--img-size must be 12 or more pixels"),
        (0.5 <= data.crop <= 1, "--crop is the share of each side that is kept, from 0.5 to 1"),
        (
            data.augment != "transfer" or data.augment_engine == "face",
            "--augment transfer varies faces one by one; leave --augment-engine batch out",
        ),
        (0 < data.validation_fraction < 1, "--validation-fraction must lie between 0 and 1"),
        (0 <= data.label_noise < 1, "--label-noise is a share from 0 to below 1"),
        (0 <= data.max_bad < 1, "--max-bad is a share from 0 to 1"),
        (data.workers >= -1, "--workers must be -1 (choose) or more"),
        (data.toy_faces >= 56, "--toy-faces must be 56 or more"),
        (0 <= data.toy_ambiguity <= 1, "--toy-ambiguity is a share from 0 to 1"),
        *_loss_checks(loss, data.balance),
        (0 <= train.ema < 1, "--ema must be from 0 to below 1"),
        (train.accumulate >= 1, "--accumulate must be 1 or more"),
        (train.clip >= 0, "--clip must be 0 or more"),
        (train.mixup >= 0, "--mixup must be 0 or more"),
        (train.cutmix >= 0, "--cutmix must be 0 or more"),
        (0 <= train.mix_probability <= 1, "--mix-probability is a share from 0 to 1"),
        (bool(recipe.phases), "a recipe needs a phase"),
    ]
    for phase in recipe.phases:
        checks += [
            (phase.epochs >= 1, "--epochs must be 1 or more"),
            (phase.lr > 0, "--lr must be above 0"),
            (0 <= phase.warmup < 1, "--warmup must be from 0 to below 1"),
            (phase.lr_backbone_factor > 0, "--lr-backbone-factor must be above 0"),
            (0 < phase.layer_decay <= 1, "--layer-decay must be above 0 and at most 1"),
            (phase.restarts >= 1, "--restarts must be 1 or more"),
            (
                0 <= phase.freeze_backbone_epochs <= phase.epochs,
                "--freeze-backbone-epochs must be from 0 to --epochs",
            ),
        ]
    if isinstance(model, GrefelSettings):
        checks += _grefel_checks(model)
    else:
        checks += [
            (data.landmarks == "auto", f"{recipe.name} reads no landmarks; leave --landmarks out"),
            (loss_name != "grefel", "--loss grefel is for the model of the recipe grefel"),
        ]
    if isinstance(model, RecursiveSettings):
        checks += _recursive_checks(model, loss_name)
    elif isinstance(loss, PonderLossSettings | PonderNetLossSettings):
        checks.append((False, f"{recipe.name} takes no steps; choose --loss cross-entropy"))
    return [sentence for holds, sentence in checks if not holds]


def source_checks(data: DataSettings) -> list[tuple[bool, str]]:
    """Whether the settings name one data set, with a sentence for each way in which they do not."""
    return [
        (not data.val_csv or bool(data.train_csv), "--val-csv needs --train-csv; give both files"),
        (
            not data.train_csv or data.data == "toy",
            f"--train-csv and --data {data.data} both name the faces; give one of them",
        ),
        (
            not data.train_csv or data.layout in ("auto", "fer-csv", "csv"),
            f"--layout {data.layout} is not for --train-csv; leave it out, or fer-csv or csv",
        ),
        (data.num_classes >= 0, "--num-classes must be 0 (as the data has) or more"),
    ]


def _sized(recipe: Any) -> bool:
    """Whether 0 pixels may be asked for: a backbone has a size of its own."""
    return recipe.data.img_size == 0 and isinstance(recipe.model, TransferSettings | GrefelSettings)


def _loss_checks(loss: LossSettings, balance: str) -> list[tuple[bool, str]]:
    checks = [(0 <= loss.label_smoothing < 1, "--label-smoothing must be from 0 to below 1")]
    match loss:
        case FocalSettings():
            checks.append((loss.gamma >= 0, "--gamma must be 0 or more"))
        case LDAMSettings():
            checks += [
                (loss.ldam_margin >= 0, "--ldam-margin must be 0 or more"),
                (loss.ldam_scale > 0, "--ldam-scale must be above 0"),
                (0 <= loss.drw <= 1, "--drw is a share of training from 0 to 1"),
                (0 <= loss.drw_beta < 1, "--drw-beta must be from 0 to below 1"),
                (
                    loss.drw == 1 or balance == "none",
                    f"--drw weights the classes as --balance {balance} does; give one of them",
                ),
            ]
        case LogitAdjustmentSettings():
            checks.append((loss.tau >= 0, "--tau must be 0 or more"))
        case DistillationSettings():
            checks += [
                (0 <= loss.alpha <= 1, "--alpha is a share from 0 to 1"),
                (loss.temperature > 0, "--temperature must be above 0"),
            ]
        case GrefelLossSettings():
            checks += [
                (loss.anchor_weight >= 0, "--anchor-weight must be 0 or more"),
                (loss.center_weight >= 0, "--center-weight must be 0 or more"),
                (0 <= loss.center_warmup <= 1, "--center-warmup is a share from 0 to 1"),
            ]
        case PonderNetLossSettings():
            checks.append((0 < loss.prior_lambda < 1, "--prior-lambda must lie between 0 and 1"))
    return checks


def _recursive_checks(model: RecursiveSettings, loss_name: str) -> list[tuple[bool, str]]:
    return [
        (model.max_steps >= 1, "--max-steps must be 1 or more"),
        (
            model.channels % 8 == 0 and model.channels >= 16,
            "--channels must be a multiple of 8 from 16 up: with one channel a group, "
            "GroupNorm would hide from the halting unit what it averages",
        ),
        (
            model.stem_channels % 8 == 0 and model.stem_channels > 0,
            "--stem-channels: multiple of 8",
        ),
        (model.stem_stride in (2, 4), "--stem-stride must be 2 or 4"),
        (0 < model.halt_epsilon < 1, "--halt-epsilon must lie between 0 and 1"),
        (0 < model.confidence <= 1, "--confidence must be above 0 and at most 1"),
        (1 <= model.min_steps <= model.max_steps, "--min-steps must be from 1 to --max-steps"),
        (model.pool >= 1, "--pool must be 1 or more"),
        (
            (model.halting == "ponder") == (loss_name == "pondernet"),
            "--halting ponder and --loss pondernet belong together; give both or neither",
        ),
        (
            loss_name in ("ponder", "pondernet"),
            "the recursive model learns with --loss ponder or pondernet",
        ),
    ]


def _grefel_checks(model: GrefelSettings) -> list[tuple[bool, str]]:
    own = model.patch_size == 0 and model.backbone_depth == 0 and model.stem == "patch"
    return [
        (model.anchors_per_class >= 1, "--anchors-per-class must be 1 or more"),
        (model.anchor_dim >= 4, "--anchor-dim must be 4 or more"),
        (model.anchor_temperature > 0, "--anchor-temperature must be above 0"),
        (model.geometry_heads >= 1, "--geometry-heads must be 1 or more"),
        (model.points >= 0, "--points must be 0 (as the data has) or more"),
        (model.patch_size >= 0, "--patch-size must be 0 (its own) or more"),
        (
            own or not model.pretrained,
            "--patch-size, --backbone-depth and --stem conv do not fit published weights; give "
            "--no-pretrained",
        ),
    ]
