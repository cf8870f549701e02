"""Explain a run's answers: maps over faces, checked, as pictures, numbers and a page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn

from adafer.analysis.saliency import normalised, parts
from adafer.bundle import Which, load_bundle
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.engine import hardware
from adafer.errors import WordsError
from adafer.explain.maps import METHODS, Maps, as_found, explain
from adafer.explain.sanity import deletion_insertion, randomised_similarity
from adafer.image import Preprocessing
from adafer.plain_values import finite
from adafer.predictions_file import as_text, csv_bytes, write_bytes
from adafer.progress import Watcher, usual_watcher
from adafer.report.overlay import panel, strip
from adafer.report.page import render_sections
from adafer.report.study.explanation import (
    Evidence,
    Explained,
    Looks,
    MethodResult,
    explanation_sections,
)
from adafer.report.wording import count
from adafer.responsible_use import MEANING, STATEMENT
from adafer.run import Run, open_run, write_json, write_text
from adafer.studies.explain_faces import Faces, Measured, Wish, choose, measured_split

SLOW = {"shap": 8, "lime": 8}
"""Most faces of a slow method."""
CHECKED = 12
"""Faces that the sanity checks look at."""
LOOKED_AT = 100
"""Faces of each predicted class whose maps are averaged."""
STRIP = 5
"""Most steps whose maps are shown beside a face."""
BACKGROUND = 16
"""Training faces that Shapley values are taken against."""
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom is asked, about which faces."""

    model: nn.Module
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    device: torch.device
    faces: Faces
    targets: Tensor  # (N,) class that is explained
    probabilities: NDArray[np.float64]  # (N, C)
    steps: NDArray[np.int64] | None  # (N,) whole steps taken

    def images(self, faces: Faces) -> Tensor:
        """Faces as the model reads them, (N, 3, S, S)."""
        return torch.from_numpy(self.preprocessing.normalised(faces.pixels)).to(self.device)


def explain_run(
    path: str | Path,
    *,
    methods: Sequence[str] = ("gradcam",),
    wish: Wish | None = None,
    split: str = "val",
    target: str = "predicted",
    layer: str = "",
    samples: int = 0,
    sanity: bool = True,
    name: str = "faces",
    save_probe: Path | None = None,
    which: Which = "best",
    device: str = "auto",
    seed: int = 0,
    watcher: Watcher | None = None,
) -> Path:
    """Explain the answers of a run's model and return the page.

    Writes `RUN/explain/NAME/`: `explain.html`, `panels/METHOD/*.png`, `maps.safetensors`,
    `faces.csv`, `looks_at.csv` and `sanity.json`. Faces of a split must have been measured.

    Raises:
        WordsError: an unknown method, class, layer or target, or a wish for no face.
        DataError: no run there, a split that was not measured, or pictures that cannot be read.
        MachineError: a library of the extra `explain` is missing.
    """
    watcher, wish = watcher or usual_watcher(), wish or Wish()
    for method in methods:
        if method not in METHODS:
            explain(method, nn.Identity(), torch.empty(0), torch.empty(0))  # says what there is
    run = open_run(Path(path))
    bundle = load_bundle(run.path, which)
    chosen = hardware.choose_device(device)
    there = None if wish.images else measured_split(run, run.recipe(), bundle, split)
    faces = choose(wish, there, bundle)
    model = bundle.model.to(chosen)
    subject = _subject(model, bundle.class_names, bundle.preprocessing, chosen, faces, target)
    background = _background(run, subject, seed) if "shap" in methods else None
    results, kept = [], {}
    for method in methods:
        few = _first(subject, SLOW.get(method, len(faces.ids)))
        if len(few.faces.ids) < len(faces.ids):
            watcher.said(f"{method} is slow: the first {len(few.faces.ids)} faces only")
        maps = _maps(method, few, layer, background, seed, samples, watcher)
        kept[method] = maps.values
        evidence = (
            _evidence(method, few, maps, layer, background, seed, samples) if sanity else None
        )
        results.append(_result(method, few, maps, evidence))
    looked_with = next((m for m in methods if METHODS[m][1] is False and m != "attention"), "")
    looks = _looks(subject, there, looked_with, layer, watcher) if looked_with and there else []
    folder = _new_folder(run.path / "explain", name)
    _write(folder, subject, results, kept, looks)
    if save_probe is not None:
        write_text(save_probe, "\n".join(faces.ids) + "\n")
    page = _page(run, folder, split if there else "pictures", results, looks, looked_with)
    watcher.said(f"panels and tables: {folder}")
    watcher.said(f"page: {page}")
    return page


