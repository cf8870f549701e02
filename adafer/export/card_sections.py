"""The sections of a model card, each a function of a run's facts that gives Markdown."""

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from typing import Any

from adafer.export.card_data import is_drawn, origin, protocol, title
from adafer.responsible_use import MEANING, STATEMENT

Values = Mapping[str, Any]
Scores = Mapping[str, Values]  # metrics.json by split

SPLITS = {"test": "test", "val": "validation"}

_FAMILIES = {
    "recursive": "a recursive model that looks at a face for as many steps as it needs",
    "grefel": "a vision transformer with geometry-aware reliability balancing (GReFEL)",
    "transfer": "a published backbone, fine-tuned",
}


def cell(text: str) -> str:
    """Text for one cell of a table: one line, nothing that Markdown or HTML would read."""
    line = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    safe = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*\[\]]|\b_|_\b)", r"\\\1", " ".join(safe.split()))
    return escaped.replace("|", "&#124;")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, side: str = "---:") -> str:
    """Return a Markdown table, its first column to the left and figures to the right."""
    lines = [header, ["---", *[side] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def opening(repository: str, recipe: Values, run: Values, scores: Scores) -> str:
    """Name, what it is, and the figure that the rest explains."""
    name = repository.partition("/")[2]
    family = _FAMILIES.get(str(recipe.get("model_name")), cell(str(recipe.get("summary", ""))))
    told = title(run.get("data", {}))
    classes = ", ".join(cell(str(found)) for found in next(iter(scores.values()))["class_names"])
    split, best = next(iter(scores.items()))
    return (
        f"# {name}\n\nFacial expression recognition: {family}. Trained on {told} by "
        f"[adafer](#citation), recipe `{recipe.get('name')}`, "
        f"{int(run.get('parameters', 0)):,} parameters. Classes: {classes}.\n\n"
        f"Accuracy {_percent(best, 'accuracy')} and macro F1 {_percent(best, 'macro_f1')} on "
        f"{best['n']:,} {SPLITS[split]} faces. {MEANING}"
    )


def uses() -> str:
    """What the model is for and what it must not be used for."""
    return f"""\
## Intended use

Research on facial expression recognition and on adaptive computation: comparing methods, studying
how people disagree about expressions, teaching. Input is the upright crop of one face. The people
whose faces are read know it and agreed.

{MEANING} Faces do not reliably show inner emotion (Barrett et al. 2019,
doi:10.1177/1529100619832930).

## Prohibited uses

{STATEMENT}

- Inferring the emotions of people **at work or in education** (schools, universities, exams,
  meetings, call centres) is prohibited in the European Union, with medical and safety exceptions:
  EU AI Act, Regulation (EU) 2024/1689, Article 5(1)(f), since 2 February 2025. Being open source is
  no exemption.
- People who are exposed to an emotion recognition system must be told: Article 50(3), since
  2 August 2026.
- No hiring, policing, border control, credit, insurance, medical diagnosis, lie detection or
  surveillance, and no profile of a person.
- No identification of people; the model was not made for it."""


def how_to_load(repository: str, config: Values, onnx: Values) -> str:
    """How to get answers, with the weights pinned by their hash."""
    sha256 = config["files"]["best"]["sha256"]
    size = config["preprocessing"]["size"]
    return f"""\
## How to load

```python
import adafer

model = adafer.load(
    "{repository}",
    sha256="{sha256}",
)
for answer in model.predict("faces/"):  # a folder or files of face crops
    print(answer.source, answer.label, answer.probability, answer.steps)
```

In the shell: `adafer predict {repository} faces/`. Add `revision="COMMIT"` to pin the commit. Only
`weights/best.safetensors` and `weights/config.json` are fetched; no code of this repository is run.

`export/model.onnx` (opset {onnx.get("opset")}) runs without PyTorch, in ONNX Runtime or
`adafer.load("model.onnx")`. Input `images`: float32 (B, 3, {size}, {size}), prepared as its
metadata say; output `probabilities` (B, {len(config["class_names"])})."""


def data(run: Values, recipe: Values, note: str) -> str:
    """Name, origin, licence, counts and protocol of the data."""
    facts = run.get("data", {})
    train, validation = facts.get("train", {}), facts.get("val", {})
    names = list(train) or list(validation)
    rows = [[cell(n), f"{train.get(n, 0):,}", f"{validation.get(n, 0):,}"] for n in names]
    totals = [f"{sum(found.values()):,}" for found in (train, validation)]
    told = [f"**{title(facts)}.** {origin(facts, note)}", *protocol(facts, recipe)]
    if not is_drawn(facts):
        told.append(
            "The people in these pictures were not asked. No picture is part of this repository. "
            "Weights trained on such data are not free of its terms: assume that they may not be "
            "used commercially."
        )
    counts = table(["apparent expression", "train", "validation"], [*rows, ["**all**", *totals]])
    hashes = facts.get("hashes", {})
    hashed = "".join(f"\n- `{name}` {value}" for name, value in hashes.items())
    tail = f"\n\nSHA-256 of the data, as read:\n{hashed}" if hashed else ""
    return "## Data\n\n" + "\n\n".join(told) + f"\n\n{counts}{tail}"


def results(run: Values, config: Values, scores: Scores) -> str:
    """Overall figures with intervals and n, which split chose the model, how test was used."""
    rows = [
        [name, *(_with_interval(found, key) for found in scores.values())]
        for name, key in (
            ("accuracy", "accuracy"),
            ("macro F1", "macro_f1"),
            ("balanced accuracy", "balanced_accuracy"),
            ("weighted F1", "weighted_f1"),
        )
    ]
    for name, key in (("calibration error (ECE)", "ece"), ("Brier score", "brier")):
        rows.append([name, *(_number(found, key) for found in scores.values())])
    header = ["", *(f"{SPLITS[split]}, n = {found['n']:,}" for split, found in scores.items())]
    metric, epoch = config.get("metric"), config.get("epoch")
    uses = len(run.get("test_uses") or [])
    times = {0: "never used", 1: "used once", 2: "used twice"}.get(uses, f"used {uses} times")
    chosen = (
        f"The epoch ({epoch}) was chosen by `{metric}` on the **validation** split, so figures on "
        f"validation flatter the model. The test split was {times} with this model."
    )
    single = "One training with one seed: another seed gives other figures."
    temperature = config["files"]["best"].get("temperature")
    scaled = (
        f" Probabilities are scaled by a temperature of {temperature:.3f}, fitted on validation."
        if temperature
        else ""
    )
    return (
        f"## Results\n\n{table(header, rows)}\n\nIn brackets the 95 % interval over faces. "
        f"{chosen} {single}{scaled}"
    )


def per_class(scores: Scores) -> str:
    """A row of figures for every class, on the split that says most."""
    split, found = next(iter(scores.items()))
    classes = found["per_class"]
    rows = [
        [
            cell(name),
            f"{told['support']:,}",
            *(_percent(told, key) for key in ("recall", "precision", "f1")),
        ]
        for name, told in classes.items()
    ]
    header = ["apparent expression", "faces", "recall", "precision", "F1"]
    seen = {name: told for name, told in classes.items() if told["support"]}
    worst = min(seen, key=lambda name: float(seen[name]["recall"] or 0))
    rare = [cell(name) for name, told in seen.items() if told["support"] < 50]
    warning = f" Fewer than 50 faces: {', '.join(rare)}; these figures are rough." if rare else ""
    return (
        f"## Per-class results\n\nOn the {SPLITS[split]} split.\n\n{table(header, rows)}\n\n"
        f"Weakest: {cell(worst)}, of whose faces {_percent(seen[worst], 'recall')} are found."
        f"{warning} Which classes are taken for which: `eval/{split}/confusion_matrix.csv`."
    )


def steps(scores: Scores) -> str:
    """How many steps the model takes and what they change; empty for a model without steps."""
    split, found = next(iter(scores.items()))
    if found.get("mean_steps") is None:
        return ""
    counts = found.get("step_counts") or []
    by_step = found.get("accuracy_by_step") or [None] * len(counts)
    rows = [
        [str(number), f"{count:,}", "–" if accuracy is None else f"{accuracy * 100:.1f} %"]
        for number, (count, accuracy) in enumerate(zip(counts, by_step, strict=True), 1)
    ]
    header = ["step", "faces that stop here", "accuracy if all stopped here"]
    entropy = found.get("spearman_steps_entropy")
    follows = (
        ""
        if entropy is None
        else f" Rank correlation of steps with the annotators' disagreement: {entropy:.2f}."
    )
    return (
        f"## Steps\n\nMean {found['mean_steps']:.2f} of {len(counts)} steps on the {SPLITS[split]} "
        f"split.{follows} More steps mean that a face is harder for this model to name, nothing "
        f"more.\n\n{table(header, rows)}"
    )


def training(recipe: Values, run: Values, config: Values) -> str:
    """What repeats the training, in short; recipe.yaml holds all of it."""
    started = run.get("started_from") or {}
    rows = [
        ["recipe", f"`{recipe.get('name')}`"],
        ["model", _settings(str(recipe.get("model_name")), recipe.get("model", {}))],
        ["loss", _settings(str(recipe.get("loss_name")), recipe.get("loss", {}))],
        *(
            [f"phase {number}", _settings("", phase)]
            for number, phase in enumerate(recipe.get("phases", []), 1)
        ),
        ["image", _preprocessing(config["preprocessing"])],
        ["augmentation", f"`{recipe.get('data', {}).get('augment')}`"],
        ["batch size", str(recipe.get("data", {}).get("batch_size"))],
        ["seed", str(run.get("seed"))],
        ["epochs", f"{len(config.get('history', []))}, best {config.get('epoch')}"],
        ["device", f"{run.get('device')}, {run.get('precision')}"],
        ["software", ", ".join(f"{k} {v}" for k, v in run.get("versions", {}).items())],
    ]
    if started:
        licence = f", licence {started['license']}" if started.get("license") else ""
        rows.insert(2, ["started from", cell(f"{started.get('source')}{licence}")])
    return (
        f"## Training\n\n{table(['setting', 'value'], rows, side='---')}\n\n"
        "`recipe.yaml` holds every setting: `adafer train --config recipe.yaml --data FOLDER` "
        "repeats it."
    )


def files(
    places: Container[str], parity: Values, onnx: Values, config: Values, int8: Values
) -> str:
    """What lies in the repository, and how the ONNX file was verified."""
    faces, apart = parity.get("faces"), float(parity.get("probability_difference") or 0)
    rows = [
        ["`weights/best.safetensors`", f"weights, sha256 `{config['files']['best']['sha256']}`"],
        ["`weights/config.json`", "classes, preprocessing, recipe, history"],
        [
            "`export/model.onnx`",
            f"{float(onnx.get('size') or 0) / 1e6:.2f} MB; its probabilities and PyTorch's lie "
            f"within {apart:.1e} on {faces} trial faces",
        ],
        *([["`export/model.int8.onnx`", _in_8_bits(int8)]] if int8 else []),
        ["`recipe.yaml`, `run.json`", "what repeats the training, and what it ran on"],
        ["`eval/SPLIT/`", "`metrics.json` and the confusion matrix"],
    ]
    further = {"results.csv": "one row an epoch", "history.png": "the epochs as curves"}
    rows += [[f"`{place}`", told] for place, told in further.items() if place in places]
    return f"## Files\n\n{table(['file', 'what it holds'], rows, side='---')}"


def _in_8_bits(int8: Values) -> str:
    before, after, changed = int8["before"], int8["after"], int8["agreement"]
    return (
        f"{after['size'] / 1e6:.2f} MB, the same model in 8 bits: {after['accuracy']:.1%} of "
        f"{int8['faces']:,} validation faces right instead of {before['accuracy']:.1%} "
        f"({changed['lost']} lost, {changed['won']} won)"
    )


def limits(run: Values) -> str:
    """What is known to go wrong and what was not measured."""
    drawn = is_drawn(run.get("data", {}))
    toy = (
        "\n- Trained on **drawn faces**: it says nothing useful about photographs of people."
        if drawn
        else ""
    )
    return f"""\
## Limits

- Labels are what a few annotators saw in still pictures, without context; they often disagree.
- **Groups of people**: no figure here says how error rates differ between ages, genders, skin
  colours and cultures. Absence of a figure is not absence of a difference.
- Other cameras, poses, crops, lighting and cultures than those of the data lower the accuracy.
- A probability is how likely annotators would choose this word, not how certain a feeling is.
- A picture without a face gets an answer too; nothing here detects faces.{toy}"""


def citation(run: Values) -> str:
    """How to cite the program that made it."""
    version = run.get("versions", {}).get("adafer", "")
    drawn = is_drawn(run.get("data", {}))
    paper = "" if drawn else "\n\nCite the data set too: see [Data](#data)."
    return f"""\
## Citation

```bibtex
@software{{adafer,
  title = {{adafer: adaptive facial expression recognition}},
  author = {{{{The adafer developers}}}},
  version = {{{version}}},
  license = {{Apache-2.0}}
}}
```{paper}"""


def _percent(found: Values, key: str) -> str:
    value = found.get(key)
    return "–" if value is None else f"{value:.1%}".replace("%", " %")


def _number(found: Values, key: str) -> str:
    value = found.get(key)
    return "–" if value is None else f"{value:.3f}"


def _with_interval(found: Values, key: str) -> str:
    low, high = (found.get("intervals") or {}).get(key) or (None, None)
    interval = "" if low is None or high is None else f" ({low * 100:.1f} to {high * 100:.1f})"
    return f"{_percent(found, key)}{interval}"


def _settings(name: str, values: Values) -> str:
    told = [f"{key} {value}" for key, value in values.items() if value not in ("", [], (), None)]
    return cell(f"{name}: {', '.join(told)}" if name else ", ".join(told))


def _preprocessing(values: Values) -> str:
    grey = "grey" if values.get("grey") else "colour"
    return f"{values.get('size')} x {values.get('size')}, {grey}, crop {values.get('crop', 1)}"
