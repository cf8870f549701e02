"""Faces that are done leave the batch: the same answers, fewer rows computed."""

from dataclasses import replace

import pytest
import torch
import trained

from adafer.engine.thinking import think
from adafer.models.halting import HALTING
from adafer.models.recursive import RecursiveFER

SMALL = trained.SMALL["recursive"]


def model(**changes: object) -> RecursiveFER:
    found = trained.module(settings=replace(SMALL, **{"confidence": 0.5, **changes}))
    assert isinstance(found, RecursiveFER)
    return found


def answered(given: RecursiveFER, images: torch.Tensor, **named):
    with torch.inference_mode():
        return think(given, images, **named)


@pytest.mark.parametrize("remainder", ["additive", "multiplicative"])
@pytest.mark.parametrize("rule", list(HALTING))
def test_answers_are_those_of_the_whole_batch_run_to_the_end(rule: str, remainder: str):
    given, images = model(halting=rule, remainder=remainder, max_steps=6), trained.inputs(40)
    found = answered(given, images)
    given.full_depth = True
    with torch.inference_mode():
        expected = given(images)
    assert torch.equal(found.steps, expected.steps)
    torch.testing.assert_close(found.logits, expected.logits, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(found.ponder_cost, expected.ponder_cost, atol=1e-5, rtol=1e-5)
    if rule not in ("none",):
        assert len(set(found.steps.tolist())) > 1


@pytest.mark.parametrize("rule", ["graves", "confidence", "ponder"])
def test_a_face_alone_gets_what_it_gets_in_any_batch_and_order(rule: str):
    given, images = model(halting=rule), trained.inputs(17)
    whole = answered(given, images)
    turned = answered(given, images.flip(0))
    assert torch.equal(turned.steps.flip(0), whole.steps)
    torch.testing.assert_close(turned.logits.flip(0), whole.logits, atol=2e-5, rtol=1e-5)
    for face in (0, 8, 16):
        alone = answered(given, images[face : face + 1])
        assert alone.steps.item() == whole.steps[face].item()
        torch.testing.assert_close(alone.logits[0], whole.logits[face], atol=2e-5, rtol=1e-5)
    kept = answered(given, images, compact=False)
    assert torch.equal(kept.steps, whole.steps)
    torch.testing.assert_close(kept.logits, whole.logits, atol=2e-5, rtol=1e-5)


def test_only_the_rows_that_go_on_are_computed():
    given, images = model(halting="confidence", max_steps=6), trained.inputs(40)
    rows: list[int] = []
    given.block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    found = answered(given, images)
    expected = [int((found.steps >= step).sum()) for step in range(1, 7)]
    assert rows == [count for count in expected if count]
    assert sum(rows) == int(found.steps.sum())


def test_the_extremes():
    images = trained.inputs(9)
    at_once = model(halting="confidence", confidence=1e-6)
    assert answered(at_once, images).steps.tolist() == [1] * 9
    never = model(halting="confidence", confidence=1.0)
    assert answered(never, images).steps.tolist() == [4] * 9
    assert answered(never, images[:1]).steps.tolist() == [4]


def test_the_predictor_answers_as_the_model_does(tmp_path):
    from adafer.predictor import load

    run = trained.run_folder(tmp_path / "run")
    pictures = trained.pictures(12)
    together = load(run).predict(pictures)
    alone = [load(run).predict(picture)[0] for picture in pictures[:3]]
    for one, other in zip(alone, together, strict=False):
        assert (one.label, one.steps) == (other.label, other.steps)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
