"""A run made ready for the public: every file checked, freed of the machine and held in memory.

The files keep their places of the run folder, so that a clone of the repository is a run folder.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import yaml

from adafer.bundle import CONFIG, Bundle, load_bundle
from adafer.errors import AdaferError, DataError
from adafer.export.anonymous import public_config, public_facts, public_recipe, without_places
from adafer.export.card import CardFacts, checked_card, model_card
from adafer.export.card_data import origin
from adafer.export.clean import fixed_depth
from adafer.export.files import RECORD
from adafer.export.onnx import export_onnx
from adafer.export.parity import compared, trial_inputs
from adafer.export.run_scan import AS_THEY_ARE, CARD, SPLITS, LeftOut, scan
from adafer.plain_values import finite
from adafer.predictor import PARITY, Predictor, load
from adafer.run import Run, open_run

ONNX, INT8 = "model.onnx", "model.int8.onnx"

_PNG = b"\x89PNG\r\n\x1a\n"
_TOKENS = re.compile(
    rb"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|AKIA[0-9A-Z]{16}"
    rb"|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,}|KGAT_\w{16,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    rb"|\w+://[^/\s:@\"']+:[^/\s@\"']+@"
)
_SECRET_WORDS = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 8


@dataclass(frozen=True, kw_only=True)
class Release:
    """What will be published, by its place in the repository, and what stays."""

    repository: str
    files: Mapping[str, bytes]
    left_out: tuple[LeftOut, ...]
    sha256: str  # of the weights

    @property
    def card(self) -> str:
        """The text of README.md."""
        return self.files[CARD].decode()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def prepare_release(
    path: Path,
    repository: str,
    *,
    card: str | None = None,
    data_note: str = "",
    license: str = "",
    tell: Callable[[str], None] = lambda sentence: None,
) -> Release:
    """Return the files of a run that may go out, each checked; the network is not used.

    `card` replaces the card that is written from the run. An ONNX file is exported into the run if
    there is none, and compared with the weights once more; one in 8 bits goes out if it lies beside
    it and was made of it.

    Raises:
        DataError: no measured run, a file that must not lie there, an ONNX file of other weights, a
            card that lacks what it needs, a secret in any of the files.
        AdaferError: the ONNX file cannot be made.
    """
    run = open_run(path)
    left_out = scan(run.path)
    bundle = load_bundle(run.path)
    told = _told(run)
    layout = str(told["data"].get("layout", ""))
    scores = _scores(run, bundle)
    graphs, proofs, records = _verified_graphs(run, bundle, tell)
    copied = _copied(run.path)
    facts = CardFacts(
        repository=repository,
        recipe=public_recipe(run.recipe().to_dict(), layout),
        run=told,
        scores=scores,
        config=public_config(_json(run.weights / CONFIG), layout),
        parity=proofs[ONNX]["parity"],
        onnx=records[ONNX],
        int8=records.get(INT8, {}),
        places=frozenset(copied),
        data_note=data_note,
        license=license,
    )
    files: dict[str, bytes] = {
        CARD: _card_text(facts, card).encode(),
        "weights/config.json": _json_bytes(facts.config),
        "recipe.yaml": yaml.safe_dump(facts.recipe, sort_keys=False, allow_unicode=True).encode(),
        "run.json": _json_bytes(told),
        "label_map.json": _json_bytes({name: n for n, name in enumerate(bundle.class_names)}),
        **{f"export/{name}": data for name, data in graphs.items()},
        f"export/{PARITY}": _json_bytes(proofs),
        f"export/{RECORD}": _json_bytes(records),
        **{f"eval/{split}/metrics.json": _json_bytes(found) for split, found in scores.items()},
        **copied,
    }
    _refuse_secrets(files)
    return Release(
        repository=repository,
        files=dict(sorted(files.items())),
        left_out=left_out,
        sha256=_hash_of_weights(run, files, facts.config),
    )


def _told(run: Run) -> dict[str, Any]:
    """What run.json tells, without what it tells of the machine."""
    told = public_facts(run.facts())
    if not told.get("data"):
        raise DataError(f"{run.path} has no run.json that tells of its data; publish a whole run")
    return told


def _hash_of_weights(run: Run, files: Mapping[str, bytes], config: Mapping[str, Any]) -> str:
    sha256 = hashlib.sha256(files["weights/best.safetensors"]).hexdigest()
    if sha256 != config["files"]["best"]["sha256"]:
        raise DataError(f"{run.path} is still being written; publish it when its training ended")
    return sha256


def _card_text(facts: CardFacts, own: str | None) -> str:
    """The publisher's own card or the written one, if it may go out."""
    data = facts.run["data"]
    if own is None and not origin(data, facts.data_note):
        raise DataError(
            f"where the faces of the layout {data.get('layout')} come from and under which licence "
            "is known to you alone; say it with --data-note TEXT"
        )
    return checked_card(model_card(facts) if own is None else own, facts.class_names)


