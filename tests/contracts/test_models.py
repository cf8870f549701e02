"""What holds for every model of MODELS, and for the recursive one in each of its forms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trained
from torch import Tensor, nn

from adafer import models
from adafer.bundle import load_bundle
from adafer.contracts import Model, Output, StepOutput
from adafer.export.onnx import export_onnx
from adafer.models import MODELS
from adafer.models.stages import Parts

RECURSIVE = trained.SMALL["recursive"]
SIDES = {
    "tinyvgg": (24, 48),
    "recursive": (24, 36, 48),
    "transfer": (trained.SIDE,),
    "grefel": (trained.SIDE,),
}
BACKBONES = ("test_resnet", "test_convnext", "test_efficientnet", "test_vit")


def forms() -> dict[str, tuple[str, Any]]:
    """Name to model name and settings: every model, and every form of the recursive one."""
    found = {name: (name, trained.SMALL[name]) for name in MODELS if name != "recursive"}
    for memory in ("residual", "gru"):
        base = replace(RECURSIVE, memory=memory)
        for halting in ("graves", "naive", "ponder", "confidence", "none"):
            found[f"{halting}-{memory}"] = ("recursive", replace(base, halting=halting))
        product = replace(base, halting="graves", remainder="multiplicative")
        found[f"graves-product-{memory}"] = ("recursive", product)
    for backbone in BACKBONES:
        base = replace(trained.SMALL["transfer"], backbone=backbone)
        found[backbone] = ("transfer", base)
    for blend in ("trust", "confidence"):
        found[f"grefel-{blend}"] = ("grefel", replace(trained.SMALL["grefel"], blend=blend))
    conv = replace(trained.SMALL["grefel"], stem="conv", anchor_correction=False)
    found["grefel-conv-attention"] = ("grefel", conv)
    del found["grefel"]
    found["deep-head"] = ("transfer", replace(trained.SMALL["transfer"], head="deep"))
    del found["transfer"]
    return found


FORMS = forms()
every_form = pytest.mark.parametrize("form", FORMS)
recursive_forms = pytest.mark.parametrize(
    "form", [form for form, (name, _) in FORMS.items() if name == "recursive"]
)
QUICK_EXPORTS = {
    "grefel-trust",
    "tinyvgg",
    "graves-residual",
    "graves-product-gru",
    "ponder-residual",
}

WITHOUT_GRADIENT = {
    "confidence": "halting.",  # the score is the class probability; the unit is not used
    "none": "halting.",  # nothing halts
}
"""Parameters that a rule leaves without a gradient from classification and ponder cost."""


def build(form: str) -> nn.Module:
    name, settings = FORMS[form]
    return trained.module(name, settings)


def told(output: Output) -> dict[str, Tensor]:
    """What a face is told, whichever faces share its batch."""
    fields = {"logits": output.logits, "probabilities": output.logits.softmax(1)}
    if isinstance(output, StepOutput):
        fields |= {"cost": output.ponder_cost, "steps": output.steps}
        fields |= {"remainder": output.remainder, "weights": output.weights.T}
    return fields


def same(ours: Tensor, theirs: Tensor) -> bool:
    """Equal: whole numbers exactly, float32 within 2e-6, float64 within 1e-12.

    Weights may have been taken over another number of steps.
    """
    if ours.ndim == 2 and ours.shape != theirs.shape:
        width = max(ours.shape[1], theirs.shape[1])
        ours, theirs = (nn.functional.pad(x, (0, width - x.shape[1])) for x in (ours, theirs))
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    bound = 1e-12 if ours.dtype == torch.float64 else 2e-6  # attention sums in another order
    return float((ours - theirs).abs().max()) <= bound


def test_every_model_is_tried_here() -> None:
    assert {name for name, _ in FORMS.values()} == set(MODELS) == set(trained.SMALL)


@every_form
@pytest.mark.parametrize(("batch", "classes"), [(1, 7), (4, 2)])
def test_shapes(form: str, batch: int, classes: int) -> None:
    name, settings = FORMS[form]
    model = trained.module(name, settings, classes=classes)
    assert isinstance(model, Model)
    for side in SIDES[name]:
        output = model(trained.inputs(batch, side))
        assert output.logits.shape == (batch, classes)
        assert output.logits.dtype == torch.float32
        if isinstance(output, StepOutput):
            depth = len(output.step_logits)
            assert 1 <= depth <= settings.max_steps
            assert output.step_logits.shape == (depth, batch, classes)
            assert output.step_probs.shape == output.weights.shape == (depth, batch)
            assert output.ponder_cost.shape == output.remainder.shape == (batch,)
            assert output.steps.shape == (batch,)
            assert output.steps.dtype == torch.int64


@every_form
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_face_alone_gets_the_same_answer_as_in_a_batch_and_permuted(
    form: str, dtype: torch.dtype
) -> None:
    settings = FORMS[form][1]
    if dtype == torch.float32:  # weights of the usual size, so that rounding stays below 1e-6
        torch.manual_seed(0)
        model = models.build(settings, 5, trained.SIDE).eval()
    else:  # faces that halt at different steps
        model = build(form).double()
    faces = trained.inputs(9).to(dtype)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        together, permuted = told(model(faces)), told(model(faces[order]))
        alone = [told(model(faces[place : place + 1])) for place in range(9)]
    for field, values in together.items():
        assert same(permuted[field], values[order])
        for place in range(9):
            assert same(alone[place][field], values[place : place + 1]), field


@every_form
def test_faces_that_differ_get_answers_that_differ(form: str) -> None:
    logits = build(form)(trained.inputs(6)).logits
    assert float(torch.pdist(logits.detach()).min()) > 1e-3


@every_form
def test_gradients_reach_every_parameter(form: str) -> None:
    model = build(form).train()
    output = model(trained.inputs(12))
    loss = nn.functional.cross_entropy(output.logits, torch.arange(12) % 5)
    if isinstance(output, StepOutput):
        loss = loss + output.ponder_cost.mean() + output.step_logits.square().mean()
    loss.backward()
    exempt = WITHOUT_GRADIENT.get(getattr(FORMS[form][1], "halting", ""), "nothing")
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and float(parameter.grad.abs().max()) > 0
        assert moved != name.startswith(exempt), name


@every_form
def test_stages_hold_every_parameter_exactly_once_from_stem_to_head(form: str) -> None:
    model = build(form)
    assert isinstance(model, Model)
    names = [name for name, _ in model.stages()]
    held = [id(p) for _, stage in model.stages() for p in stage.parameters()]
    assert len(set(names)) == len(names)
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert names[-1] == "classifier"
    inside = getattr(model, "backbone", model)
    for name, stage in model.stages():
        if not isinstance(stage, Parts) and name != "stem":  # one part, under its own name
            assert (model if name == "classifier" else inside).get_submodule(name) is stage


@every_form
def test_a_saved_model_answers_the_same_to_the_bit(form: str, tmp_path: Path) -> None:
    name, settings = FORMS[form]
    loaded = load_bundle(trained.run_folder(tmp_path, name, settings)).model
    ours, theirs = build(form), loaded
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key])
    faces = trained.inputs(5)
    for field, values in told(ours(faces)).items():
        assert torch.equal(values, told(theirs(faces))[field])


@recursive_forms
def test_full_depth_gives_the_answers_of_an_early_stop(form: str) -> None:
    model = build(form)
    with torch.no_grad():
        early = model(trained.inputs(8))
        model.full_depth = True
        full = model(trained.inputs(8))
    assert len(full.step_logits) == RECURSIVE.max_steps
    for field, values in told(full).items():
        assert same(told(early)[field], values), field


@recursive_forms
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_the_depth_can_be_changed_after_training(form: str, depth: int) -> None:
    name, settings = FORMS[form]
    model, faces = build(form), trained.inputs(6)
    built_so = trained.module(name, replace(settings, max_steps=depth))
    built_so.load_state_dict(model.state_dict())
    model.max_steps = depth
    assert int(model(faces).steps.max()) <= depth
    for field, values in told(model(faces)).items():
        assert torch.equal(values, told(built_so(faces))[field])


@pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=() if form in QUICK_EXPORTS else pytest.mark.slow) for form in FORMS],
)
def test_the_exported_file_computes_the_same(form: str, tmp_path: Path) -> None:
    name, settings = FORMS[form]
    report = export_onnx(load_bundle(trained.run_folder(tmp_path, name, settings)))
    assert report.parity is not None
    assert report.parity.logit_difference <= 1e-4
    assert report.parity.probability_difference <= 1e-5
    assert report.parity.class_differences == report.parity.step_differences == 0
    assert report.parity.boundary_faces <= 1
    assert report.remarks == ()
