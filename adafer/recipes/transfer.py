"""Transfer learning: published backbones, fine-tuned in two stages."""

from dataclasses import replace

from adafer.recipe import Recipe
from adafer.settings.data import DataSettings
from adafer.settings.loss import CrossEntropySettings
from adafer.settings.model import TransferSettings
from adafer.settings.training import PhaseSettings, TrainSettings

TRANSFER_RESNET50 = Recipe(
    name="transfer-resnet50",
    summary="ResNet-50 with a deeper head: head first, then everything at two rates",
    data=DataSettings(
        batch_size=32, img_size=224, grey=False, crop=0.875, augment="transfer", balance="weights"
    ),
    model=TransferSettings(backbone="resnet50", head="deep"),
    loss=CrossEntropySettings(label_smoothing=0.05),
    phases=(
        PhaseSettings(
            epochs=80,
            freeze_backbone_epochs=3,
            lr=1e-3,
            lr_backbone_factor=0.1,
            weight_decay=1e-4,
            warmup=0.02,
        ),
    ),
    train=TrainSettings(ema=0.999, mixup=0.4, clip=1.0, patience=5),
)
"""Staged unfreezing with discriminative rates (Howard and Ruder 2018, arXiv:1801.06146).

Three epochs teach the head under a linearly rising rate; then everything learns, the backbone at
1e-4 and the head at 1e-3, along a cosine. Early stopping watches macro-F1 for five epochs.
"""

TRANSFER_CONVNEXT = replace(
    TRANSFER_RESNET50,
    name="transfer-convnext",
    summary="ConvNeXt-Base, fine-tuned as transfer-resnet50",
    model=TransferSettings(backbone="convnext_base", drop_path=0.1),
)
"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545)."""

TRANSFER_EFFICIENTNET = replace(
    TRANSFER_RESNET50,
    name="transfer-efficientnet",
    summary="EfficientNet-B3 with noisy-student weights, fine-tuned as transfer-resnet50",
    model=TransferSettings(backbone="tf_efficientnet_b3.ns_jft_in1k", drop_path=0.1),
)
"""EfficientNet (Tan and Le 2019, arXiv:1905.11946), noisy student (Xie et al. 2020)."""

TRANSFER_VIT = replace(
    TRANSFER_RESNET50,
    name="transfer-vit",
    summary="ViT-Base with patches of 16 pixels, fine-tuned as transfer-resnet50",
    model=TransferSettings(backbone="vit_base_patch16_224", drop_path=0.1),
)
"""Vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929)."""
