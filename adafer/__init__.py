"""Adaptive facial expression recognition: models that look longer at harder faces."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adafer.archive import extract_dataset
    from adafer.data.torch_dataset import RafDBDataset
    from adafer.evaluation import evaluate
    from adafer.experiment import train
    from adafer.models.recursive import RecursiveFER
    from adafer.predictor import Predictor, load
    from adafer.studies.crossval import crossval

__version__ = "0.1.0"
__all__ = [
    "Predictor",
    "RafDBDataset",
    "RecursiveFER",
    "__version__",
    "crossval",
    "evaluate",
    "extract_dataset",
    "load",
    "train",
]

_HOMES = {
    "extract_dataset": "adafer.archive",
    "train": "adafer.experiment",
    "crossval": "adafer.studies.crossval",
    "evaluate": "adafer.evaluation",
    "load": "adafer.predictor",
    "Predictor": "adafer.predictor",
    "RafDBDataset": "adafer.data.torch_dataset",
    "RecursiveFER": "adafer.models.recursive",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for, so that `import adafer` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'adafer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