def _subject(
    model: nn.Module,
    class_names: tuple[str, ...],
    preprocessing: Preprocessing,
    device: torch.device,
    faces: Faces,
    target: str,
) -> Subject:
    images = torch.from_numpy(preprocessing.normalised(faces.pixels)).to(device)
    with as_found(model), torch.no_grad():
        outputs = [model(part) for part in torch.split(images, BATCH)]
    chances = torch.cat([output.logits for output in outputs]).softmax(1).double().cpu()
    steps = None
    if hasattr(outputs[0], "steps"):
        steps = torch.cat([output.steps for output in outputs]).cpu().numpy()
    return Subject(
        model=model,
        class_names=class_names,
        preprocessing=preprocessing,
        device=device,
        faces=faces,
        targets=_targets(target, chances, faces, class_names).to(device),
        probabilities=chances.numpy(),
        steps=steps,
    )


def _targets(target: str, chances: Tensor, faces: Faces, class_names: tuple[str, ...]) -> Tensor:
    predicted = chances.argmax(1)
    if target == "predicted":
        return predicted
    if target == "label":
        given = torch.from_numpy(faces.labels)
        return torch.where(given >= 0, given, predicted)
    if target not in class_names:
        raise WordsError(f"--target takes predicted, label or one of {', '.join(class_names)}")
    return torch.full_like(predicted, class_names.index(target))


def _first(subject: Subject, most: int) -> Subject:
    faces = subject.faces
    return Subject(
        model=subject.model,
        class_names=subject.class_names,
        preprocessing=subject.preprocessing,
        device=subject.device,
        faces=Faces(ids=faces.ids[:most], pixels=faces.pixels[:most], labels=faces.labels[:most]),
        targets=subject.targets[:most],
        probabilities=subject.probabilities[:most],
        steps=None if subject.steps is None else subject.steps[:most],
    )


def _background(run: Run, subject: Subject, seed: int) -> Tensor:
    """Training faces, the same for every call with this seed."""
    listing = open_data(run.recipe().data).train
    drawn = np.sort(np.random.default_rng(seed).permutation(len(listing))[:BACKGROUND])
    faces = FaceDataset(listing.take(drawn), subject.preprocessing)
    pixels = faces.faces(np.arange(len(faces)))
    return torch.from_numpy(subject.preprocessing.normalised(pixels)).to(subject.device)


def _maps(
    method: str,
    subject: Subject,
    layer: str,
    background: Tensor | None,
    seed: int,
    samples: int,
    watcher: Watcher,
) -> Maps:
    images, found = subject.images(subject.faces), list[Maps]()
    parts_of = torch.split(torch.arange(len(images)), 1 if method in SLOW else BATCH)
    for number, part in enumerate(parts_of, 1):
        watcher.stepped(1, number, len(parts_of), 0.0)
        found.append(
            explain(
                method, subject.model, images[part], subject.targets[part], layer=layer,
                background=background, seed=seed, samples=samples,
            )
        )  # fmt: skip
    watcher.rest()
    layers = sorted({part.layer for part in found})
    return Maps(
        method=method,
        values=np.concatenate([part.values for part in found], axis=1),
        layer=" and ".join(layers),
        signed=found[0].signed,
    )


def _last(subject: Subject, maps: Maps) -> NDArray[np.float32]:
    """Map of each face at the step at which it halted, (N, H, W)."""
    count = maps.values.shape[1]
    step = np.full(count, len(maps.values))
    if subject.steps is not None:
        step = np.minimum(subject.steps, step)
    found: NDArray[np.float32] = maps.values[step - 1, np.arange(count)]
    return found


def _evidence(
    method: str,
    subject: Subject,
    maps: Maps,
    layer: str,
    background: Tensor | None,
    seed: int,
    samples: int,
) -> Evidence:
    """Check a method on the first faces; slow ones on fewer."""
    few = _first(subject, 3 if method in SLOW else CHECKED)
    images = few.images(few.faces)
    similar = randomised_similarity(
        method, few.model, images, few.targets, layer=layer, background=background, seed=seed,
        samples=samples,
    )  # fmt: skip
    whole = _first(subject, CHECKED)
    shown = _last(subject, maps)[: len(whole.faces.ids)]
    curves = deletion_insertion(
        whole.model, whole.images(whole.faces), whole.targets, shown, seed=seed
    )
    return Evidence(
        stages=tuple((line.stage, line.correlation) for line in similar),
        deletion=curves.deletion.mean(0),
        insertion=curves.insertion.mean(0),
        random_deletion=curves.random_deletion.mean(0),
        random_insertion=curves.random_insertion.mean(0),
    )


