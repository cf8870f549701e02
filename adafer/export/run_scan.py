"""Which files of a run may leave it: a list of those allowed, and what must not lie among them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adafer.bundle import PICKLE_SUFFIXES
from adafer.errors import DataError

SPLITS = ("test", "val")

WRITTEN_ANEW = ("weights/config.json", "recipe.yaml", "label_map.json", "run.json")
"""Published without what they say of the machine."""

AS_THEY_ARE = (
    *("weights/best.safetensors", "results.csv", "history.png"),
    *(f"eval/{split}/confusion_matrix.{kind}" for split in SPLITS for kind in ("csv", "png")),
)
"""Published byte by byte."""

EXPORTED = (
    *("export/model.onnx", "export/model.int8.onnx"),
    *("export/parity.json", "export/export.json"),
)
MEASURED = tuple(f"eval/{split}/metrics.json" for split in SPLITS)
CARD = "README.md"
ALLOWED = frozenset({*WRITTEN_ANEW, *AS_THEY_ARE, *EXPORTED, *MEASURED, CARD})
"""Nothing else is ever uploaded."""

_OWN_FOLDERS = {
    "state": "what a resumed training needs",
    "explain": "pictures of faces",
    "steps": "answers face by face",
    "wandb": "of a tracker",
    "mlruns": "of a tracker",
    "trackio": "of a tracker",
    "tensorboard": "of a tracker",
}
_OWN_FILES = {
    "report.html": "holds faces of the data",
    "predictions.csv": "names and labels of the data",
    ".lock": "names the machine",
    "last.safetensors": "the best weights are published",
}
_TRACKERS = frozenset({"wandb", "mlruns"})
_PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic"}
    | {".mp4", ".avi", ".mov", ".npz", ".npy", ".zip", ".parquet", ".arrow"}
)
_PLOTS = frozenset({"history.png", "confusion_matrix.png"})
_SECRETS = re.compile(
    r"\.env(\..*)?|\.netrc|\.git-credentials|\.pypirc|kaggle\.json|id_(rsa|dsa|ecdsa|ed25519)"
    r"|.*\.(pem|key|p12|pfx)|(hf_|huggingface_)?tokens?(\.txt|\.json)?|secrets?(\..*)?"
    r"|credentials(\..*)?",
    re.IGNORECASE,
)
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"7z\xbc\xaf")
_TOLD = 8  # files that one sentence names


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that stays in the run, and why."""

    place: str
    reason: str


def scan(folder: Path) -> tuple[LeftOut, ...]:
    """Return what stays here, in order of place.

    What adafer itself writes and nobody else should see is left out: reports and explanations hold
    faces, trackers keep command lines. What it never writes must not lie in a run that goes public.

    Raises:
        DataError: with the list of secrets, foreign pictures, pickles, trackers' folders below
            others, and links.
    """
    left_out: list[LeftOut] = []
    refused: list[LeftOut] = []
    for path in _files(folder):
        place = path.relative_to(folder)
        try:
            fault = _fault(path, PurePosixPath(place.as_posix()))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); correct that") from None
        if fault:
            refused.append(LeftOut(place.as_posix(), fault))
        elif place.as_posix() not in ALLOWED:
            left_out.append(_left_out(place))
    if refused:
        listed = ", ".join(f"{found.place} ({found.reason})" for found in refused[:_TOLD])
        more = f" and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
        raise DataError(
            f"{folder} holds what no public run should: {listed}{more}; move it elsewhere"
        )
    return tuple(sorted(set(left_out), key=lambda found: found.place))


def _files(folder: Path) -> Iterator[Path]:
    """Every file, and every link whatever it leads to, which is not followed."""
    for here, folders, files in os.walk(folder, followlinks=False):
        linked = [name for name in folders if (Path(here) / name).is_symlink()]
        yield from (Path(here) / name for name in sorted([*files, *linked]))


def _fault(path: Path, place: PurePosixPath) -> str:
    """Why a file must not lie here; empty if it may."""
    suffix, own = place.suffix.lower(), place.parts[0] in _OWN_FOLDERS and len(place.parts) > 1
    if _SECRETS.fullmatch(place.name):
        return "a secret, by its name"
    if own and place.parts[0] not in ("state",):
        return ""
    if path.is_symlink() or not path.is_file():
        return "a link, or no plain file"
    if _TRACKERS & set(place.parts[:-1]):
        return "a tracker's folder"
    if suffix in PICKLE_SUFFIXES or _starts_as_pickle(path):
        return "may hold a pickle"
    if suffix in _PICTURES and place.name not in _PLOTS:
        return "pictures or data"
    return ""


def _starts_as_pickle(path: Path) -> bool:
    if path.suffix.lower() in (".safetensors", ".onnx"):  # checked by their loaders
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_PICKLE_STARTS)


def _left_out(place: Path) -> LeftOut:
    top = place.parts[0]
    if len(place.parts) > 1 and top in _OWN_FOLDERS:
        return LeftOut(f"{top}/", _OWN_FOLDERS[top])
    return LeftOut(place.as_posix(), _OWN_FILES.get(place.name, "not on the list"))
