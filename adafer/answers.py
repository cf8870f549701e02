"""Answers of the shell: predictions, exports and the list of models, printed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def print_answers(
    model: Path, pictures: Sequence[str], *, max_steps: int | None, as_json: bool
) -> int:
    """Predict pictures and print one line each; a picture that cannot be read is named.

    Returns 3 if any picture could not be read, else 0.
    """
    from adafer.predictor import Failure, load

    predictor = load(model)
    failed = 0
    for answer in predictor.stream(map(Path, pictures), max_steps=max_steps):
        if isinstance(answer, Failure):
            print(f"adafer: {answer.error}", file=sys.stderr)
            failed += 1
        elif as_json:
            print(json.dumps(answer.to_json(), ensure_ascii=False, allow_nan=False))
        else:
            steps = "" if answer.steps is None else f"  {answer.steps} steps"
            sure = "  (low confidence)" if answer.low_confidence else ""
            print(f"{answer.source}  {answer.label} {answer.probability:.1%}{steps}{sure}")
    return 3 if failed else 0


def print_export(model: Path, output: Path | None, *, steps: int | None) -> int:
    """Export and print what was checked."""
    from adafer.bundle import load_bundle
    from adafer.export.onnx import export_onnx

    default = model / "export" / "model.onnx" if model.is_dir() else model.with_suffix(".onnx")
    report = export_onnx(load_bundle(model), output or default, steps=steps)
    print(report)
    return 0


def print_models() -> int:
    """Print each recipe's model with its parameters."""
    from adafer.models import MODELS
    from adafer.recipes import RECIPES

    for recipe in RECIPES.values():
        _, module = MODELS[recipe.model_name]
        count = sum(p.numel() for p in module(recipe.model, 7).parameters())
        print(f"{recipe.name:14} {recipe.model_name:10} {count:>10,} parameters")
    return 0
