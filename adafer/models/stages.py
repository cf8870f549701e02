"""How any backbone is built up, from stem to features: found in the module tree, not in a table."""

from collections.abc import Sequence

from torch import nn

CONTAINERS = ("blocks", "stages", "layers", "features")
"""Names under which backbones keep a row of blocks; each block is a stage of its own."""


class Parts(nn.Module):
    """Several parts of a model seen as one stage; it is no part of the model itself.

    Holds modules of the model and loose parameters, so that a stage can be frozen as a whole. It
    is never called.
    """

    def __init__(self, modules: Sequence[nn.Module], loose: Sequence[nn.Parameter] = ()) -> None:
        super().__init__()
        self.held = nn.ModuleList(modules)
        self.loose = nn.ParameterList(loose)


def stages_of_backbone(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Stages of a backbone: `stem`, then its blocks and layers under their own names.

    What comes before the first row of blocks, and parameters that belong to no part (class token,
    position embedding), are the stem. Parts without parameters are in no stage.
    """
    children = [(name, part) for name, part in backbone.named_children() if has_parameters(part)]
    first = next((i for i, (name, part) in enumerate(children) if _is_row(name, part)), 1)
    loose = list(backbone.parameters(recurse=False))
    stem = [part for _, part in children[:first]]
    found = [("stem", stem[0] if len(stem) == 1 and not loose else Parts(stem, loose))]
    for name, part in children[first:]:
        if name in CONTAINERS and isinstance(part, nn.Sequential | nn.ModuleList):
            found += [(f"{name}.{n}", block) for n, block in part.named_children()]
        else:
            found.append((name, part))
    return [(name, stage) for name, stage in found if has_parameters(stage)]


def _is_row(name: str, part: nn.Module) -> bool:
    return name != "stem" and (
        name in CONTAINERS or isinstance(part, nn.Sequential | nn.ModuleList)
    )


def has_parameters(part: nn.Module) -> bool:
    """Whether anything in it can learn."""
    return next(part.parameters(), None) is not None