def _result(method: str, subject: Subject, maps: Maps, evidence: Evidence | None) -> MethodResult:
    names, faces = subject.class_names, list[Explained]()
    for place, face_id in enumerate(subject.faces.ids):
        answer = int(subject.probabilities[place].argmax())
        label = int(subject.faces.labels[place])
        steps = None if subject.steps is None else int(subject.steps[place])
        shown = _shown_steps(len(maps.values), steps)
        faces.append(
            Explained(
                name=face_id,
                face=subject.faces.pixels[place],
                label=names[label] if label >= 0 else "",
                prediction=names[answer],
                probability=float(subject.probabilities[place, answer]),
                target=names[int(subject.targets[place])],
                steps=steps,
                maps=tuple(maps.values[max(step - 1, 0), place] for step in shown or (1,)),
                shown=shown,
            )
        )
    about = METHODS[method][2]
    return MethodResult(
        name=method, about=about, layer=maps.layer, signed=maps.signed, faces=tuple(faces),
        evidence=evidence,
    )  # fmt: skip


def _shown_steps(maps: int, taken: int | None) -> tuple[int, ...]:
    """Steps whose maps stand beside a face: the first to the last that it took, at most five."""
    if maps == 1 or taken is None:
        return ()
    last = min(taken, maps)
    return tuple(int(step) for step in np.unique(np.linspace(1, last, min(last, STRIP)).round()))


def _looks(
    subject: Subject, there: Measured, method: str, layer: str, watcher: Watcher
) -> list[Looks]:
    """Mean map of the faces of each predicted class."""
    predicted, found = there.predictions.predicted, list[Looks]()
    for number, name in enumerate(subject.class_names):
        here = np.flatnonzero(predicted == number)[:LOOKED_AT]
        if len(here) < 2:
            continue
        faces = there.faces(here)
        named = _subject(
            subject.model, subject.class_names, subject.preprocessing, subject.device, faces, name
        )
        maps = _last(named, _maps(method, named, layer, None, 0, 0, watcher))
        found.append(
            Looks(
                name=name,
                faces=len(here),
                mean_face=faces.pixels.mean(0).round().astype(np.uint8),
                mean_map=normalised(maps).mean(0).astype(np.float32),
                parts=parts(maps),
            )
        )
    return found


def _new_folder(parent: Path, name: str) -> Path:
    number, folder = 1, parent / name
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder


def _write(
    folder: Path,
    subject: Subject,
    results: Sequence[MethodResult],
    maps: dict[str, NDArray[np.float32]],
    looks: Sequence[Looks],
) -> None:
    for result in results:
        for number, face in enumerate(result.faces, 1):
            titles = ["face", *(f"step {step}" for step in face.shown)]
            titles += [] if face.shown else [result.name]
            data = panel(
                strip(face.face, face.maps, result.signed), titles, f"{face.said}, {face.labelled}",
                f"{result.name} for apparent {face.target}",
            )  # fmt: skip
            write_bytes(folder / "panels" / result.name / f"{number:03}.png", data)
    columns = ("id", "label", "prediction", "probability", "steps", "target")
    rows = [
        (as_text(face.name), face.label, face.prediction, f"{face.probability:.6f}",
         "" if face.steps is None else face.steps, face.target)
        for face in max(results, key=lambda result: len(result.faces)).faces
    ]  # fmt: skip
    write_bytes(folder / "faces.csv", csv_bytes([columns, *rows]))
    write_bytes(folder / "maps.safetensors", save(dict(maps)))
    if looks:
        names = [part.name for part in looks[0].parts]
        shares = [[look.name, look.faces, *(part.share for part in look.parts)] for look in looks]
        write_bytes(folder / "looks_at.csv", csv_bytes([["named", "faces", *names], *shares]))
    told = {
        result.name: {
            "layer": result.layer,
            "shuffled": dict(result.evidence.stages),
            **{
                key: float(getattr(result.evidence, key).mean())
                for key in ("deletion", "insertion", "random_deletion", "random_insertion")
            },
        }
        for result in results
        if result.evidence is not None
    }
    write_json(folder / "sanity.json", finite(json.loads(json.dumps(told))))


def _page(
    run: Run,
    folder: Path,
    split: str,
    results: Sequence[MethodResult],
    looks: Sequence[Looks],
    looked_with: str,
) -> Path:
    shown = max(len(result.faces) for result in results)
    text = render_sections(
        title=f"Why: {run.path.name}",
        kicker=f"Explanations, {split}",
        lead=f"{count(shown, 'face')}. {MEANING} {STATEMENT}",
        sections=explanation_sections(results, looks, looked_with),
    )
    page = folder / "explain.html"
    write_bytes(page, text.encode("utf-8", "replace"))
    return page