def _scores(run: Run, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Metrics of the splits that were measured, the test split first."""
    found = {}
    for split in SPLITS:
        path = run.evaluation(split) / "metrics.json"
        if not path.is_file():
            continue
        metrics = _json(path)
        whole = isinstance(metrics.get("per_class"), dict) and metrics.get("n")
        if not whole or tuple(metrics.get("class_names") or ()) != bundle.class_names:
            raise DataError(f"{path} is not of this model; measure it again with `adafer evaluate`")
        found[split] = metrics
    if not found:
        raise DataError(
            f"{run.path} was not measured on any split, and a model without figures is not "
            f"published; run `adafer evaluate {run.path}` first"
        )
    return found


def _verified_graphs(
    run: Run, bundle: Bundle, tell: Callable[[str], None]
) -> tuple[dict[str, bytes], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Bytes, proofs and records of the ONNX file and, where there is one, of its 8-bit form."""
    found = {ONNX: _verified_onnx(run, bundle, tell)}
    if (run.exports / INT8).exists():
        found[INT8] = _verified_int8(run, found[ONNX][1]["sha256"])
    return (
        {name: graph for name, (graph, _, _) in found.items()},
        {name: proof for name, (_, proof, _) in found.items()},
        {name: record for name, (_, _, record) in found.items()},
    )


def _verified_onnx(
    run: Run, bundle: Bundle, tell: Callable[[str], None]
) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Bytes of the ONNX file, what was compared, how it was made; all of these very weights."""
    path = run.exports / ONNX
    if not path.exists():
        tell(f"no {path} yet; exporting it")
        export_onnx(bundle, path, tell=tell)
    again = f"run `adafer export {run.path}` again"
    opened = load(path)  # refuses another hash than the record's, and data in other files
    proof, record = (_json(run.exports / name, needed=False).get(ONNX) for name in (PARITY, RECORD))
    if not isinstance(proof, dict) or not proof.get("parity") or not isinstance(record, dict):
        raise DataError(f"{path} has no record that it was compared with the weights; {again}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != proof.get("sha256"):
        raise DataError(f"{path} is not the file that was compared with the weights; {again}")
    if not _answers_alike(opened, data, bundle):
        raise DataError(f"{path} answers otherwise than the weights of this run; {again}")
    told = {key: value for key, value in record.items() if key != "remarks"}
    return data, without_places(proof), without_places(told)


def _verified_int8(run: Run, made_of: str) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Bytes of the file in 8 bits, its hash, and what it costs; made of this very ONNX file."""
    path = run.exports / INT8
    again = f"run `adafer export {run.path} --int8` again, or remove it"
    proof, record = (_json(run.exports / name, needed=False).get(INT8) for name in (PARITY, RECORD))
    if not isinstance(proof, dict) or not isinstance(record, dict):
        raise DataError(f"{path} has no record of what it costs; {again}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != proof.get("sha256"):
        raise DataError(f"{path} is not the file that was measured; {again}")
    if record.get("made_of") != made_of:
        raise DataError(f"{path} was not made of {ONNX} beside it; {again}")
    return data, without_places(proof), without_places(record)


def _answers_alike(opened: Predictor, data: bytes, bundle: Bundle) -> bool:
    """Whether an ONNX file is these weights: the same classes, faces, scale and answers."""
    if (
        opened.class_names != bundle.class_names
        or opened.preprocessing != bundle.preprocessing
        or not _same_temperature(data, bundle.temperature)
    ):
        return False
    try:
        module = fixed_depth(bundle.model, opened.max_steps)
        compared(module, data, trial_inputs(module, bundle.preprocessing.size))
    except AdaferError:
        return False
    return True


def _same_temperature(data: bytes, temperature: float) -> bool:
    told = {p.key: p.value for p in onnx.load_model_from_string(data).metadata_props}
    return float(told.get("temperature", 1)) == temperature


def _copied(folder: Path) -> dict[str, bytes]:
    """Files that go out as they are; a plot that is no picture is refused."""
    found = {}
    for place in AS_THEY_ARE:
        path = folder / place
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".png" and not data.startswith(_PNG):
            raise DataError(f"{path} is no PNG; write it again with `adafer evaluate`")
        found[place] = data
    return found


def _refuse_secrets(files: Mapping[str, bytes]) -> None:
    """Raise DataError where a file holds a token or the path of somebody's home; none is shown."""
    secrets = {
        value.encode()
        for name, value in os.environ.items()
        if _SECRET_WORDS.search(name) and len(value) >= _SHORTEST_SECRET
    }
    home = str(Path.home())
    homes = {f"{home}/".encode()} if len(home) > 1 else set()
    for place, data in files.items():
        if _TOKENS.search(data) or any(secret in data for secret in secrets):
            raise DataError(f"{place} would publish a token or password; remove it there")
        if any(found in data for found in homes):
            raise DataError(f"{place} would publish a path of this machine; remove it there")


def _json(path: Path, *, needed: bool = True) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = None if needed else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path} is missing or damaged; write it again")
    return found


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(finite(values), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
