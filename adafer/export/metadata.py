"""What an ONNX file says about itself, so that nobody has to guess its classes or its input."""

import json
from typing import Any

import adafer
from adafer.bundle import Bundle
from adafer.responsible_use import MEANING, STATEMENT

INPUT = (
    "images: float32 (B, 3, S, S), RGB, upright face crop stretched to W x W (bilinear), "
    "W = round(S / crop), of which the middle S x S is cut out, (value / 255 - mean) / std; "
    "where grey is true, three equal channels of ITU-R 601 luminance"
)


def metadata(bundle: Bundle, *, max_steps: int | None, verified: bool) -> dict[str, str]:
    """Return the entries of `metadata_props`; lists and objects are JSON."""
    told: dict[str, Any] = {
        "adafer": adafer.__version__,
        "model_name": bundle.model_name,
        "recipe": str(bundle.recipe.get("name", "")),
        "class_names": list(bundle.class_names),
        "preprocessing": bundle.preprocessing.to_json(),
        "input": INPUT,
        "verified": verified,
        "responsible_use": f"{MEANING} {STATEMENT}",
    }
    if bundle.temperature != 1:
        told["temperature"] = bundle.temperature  # the graph gives unscaled probabilities
    if max_steps is not None:
        told["max_steps"] = max_steps
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in told.items()
    }
