"""What lies in an export folder: graphs, their records, the class names; all of it or nothing."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adafer.data.class_names import LABEL_MAP, read_label_map
from adafer.errors import AdaferError, WordsError
from adafer.predictor import PARITY

RECORD = "export.json"
"""How each graph of its folder was made: attempts, opset, 8-bit figures; by file name."""


def write_export(
    path: Path,
    data: bytes,
    class_names: Sequence[str],
    proof: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write a graph, its proof (`parity.json`), its record and the class names beside it.

    Raises:
        WordsError: if the folder holds the class names of another model.
        AdaferError: if the files cannot be written; then the folder is as it was.
    """
    folder = path.parent
    label_map = label_map_for(folder, class_names)
    try:
        _write_together(
            {
                path: data,
                folder / PARITY: _with_entry(folder / PARITY, path.name, proof),
                folder / RECORD: _with_entry(folder / RECORD, path.name, record),
                **({} if label_map is None else {folder / LABEL_MAP: label_map}),
            }
        )
    except OSError as error:
        why = error.strerror or error
        raise AdaferError(f"cannot write {path} ({why}); choose a place with --output") from None


def label_map_for(folder: Path, class_names: Sequence[str]) -> bytes | None:
    """Return name to number as JSON, or None where a file in the folder says so already.

    Raises:
        WordsError: if the folder holds the class names of another model.
    """
    found = read_label_map([folder])
    if found == tuple(class_names):
        return None
    if found is not None:
        raise WordsError(
            f"{folder / LABEL_MAP} names other classes than the model; export into another folder "
            "with --output"
        )
    names = {name: number for number, name in enumerate(class_names)}
    return (json.dumps(names, indent=2, ensure_ascii=False) + "\n").encode()


def _with_entry(path: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    """The file's entries with this one added or replaced; a damaged file starts anew."""
    entries: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = found if isinstance(found, dict) else {}
    entries[name] = dict(entry)
    return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _write_together(parts: Mapping[Path, bytes]) -> None:
    """Write every file under another name first, so that names appear only on whole files."""
    folder = next(iter(parts)).parent
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in parts.items():
            if path.is_dir():
                raise IsADirectoryError(None, "it is a folder")
            with _beside(path).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for path in parts:
            os.replace(_beside(path), path)
    except OSError:
        with contextlib.suppress(OSError):
            for path in parts:
                _beside(path).unlink(missing_ok=True)
            for place in made:
                place.rmdir()
        raise


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".part")
