"""The model card: README.md of a repository, from what a run measured; and what it must hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from adafer.errors import DataError
from adafer.export import card_sections as sections
from adafer.export.card_data import hub_sets, is_drawn, title

SPLIT_ORDER = ("test", "val")

_SHORTEST = 40  # characters of a section that says something
_PLACEHOLDER = re.compile(r"(?i:more information needed|lorem ipsum)|\bTODO\b|\bTBD\b")
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NEEDED = {
    "intended use": r"intended uses?\b",
    "prohibited uses": r"(prohibited|forbidden) uses?\b",
    "data": r"(training |evaluation )?data(set|sets| set| sets)?\b",
    "per-class results": r"(per[- ]class results|results (per|by) class)\b",
}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a card is written from; nothing here knows the machine."""

    repository: str  # OWNER/NAME
    recipe: Mapping[str, Any]
    run: Mapping[str, Any]  # as `public_facts` gives it
    scores: Mapping[str, Mapping[str, Any]]  # metrics.json by split
    config: Mapping[str, Any]  # as `public_config` gives it
    parity: Mapping[str, Any]  # what was compared when the ONNX file was verified
    onnx: Mapping[str, Any]  # opset, max_steps and size of the ONNX file
    places: frozenset[str]  # of the other files in the repository
    int8: Mapping[str, Any] = field(default_factory=dict)  # what the file in 8 bits costs
    data_note: str = ""  # origin and licence of the data, in the publisher's words
    license: str = ""  # of the weights; empty lets the data decide

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the model's order."""
        return tuple(self.config["class_names"])


def model_card(facts: CardFacts) -> str:
    """Return the card: YAML front matter with model-index, then the text.

    After Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993.
    """
    scores = {name: facts.scores[name] for name in SPLIT_ORDER if name in facts.scores}
    repository = facts.repository
    parts = [
        sections.opening(repository, facts.recipe, facts.run, scores),
        sections.uses(),
        sections.how_to_load(repository, facts.config, facts.onnx),
        sections.data(facts.run, facts.recipe, facts.data_note),
        sections.results(facts.run, facts.config, scores),
        sections.per_class(scores),
        sections.steps(scores),
        sections.training(facts.recipe, facts.run, facts.config),
        sections.files(facts.places, facts.parity, facts.onnx, facts.config, facts.int8),
        sections.limits(facts.run),
        sections.citation(facts.run),
    ]
    text = "\n\n".join(part for part in parts if part)
    return f"---\n{_front_matter(facts, scores)}\n---\n\n{text}\n"


def card_lacks(text: str, class_names: Sequence[str]) -> list[str]:
    """Name what a card must have and this text has not; empty for a card that may go out.

    Needed are headings with something below them for intended use, prohibited uses (work and
    education among them), data and per-class results, the latter as a table with a row of figures
    for every class. Comments, code and what only stands for a text do not count.
    """
    bodies = _bodies(text)
    lacking = [need for need, body in bodies.items() if len(body) < _SHORTEST]
    banned = bodies["prohibited uses"].lower()
    if "prohibited uses" not in lacking:
        if not re.search(r"\bwork|\bemploy|\bhiring", banned):
            lacking.append("prohibited uses: work")
        if not re.search(r"\bschool|\beducation", banned):
            lacking.append("prohibited uses: education")
    if "per-class results" not in lacking:
        rows = [line for line in bodies["per-class results"].splitlines() if line[:1] == "|"]
        cells = [row.split("|")[1].strip() for row in rows if re.search(r"\d", row)]
        named = {*cells, *(text.strip("*`") for text in cells)}
        lacking += [
            f"per-class results: {name}" for name in class_names if sections.cell(name) not in named
        ]
    return lacking


def checked_card(text: str, class_names: Sequence[str]) -> str:
    """Return the text; raises DataError where it is no card that may go out."""
    front = _FRONT.match(text)
    try:
        values = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict) or not values.get("license") or "model-index" not in values:
        raise DataError(
            "the card has no front matter with license and model-index; begin with the card that "
            "`adafer publish --dry-run` shows"
        )
    lacking = card_lacks(text, class_names)
    if lacking:
        raise DataError(
            f"the card lacks {', '.join(lacking)}; begin with the card that `adafer publish "
            "--dry-run` shows"
        )
    return text


def _bodies(text: str) -> dict[str, str]:
    """Text below the headings that are needed, up to the next heading of the same height."""
    visible = _FENCE.sub("", _COMMENT.sub("", _FRONT.sub("", text)))
    headings = list(re.finditer(r"^(#{1,6})\s+(.+?)\s*#*$", visible, re.MULTILINE))
    bodies = dict.fromkeys(_NEEDED, "")
    for place, heading in enumerate(headings):
        ends = [
            later.start() for later in headings[place + 1 :] if len(later[1]) <= len(heading[1])
        ]
        body = visible[heading.end() : min(ends, default=len(visible))].strip()
        for need, pattern in _NEEDED.items():
            fits = re.fullmatch(rf"\W*{pattern}.*", heading[2], re.IGNORECASE)
            if fits and not _PLACEHOLDER.search(body):
                bodies[need] += body
    return bodies


def _front_matter(facts: CardFacts, scores: Mapping[str, Mapping[str, Any]]) -> str:
    data = facts.run.get("data", {})
    drawn = is_drawn(data)
    license = facts.license or ("apache-2.0" if drawn else "other")
    other = license == "other"
    started = facts.run.get("started_from") or {}
    source = str(started.get("source", ""))
    steps = facts.config["recipe"].get("model", {}).get("max_steps")
    card = ModelCardData(
        license=license,
        license_name="terms-of-the-training-data" if other else None,
        license_link=f"https://huggingface.co/{facts.repository}#data" if other else None,
        library_name="adafer",
        pipeline_tag="image-classification",
        base_model=source.removeprefix("hub ") if source.startswith("hub ") else None,
        datasets=hub_sets(data) or None,
        metrics=["accuracy", "f1"],
        tags=[
            *("facial-expression-recognition", "safetensors", "onnx"),
            *(["adaptive-computation", "early-exit"] if steps else []),
        ],
        model_name=facts.repository.partition("/")[2],
        eval_results=[
            result for split, found in scores.items() for result in _results(split, found, data)
        ],
    )
    return card.to_yaml()


def _results(split: str, scores: Mapping[str, Any], data: Mapping[str, Any]) -> list[EvalResult]:
    sets = hub_sets(data)
    figures = [
        ("accuracy", "accuracy", scores["accuracy"], None),
        ("f1", "macro F1", scores["macro_f1"], {"average": "macro"}),
        ("accuracy", "balanced accuracy", scores.get("balanced_accuracy"), None),
    ]
    return [
        EvalResult(
            task_type="image-classification",
            task_name="apparent facial expression",
            dataset_type=sets[0] if sets else str(data.get("layout", "unknown")),
            dataset_name=title(data),
            dataset_split={"val": "validation"}.get(split, split),
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(value), 4),
            metric_args=arguments,
        )
        for kind, name, value, arguments in figures
        if value is not None
    ]
