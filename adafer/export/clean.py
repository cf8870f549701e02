"""A copy of a model that an exporter can trace: no hooks, no operation in place, fixed depth."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from adafer.errors import AdaferError, WordsError
from adafer.models.recursive import RecursiveFER

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
"""Where a module keeps what others asked it to call."""

SWITCHED_OFF = ("inplace", "fused_attn")
"""Attributes that only make a module faster, and that graphs or old opsets cannot hold."""

_SAME = 1e-6  # largest difference of logits that is rounding: fused kernels order sums otherwise


def fixed_depth(model: nn.Module, steps: int | None) -> nn.Module:
    """Return a clean copy in evaluation mode whose control flow does not depend on data.

    Raises:
        WordsError: if `steps` is below 1, or the model takes none.
    """
    if steps is not None and steps < 1:
        raise WordsError(f"--steps must be 1 or more, not {steps}; leave it out for the model's T")
    module = cleaned(model)
    if isinstance(module, RecursiveFER):
        module.full_depth = True
        module.max_steps = module.max_steps if steps is None else steps
    elif steps is not None:
        raise WordsError("this model takes no steps; leave --steps out")
    return module


def cleaned(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, without hooks, in-place and fused operations.

    The model stays as it was. Hooks are not copied at all, because they may hold what cannot be
    copied, such as an open file.
    """
    without: dict[int, Any] = {}
    for module in model.modules():
        for name in HOOKS:
            if name in vars(module):
                without[id(vars(module)[name])] = OrderedDict()
    copied = copy.deepcopy(model, without).cpu().eval()
    for module in copied.modules():
        for name in SWITCHED_OFF:
            if vars(module).get(name) is True:
                setattr(module, name, False)
    return copied


def hooks_of(model: nn.Module) -> int:
    """Number of forward and backward hooks that its modules hold."""
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(vars(module).get(name, ())) for module in model.modules() for name in kept)


def refuse_lost_hooks(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Raise AdaferError if a model answers otherwise once its hooks are gone.

    Hooks that only look on are no loss. Others, such as the old `torch.nn.utils.weight_norm`,
    compute the weights, and a file without them would hold another model.
    """
    if not hooks_of(model):
        return
    asked = next((value.device for value in model.parameters()), torch.device("cpu"))
    training = model.training
    with torch.no_grad():
        ours = model.eval()(*(values.to(asked) for values in inputs)).logits.cpu()
        theirs = cleaned(model)(*inputs).logits
    model.train(training)
    if not bool(((ours - theirs).abs() <= _SAME * ours.abs().clamp(min=1)).all()):
        raise AdaferError(
            "the model's answers depend on its hooks, which an ONNX file cannot hold; remove them "
            "or make them part of the model's forward, then export again"
        )
