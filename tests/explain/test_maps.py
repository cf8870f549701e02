"""Maps: by hand, by another library, by a pattern that is known, and leaving no trace."""

import copy

import numpy as np
import pytest
import seeing
import torch
import trained
from torch import nn

from adafer import models
from adafer.contracts import StepOutput
from adafer.errors import MachineError, WordsError
from adafer.explain import attributions, gradcam
from adafer.explain.layers import usual_layer
from adafer.explain.maps import METHODS, explain
from adafer.models.recursive import RecursiveFER
from adafer.settings.model import RecursiveSettings, TransferSettings

CONVOLUTIONAL = [name for name in METHODS if name != "attention"]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return seeing.taught(seeing.Net())


@pytest.fixture(scope="module")
def looping() -> RecursiveFER:
    torch.manual_seed(0)
    settings = RecursiveSettings(
        max_steps=3, channels=16, stem_channels=8, stem_stride=2, pool=4, dropout=0.0
    )
    model = seeing.taught(RecursiveFER(settings, 2), 40)
    assert isinstance(model, RecursiveFER)
    return model


def vision_transformer(size: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return models.build(TransferSettings(backbone="test_vit", pretrained=False), 2, size).eval()


def test_grad_cam_is_that_of_captum(net: nn.Module) -> None:
    captum = pytest.importorskip("captum.attr")

    class Logits(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.model(images).logits

    images, labels = seeing.faces(6, seed=4)
    theirs = captum.LayerGradCam(Logits(net), net.high[0]).attribute(
        images, target=labels, relu_attributions=True
    )
    theirs = nn.functional.interpolate(theirs, size=(32, 32), mode="bilinear")[:, 0]
    ours = explain("gradcam", net, images, labels, layer="high.0").values
    assert ours.shape == (1, 6, 32, 32)
    assert np.allclose(ours[0], theirs.detach().numpy(), atol=1e-6)


def test_grad_cam_plus_is_the_formula_of_the_paper(net: nn.Module) -> None:
    images, labels = seeing.faces(2, seed=4)
    activation = net.high(net.low(images)).detach().requires_grad_(True)
    logits = net.classifier(activation.mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), activation)
    expected = torch.zeros(2, 16, 16)
    for face in range(2):
        for feature in range(8):
            a, g = activation[face, feature].detach(), gradient[face, feature]
            alpha = torch.zeros_like(a)
            below = 2 * g**2 + (a * g**3).sum()
            alpha[g != 0] = (g**2 / below)[g != 0]
            expected[face] += (alpha * g.relu()).sum() * a
    expected = nn.functional.interpolate(expected.relu()[None], size=32, mode="bilinear")[0]
    ours = explain("gradcam++", net, images, labels, layer="high").values[0]
    assert np.allclose(ours, expected.numpy(), atol=1e-5)


def test_each_step_of_a_loop_is_explained_by_its_own_call(looping: RecursiveFER) -> None:
    images, labels = seeing.faces(4, seed=2)
    found = explain("gradcam", looping, images, labels)
    assert (found.layer, found.values.shape) == ("block", (3, 4, 32, 32))
    memory = looping.begin(images)
    for step in range(3):
        memory = looping.step(memory)
        state = memory.state.detach().requires_grad_(True)
        logits, _ = looping.read(type(memory)(state=state, stem=memory.stem))
        (slope,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), state)
        by_hand = (slope.mean((2, 3), keepdim=True) * state).sum(1, keepdim=True).relu()
        by_hand = nn.functional.interpolate(by_hand.detach(), size=32, mode="bilinear")[:, 0]
        assert np.allclose(found.values[step], by_hand.numpy(), atol=1e-5), step
    assert not np.allclose(found.values[0], found.values[2], atol=1e-3)


@pytest.mark.parametrize("method", CONVOLUTIONAL)
def test_every_method_finds_the_mouth(net: nn.Module, method: str) -> None:
    if method in ("shap", "lime", "occlusion"):
        pytest.importorskip("shap" if method == "shap" else "captum")
    images, labels = (part[1::2] for part in seeing.faces(8, seed=9))  # with the mouth
    background, _ = seeing.faces(8, seed=5)
    values = explain(method, net, images, labels, background=background, samples=300).values[-1]
    assert seeing.share_in_mouth(values) > 2.5 * seeing.MOUTH_AREA, method


def test_positions_of_hirescam_add_up_to_the_logit_where_a_linear_layer_reads_them(
    looping: RecursiveFER,
) -> None:
    images, _ = seeing.faces(3, seed=6)
    memory = looping.step(looping.begin(images))
    state = memory.state.detach().requires_grad_(True)
    logits, _ = looping.read(type(memory)(state=state, stem=memory.stem))
    (slope,) = torch.autograd.grad(logits[:, 1].sum(), state)
    found = (gradcam.own_gradient(state, slope) * state).sum((1, 2, 3))
    expected = logits[:, 1] - looping.classifier.bias[1]
    assert torch.allclose(found, expected, atol=1e-5)


LOOPING = [name for name in CONVOLUTIONAL if name != "gradcam"]
"""The mean gradient of Grad-CAM forgets which cell of the grid the classifier reads."""


