"""Where a vision transformer looks: attention rolled out from the pixels to the answer.

Legend: N faces, L tokens, D width of a token, h heads.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.errors import WordsError
from adafer.explain.layers import on_grid


def rollout(model: nn.Module, images: Tensor, targets: Tensor, **_: object) -> tuple[Tensor, str]:
    """Attention rollout, (1, N, H, W): the same for every class.

    Abnar and Zuidema 2020, arXiv:2005.00928, section 3: each block's mean attention over heads,
    half mixed with the residual path, multiplied up from the first block to the last. What the
    class token gathers is shown; without one, the mean over tokens.

    Raises:
        WordsError: a model without such attention.
    """
    backbone: Any = getattr(model, "backbone", model)
    blocks = [part for part in backbone.modules() if _is_attention(part)]
    if not blocks:
        raise WordsError("this model has no self-attention to show; choose --method gradcam")
    inputs: list[tuple[nn.Module, Tensor]] = []
    handles = [
        part.register_forward_pre_hook(lambda part, given: inputs.append((part, given[0])))
        for part in blocks
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    flow: Tensor | None = None
    for part, tokens in inputs:
        mixed = _mixed(part, tokens)
        if flow is not None and flow.shape != mixed.shape:
            raise WordsError(
                "the blocks of this model attend over different tokens, so that no rollout "
                "exists; choose --method gradcam"
            )
        flow = mixed if flow is None else mixed @ flow
    assert flow is not None
    prefix = int(getattr(backbone, "num_prefix_tokens", 0))
    gathered = flow[:, 0] if prefix else flow.mean(1)  # (N, L)
    grid = on_grid(model, gathered[:, :, None])
    if grid is None:
        raise WordsError("the tokens of this model form no grid; choose --method gradcam")
    shown = functional.interpolate(grid, size=images.shape[2:], mode="bilinear")
    return shown[:, 0][None], "attention of all blocks"


def _is_attention(part: nn.Module) -> bool:
    return all(hasattr(part, name) for name in ("qkv", "num_heads", "scale", "proj"))


def _mixed(part: Any, tokens: Tensor) -> Tensor:
    """Attention (N, L, L) of a block, half of it the residual path."""
    count, length, _ = tokens.shape
    with torch.no_grad():
        given = part.qkv(tokens).reshape(count, length, 3, part.num_heads, -1)
        query, key, _ = given.permute(2, 0, 3, 1, 4).unbind(0)  # (N, h, L, D / h)
        query = getattr(part, "q_norm", nn.Identity())(query)
        key = getattr(part, "k_norm", nn.Identity())(key)
        weights = (query * part.scale @ key.transpose(-2, -1)).softmax(-1).mean(1)  # (N, L, L)
    through: Tensor = 0.5 * weights + 0.5 * torch.eye(length, device=weights.device)
    return through
