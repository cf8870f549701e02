"""Published weights for a backbone: from the hub, from a file or from a folder, never by surprise.

Only safetensors are read. What does not fit is an error that lists the differences, so that no
training starts at random by mistake.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.errors import HTTPError as ClientError  # type: ignore[attr-defined]
from safetensors import SafetensorError
from safetensors.torch import load as parsed
from torch import Tensor

from adafer.errors import DataError, MachineError, WordsError
from adafer.hub_models import downloaded
from adafer.models.grefel import GrefelNet
from adafer.models.transfer import TransferNet, published
from adafer.settings.model import GrefelSettings, TransferSettings

FILE = "model.safetensors"
_NAMED = 4  # differences that one sentence names


def load(
    model: TransferNet | GrefelNet, settings: TransferSettings | GrefelSettings
) -> dict[str, Any]:
    """Fill the backbone, and say what with: source, SHA-256 and licence.

    `settings.weights` names a file, or a folder that holds one (a snapshot of the hub, or the
    `weights` of a run of ours with the same backbone); empty asks the hub, whose copies stay in its
    cache. The classifier always starts anew.

    Raises:
        DataError: a file that is missing, damaged or of another architecture.
        MachineError: the hub cannot be reached and its cache does not hold the weights.
        WordsError: no weights were published for this backbone.
    """
    name = model.backbone_name
    path = _local(settings.weights, name) if settings.weights else _from_hub(name)
    data = path.read_bytes()
    try:
        tensors = parsed(data)
    except (SafetensorError, ValueError):
        raise DataError(
            f"{path} is not a whole safetensors file; fetch it again, or convert a .pth or .bin "
            "with safetensors first"
        ) from None
    with torch.no_grad():
        _fill(model.backbone, tensors, name, path)
    config = published(name)
    return {
        "backbone": name,
        "source": str(settings.weights) or f"hub {config.hf_hub_id}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "license": None if settings.weights else config.license,
    }


def _local(given: str, name: str) -> Path:
    path = Path(given).expanduser()
    candidates = (FILE, f"{name}.safetensors", "best.safetensors", "weights/best.safetensors")
    if path.is_dir():
        found = [path / candidate for candidate in candidates if (path / candidate).is_file()]
        if not found:
            raise DataError(f"no weights in '{path}': expected {' or '.join(candidates)}")
        return found[0]
    if not path.is_file():
        raise DataError(f"no weights '{path}': no such file or folder; correct --weights")
    if path.suffix != ".safetensors":
        raise DataError(
            f"{path} may hold a pickle, which can run code when it is opened, so it was not; "
            "give weights saved as safetensors"
        )
    return path


def _from_hub(name: str) -> Path:
    """Path of the hub's file in its cache, fetched if need be."""
    repository = published(name).hf_hub_id
    if not repository:
        raise WordsError(
            f"no weights were published for {name}; train it with --no-pretrained, or name others "
            "with --weights"
        )
    way_out = (
        f"on a machine with network `hf download {repository} {FILE} --local-dir FOLDER`, bring "
        "FOLDER here and give it with --weights, or start at random with --no-pretrained"
    )
    try:
        return downloaded(repository, FILE)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise MachineError(f"the hub refused {repository} ({status}); {way_out}") from None
    except (OSError, ClientError):  # no network, or told to stay off it, and not in the cache
        raise MachineError(
            f"the weights of {name} are not here and the hub cannot be reached; {way_out}"
        ) from None


def _fill(backbone: torch.nn.Module, tensors: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Copy the tensors into the backbone once every name and shape was found to agree."""
    wanted = backbone.state_dict()
    given = {
        key.removeprefix("backbone."): value
        for key, value in tensors.items()
        if not (key.startswith("classifier.") and any(k.startswith("backbone.") for k in tensors))
    }
    for candidate in (given, _converted(given, backbone)):
        fitting = {key: value for key, value in candidate.items() if key in wanted}
        wrong = _differences(wanted, fitting)
        if not wrong:
            break
    # What the head of the published model holds is left over; whole layers of a body are not.
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise DataError(
            f"{path} does not fit {name}: {', '.join(wrong[:_NAMED])}{more}; give the weights of "
            "this very backbone, or name theirs with --backbone"
        )
    backbone.load_state_dict(fitting)


def _converted(tensors: Mapping[str, Tensor], backbone: torch.nn.Module) -> Mapping[str, Tensor]:
    """Return them under timm's names and sizes: its own filter of this family, if it has one.

    Position embeddings are resized to the size of face that the backbone was built for.
    """
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return tensors
    try:
        converted: Mapping[str, Tensor] = convert(dict(tensors), backbone)
    except (KeyError, AttributeError, RuntimeError, ValueError, IndexError, TypeError):
        return tensors  # of another family; the differences will be told
    return converted


def _differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    lacking = [f"{key} is missing" for key in wanted if key not in found]
    shapes = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    broken = [
        f"{key} holds numbers that are not finite"
        for key, value in found.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    return shapes + lacking + broken
