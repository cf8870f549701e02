"""Backbones of timm under our head: how they are named, built, cut into stages and normalised."""

import pytest
import timm
import torch
from torch import nn

from adafer import models
from adafer.engine import optim
from adafer.errors import WordsError
from adafer.models.stages import stages_of_backbone
from adafer.models.transfer import TransferNet, input_needs, present_name
from adafer.settings.model import TransferSettings
from adafer.settings.training import PhaseSettings


def net(backbone: str = "test_resnet", size: int = 32, **settings: object) -> TransferNet:
    torch.manual_seed(0)
    wanted = TransferSettings(backbone=backbone, pretrained=False, **settings)  # type: ignore[arg-type]
    return TransferNet(wanted, 7, size)


def stages(name: str) -> list[str]:
    with torch.device("meta"):
        backbone = timm.create_model(name, num_classes=0)
    found = stages_of_backbone(backbone)
    held = [id(p) for _, stage in found for p in stage.parameters()]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())
    return [stage for stage, _ in found]


def test_stages_are_named_as_the_backbone_names_its_parts() -> None:
    assert stages("resnet50") == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert stages("convnext_base") == ["stem", *(f"stages.{n}" for n in range(4)), "head"]
    assert stages("tf_efficientnet_b3") == [
        "stem", *(f"blocks.{n}" for n in range(7)), "conv_head", "bn2",
    ]  # fmt: skip
    assert stages("vit_base_patch16_224") == ["stem", *(f"blocks.{n}" for n in range(12)), "norm"]
    assert stages("swin_tiny_patch4_window7_224") == [
        "stem", *(f"layers.{n}" for n in range(4)), "norm",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["efficientnet_b0", "mobilevit_s", "mobilenetv4_conv_small", "regnety_002", "inception_v3",
     "eva02_tiny_patch14_224", "densenet121", "levit_128s", "davit_tiny", "maxvit_tiny_rw_224"],
)  # fmt: skip
def test_any_backbone_is_cut_into_stages_that_hold_it_all(name: str) -> None:
    assert len(stages(name)) > 2


def test_features_and_head_are_those_of_the_library() -> None:
    torch.manual_seed(0)
    ours = net("test_convnext", dropout=0.0).eval()
    torch.manual_seed(0)
    theirs = timm.create_model("test_convnext", num_classes=7).eval()
    theirs.load_state_dict(
        {**theirs.state_dict(), **ours.backbone.state_dict()}
        | {f"head.fc.{k}": v for k, v in ours.classifier[1].state_dict().items()}
    )
    faces = torch.randn(3, 3, 32, 32)
    assert torch.equal(ours(faces).logits, theirs(faces))


def test_the_deeper_head_is_linear_relu_norm_dropout_linear() -> None:
    head = net(head="deep", head_width=40).classifier
    kinds = [nn.Linear, nn.ReLU, nn.LayerNorm, nn.Dropout, nn.Linear]
    assert [type(part) for part in head] == kinds
    assert [head[0].out_features, head[4].in_features] == [40, 40]


def test_a_frozen_backbone_keeps_weights_and_statistics_while_the_head_learns() -> None:
    model = net()
    phase = optim.in_phases((PhaseSettings(epochs=2, freeze_backbone_epochs=1, lr=0.1),))[0]
    optim.set_modes(model, phase)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = optim.build_optimiser(model, phase)
    optim.set_rates(optimiser, 1.0)
    model(torch.randn(8, 3, 32, 32)).logits.square().sum().backward()
    optimiser.step()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_the_first_stage_of_a_vision_transformer_holds_its_loose_parameters() -> None:
    model = net("test_vit")
    optim.set_modes(model, PhaseSettings(stages=("head", "norm")))
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert "backbone.pos_embed" not in learning
    assert {name.split(".")[0] for name in learning} <= {"classifier", "backbone"}
    assert {n for n in learning if n.startswith("backbone")} == {
        "backbone.norm.weight", "backbone.norm.bias",
    }  # fmt: skip


def test_noisy_student_weights_are_known_by_their_old_name_too() -> None:
    assert present_name("tf_efficientnet_b3_ns") == "tf_efficientnet_b3.ns_jft_in1k"
    assert present_name("resnet18.tv_in1k") == "resnet18.tv_in1k"


def test_size_and_normalisation_are_those_of_the_published_weights() -> None:
    needs = input_needs(TransferSettings(backbone="tf_efficientnet_b3_ns"))
    assert needs.size == 300
    assert (needs.mean, needs.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    settings = TransferSettings(backbone="vit_base_patch16_224")
    faces = models.preprocessing_for(settings, 0, False, 0.875)
    assert (faces.size, faces.whole) == (224, 256)
    assert faces.mean == faces.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("backbone", "size", "sentence"),
    [
        ("resnet5o", 48, "did you mean resnet50"),
        ("resnet18.tv_in2k", 48, "there are resnet18"),
        ("vit_tiny_patch16_224", 50, "use 48"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(backbone: str, size: int, sentence: str) -> None:
    with pytest.raises(WordsError, match=sentence) as caught:
        net(backbone, size)
    assert "\n" not in str(caught.value)


def test_a_setting_that_a_backbone_does_not_take_is_told() -> None:
    with pytest.raises(WordsError, match="--drop-path"):
        net("vgg11", drop_path=0.5)