@pytest.mark.parametrize("method", LOOPING)
def test_methods_explain_a_model_that_loops(looping: RecursiveFER, method: str) -> None:
    if method in ("shap", "lime", "occlusion"):
        pytest.importorskip("shap" if method == "shap" else "captum")
    images, labels = (part[1::2] for part in seeing.faces(6, seed=9))
    background, _ = seeing.faces(8, seed=5)
    found = explain(method, looping, images, labels, background=background, samples=200)
    assert found.values.shape[0] == (3 if "cam" in method else 1)
    assert seeing.share_in_mouth(found.values[-1]) > 2 * seeing.MOUTH_AREA, method


def test_shapley_values_add_up_to_the_answer(net: nn.Module) -> None:
    pytest.importorskip("shap")
    images, labels = seeing.faces(3, seed=1)
    background, _ = seeing.faces(8, seed=5)
    found = explain("shap", net, images, labels, background=background)
    assert found.layer == "DeepExplainer"
    with torch.no_grad():
        told, usual = net(images).logits, net(background).logits.mean(0)
    explained = (told - usual).gather(1, labels[:, None])[:, 0].numpy()
    assert np.allclose(found.values[0].sum((1, 2)), explained, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_is_left_as_it_was_found(method: str) -> None:
    if method in ("shap", "lime", "occlusion"):
        pytest.importorskip("shap" if method == "shap" else "captum")
    model = vision_transformer() if method == "attention" else trained.module()
    model.train()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    wanted = [p.requires_grad for p in model.parameters()]
    images = trained.inputs(2)
    labels = torch.tensor([0, 1])
    explain(method, model, images, labels, background=trained.inputs(4), samples=20)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert all(p.grad is None for p in model.parameters())
    for part in model.modules():
        assert part.training
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
    assert getattr(model, "full_depth", False) is False


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "attention"])
def test_a_face_alone_gets_the_map_that_it_gets_in_a_batch(method: str) -> None:
    model = vision_transformer(64)
    faces, labels = trained.inputs(5, 64), torch.tensor([0, 1, 1, 0, 1])
    together = explain(method, model, faces, labels).values
    assert np.ptp(together) > 0
    for place in range(5):
        part = slice(place, place + 1)
        alone = explain(method, model, faces[part], labels[part]).values
        assert np.allclose(alone[:, 0], together[:, place], atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [("test_resnet", "layer4"), ("test_convnext", "stages.3"), ("test_efficientnet", "bn2")],
)
def test_the_deepest_stage_with_a_grid_is_chosen(backbone: str, layer: str) -> None:
    settings = TransferSettings(backbone=backbone, pretrained=False)
    model = models.build(settings, 3, 160).eval()
    assert usual_layer(model, trained.inputs(2, 160)) == layer


def test_a_stage_of_too_few_positions_is_passed_over() -> None:
    settings = TransferSettings(backbone="resnet18", pretrained=False)
    model = models.build(settings, 3, 48).eval()  # its stages: 12, 6, 3 and 2 positions a side
    assert usual_layer(model, trained.inputs(2, 48)) == "layer2"


def test_a_vision_transformer_is_read_before_its_last_block() -> None:
    model = vision_transformer(64)
    blocks = [name for name, _ in model.stages() if name.startswith("blocks")]
    found = usual_layer(model, trained.inputs(2, 64))
    pools = model.backbone.global_pool != "token"
    assert found in (["norm", blocks[-1]] if pools else [blocks[-2]])


def test_rollout_is_a_distribution_over_tokens_by_hand() -> None:
    model = vision_transformer(64)
    images = trained.inputs(1, 64)
    flow = None
    tokens = []
    handles = [
        block.attn.register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
        for block in model.backbone.blocks
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    for block, given in zip(model.backbone.blocks, tokens, strict=True):
        attn, width = block.attn, given.shape[-1]
        q, k = (
            (given @ attn.qkv.weight[part * width : (part + 1) * width].T
             + attn.qkv.bias[part * width : (part + 1) * width])[0]
            for part in (0, 1)
        )  # fmt: skip
        heads = [
            (q[:, piece] @ k[:, piece].T / (width / attn.num_heads) ** 0.5).softmax(1)
            for piece in torch.arange(width).chunk(attn.num_heads)
        ]
        mixed = 0.5 * sum(heads) / attn.num_heads + 0.5 * torch.eye(len(q))
        flow = mixed if flow is None else mixed @ flow
    prefix = model.backbone.num_prefix_tokens
    row = flow[0] if prefix else flow.mean(0)
    side = 64 // model.backbone.patch_embed.patch_size[0]
    grid = row[prefix:].reshape(1, 1, side, side)
    by_hand = nn.functional.interpolate(grid, size=64, mode="bilinear")[0, 0]
    ours = explain("attention", model, images, torch.tensor([0])).values[0, 0]
    assert np.allclose(ours, by_hand.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("method", "layer", "sentence"),
    [
        ("gradcamm", "", "did you mean gradcam"),
        ("attention", "", "no self-attention"),
        ("gradcam", "hihg", "did you mean high"),
        ("gradcam", "classifier", "gives no grid"),
        ("shap", "", "background faces"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(
    net: nn.Module, method: str, layer: str, sentence: str
) -> None:
    images, labels = seeing.faces(2)
    with pytest.raises(WordsError, match=sentence):
        explain(method, net, images, labels, layer=layer)


def test_a_library_that_is_missing_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(attributions.importlib, "import_module", absent)
    with pytest.raises(MachineError, match=r"pip install 'adafer\[explain\]'"):
        attributions._library("shap")


def test_step_outputs_of_the_loop_reach_the_last_step(looping: RecursiveFER) -> None:
    with torch.no_grad():
        assert isinstance(looping(seeing.faces(2)[0]), StepOutput)
