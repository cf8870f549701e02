"""The model card: what it says, where that is from, and which cards may not go out."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from adafer.data import LAYOUTS, READERS
from adafer.errors import DataError
from adafer.export.card import CardFacts, card_lacks, checked_card, model_card
from adafer.export.card_data import TITLES, hub_sets, is_drawn, origin, protocol, title
from adafer.export.card_sections import cell, table
from adafer.recipes import RECIPES
from adafer.responsible_use import MEANING, STATEMENT

ROOT = Path(__file__).parents[2]
NAMES = ("neutral", "happiness", "fear")


def metrics(n: int, accuracy: float, steps: bool = False) -> dict[str, Any]:
    """Figures as metrics.json has them; the class neutral is found always, fear never."""
    recall = {"neutral": 1.0, "happiness": 0.625, "fear": 0.0}
    return {
        "class_names": list(NAMES),
        "n": n,
        "accuracy": accuracy,
        "macro_f1": 0.5123,
        "weighted_f1": 0.6,
        "balanced_accuracy": 0.55,
        "ece": 0.0432,
        "brier": 0.3,
        "intervals": {"accuracy": [accuracy - 0.02, accuracy + 0.01]},
        "mean_steps": 2.25 if steps else None,
        "step_counts": [1, 1, 2] if steps else None,
        "accuracy_by_step": [0.5, 0.75, None] if steps else None,
        "spearman_steps_entropy": 0.42 if steps else None,
        "per_class": {
            name: {
                "name": name,
                "support": 40 if name == "fear" else 1200,
                "precision": 0.7,
                "recall": recall[name],
                "f1": 0.65,
            }
            for name in NAMES
        },
    }


@pytest.fixture
def facts() -> CardFacts:
    recipe = RECIPES["act-graves"].to_dict()
    return CardFacts(
        repository="jane/fer-small",
        recipe=recipe,
        run={
            "parameters": 98377,
            "seed": 4,
            "device": "cpu",
            "precision": "bf16",
            "versions": {"adafer": "0.1.0"},
            "test_uses": [{"n": 3137}, {"n": 3137}],
            "data": {
                "source": "ferplus",
                "layout": "ferplus",
                "train": {"neutral": 1000, "happiness": 500, "fear": 7},
                "val": {"neutral": 100, "happiness": 50, "fear": 3},
                "hashes": {"train": "ab" * 32},
                "leaks": {"policy": "drop", "val": 245, "test": 244},
                "left_out": {"no vote for an emotion": 3},
                "unreadable": 2,
            },
        },
        scores={"val": metrics(3191, 0.78, True), "test": metrics(3137, 0.7654, True)},
        config={
            "class_names": list(NAMES),
            "epoch": 9,
            "metric": "val_macro_f1",
            "files": {"best": {"sha256": "cd" * 32}},
            "preprocessing": {"size": 48, "grey": True},
            "history": [{}] * 12,
            "recipe": recipe,
        },
        parity={"faces": 63, "probability_difference": 4.2e-7},
        onnx={"opset": 20, "size": 420_000},
        places=frozenset({"results.csv"}),
    )


def with_data(facts: CardFacts, **data: Any) -> CardFacts:
    return replace(facts, run={**facts.run, "data": {**facts.run["data"], **data}})


def section(card: str, heading: str) -> str:
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    assert match, heading
    return " ".join(match[1].split())


def front(card: str) -> Mapping[str, Any]:
    values = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(values, dict)
    return values


# ── what it says ──────────────────────────────────────────────────────────────────────────────────


def test_every_section_is_there_in_order(facts: CardFacts) -> None:
    assert re.findall(r"^## (.*)$", model_card(facts), re.MULTILINE) == [
        *("Intended use", "Prohibited uses", "How to load", "Data", "Results"),
        *("Per-class results", "Steps", "Training", "Files", "Limits", "Citation"),
    ]


def test_the_words_of_responsible_use_stand_in_it(facts: CardFacts) -> None:
    card = model_card(facts)
    assert STATEMENT in section(card, "Prohibited uses")
    assert MEANING in section(card, "Intended use")
    for words in ("Article 5(1)(f)", "Article 50(3)", "at work or in education"):
        assert words in section(card, "Prohibited uses")
    assert not re.search(r"emotions? (you|he|she|they) feel|emotion felt", card)


def test_the_hub_reads_the_front_matter_as_it_was_meant(facts: CardFacts) -> None:
    data = cast(ModelCardData, ModelCard(model_card(facts)).data)
    assert data.library_name == "adafer"
    assert data.pipeline_tag == "image-classification"
    assert data.model_name == "fer-small"
    found = {
        (result.dataset_split, result.metric_name): (result.metric_value, result.dataset_name)
        for result in data.eval_results or ()
    }
    assert found["test", "accuracy"] == (0.7654, "FER+")
    assert found["test", "macro F1"] == (0.5123, "FER+")
    assert found["validation", "accuracy"] == (0.78, "FER+")
    assert {"facial-expression-recognition", "onnx", "early-exit"} <= set(data.tags or ())


def test_overall_figures_have_n_interval_and_who_chose_the_model(facts: CardFacts) -> None:
    told = section(model_card(facts), "Results")
    assert "| | test, n = 3,137 | validation, n = 3,191 |" in told
    assert "| accuracy | 76.5 % (74.5 to 77.5) | 78.0 % (76.0 to 79.0) |" in told
    assert "| macro F1 | 51.2 % | 51.2 % |" in told
    assert "The epoch (9) was chosen by `val_macro_f1` on the **validation** split" in told
    assert "The test split was used twice with this model" in told
    never = replace(facts, run={**facts.run, "test_uses": []})
    assert "was never used with this model" in section(model_card(never), "Results")


def test_each_class_has_its_row_and_the_weakest_is_named(facts: CardFacts) -> None:
    told = section(model_card(facts), "Per-class results")
    assert told.startswith("On the test split.")
    assert "| happiness | 1,200 | 62.5 % | 70.0 % | 65.0 % |" in told
    assert "| fear | 40 | 0.0 % | 70.0 % | 65.0 % |" in told
    assert "Weakest: fear, of whose faces 0.0 % are found" in told
    assert "Fewer than 50 faces: fear;" in told


def test_steps_are_told_of_models_that_take_them_alone(facts: CardFacts) -> None:
    told = section(model_card(facts), "Steps")
    assert "Mean 2.25 of 3 steps on the test split" in told
    assert "annotators' disagreement: 0.42" in told
    assert "| 2 | 1 | 75.0 % | | 3 | 2 | – |" in told
    without = replace(facts, scores={"val": metrics(10, 0.5)})
    assert "## Steps" not in model_card(without)
    assert "On the validation split." in section(model_card(without), "Per-class results")


def test_the_data_has_name_licence_counts_protocol_and_what_was_left_out(facts: CardFacts) -> None:
    told = section(model_card(facts), "Data")
    assert "**FER+.** Source: https://github.com/microsoft/FERPlus" in told
    assert "Licence: votes MIT; images for research." in told
    assert "arXiv:1608.01041" in told
    assert "more than half of the remaining votes" in told
    assert "245 validation and 244 test faces stood in train pixel for pixel" in told
    assert "near copies were not looked for" in told
    facts.run["data"]["leaks"] |= {"policy": "drop-near", "near": {"val": 437, "test": 447}}
    assert (
        "245 validation and 244 test faces stood in train pixel for pixel, and near copies of 437 "
        "validation and 447 test faces; the copies were left out of train."
    ) in section(model_card(facts), "Data")
    assert "no vote for an emotion: 3" in told
    assert "could not be read: 2" in told
    assert "| neutral | 1,000 | 100 |" in told
    assert "| **all** | 1,507 | 153 |" in told
    assert "assume that they may not be used commercially" in told


def test_loading_is_pinned_by_the_hash(facts: CardFacts) -> None:
    told = section(model_card(facts), "How to load")
    assert f'adafer.load( "jane/fer-small", sha256="{"cd" * 32}", )' in told
    assert "adafer predict jane/fer-small faces/" in told
    assert "`export/model.onnx` (opset 20)" in told


def test_only_files_that_are_there_are_listed(facts: CardFacts) -> None:
    told = section(model_card(facts), "Files")
    assert "`results.csv`" in told
    assert "history.png" not in told
    assert "within 4.2e-07 on 63 trial faces" in told


def test_the_citation_is_that_of_the_project(facts: CardFacts) -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    told = section(model_card(facts), "Citation")
    assert f"title = {{{cff['title']}}}" in told
    assert f"version = {{{cff['version']}}}" in told
    assert f"license = {{{cff['license']}}}" in told
    assert all(f"{{{{{author['name']}}}}}" in told for author in cff["authors"])


def test_the_licence_follows_the_data_unless_it_is_given(facts: CardFacts) -> None:
    assert front(model_card(facts))["license"] == "other"
    assert front(model_card(facts))["license_name"] == "terms-of-the-training-data"
    given = front(model_card(replace(facts, license="cc-by-nc-4.0")))
    assert given["license"] == "cc-by-nc-4.0"
    assert "license_name" not in given
    toy = with_data(facts, layout="toy", source="toy")
    assert front(model_card(toy))["license"] == "apache-2.0"
    assert "free of rights" in section(model_card(toy), "Data")
    assert "drawn faces" in section(model_card(toy), "Limits")
    parts = {"sources": [{"source": "toy"}, {"source": "faces"}]}
    assert not is_drawn({"layout": "toy", "composition": parts})


def test_published_weights_and_sets_of_the_hub_are_linked(facts: CardFacts) -> None:
    run = {**facts.run, "started_from": {"source": "hub timm/resnet18.a1", "license": "apache-2.0"}}
    values = front(model_card(replace(facts, run=run)))
    assert values["base_model"] == "timm/resnet18.a1"
    data = {"source": "hf:jane/faces:big@main", "layout": "hf"}
    assert hub_sets(data) == ["jane/faces"]
    assert front(model_card(with_data(facts, **data)))["datasets"] == ["jane/faces"]


def test_every_reader_of_a_named_set_tells_a_licence() -> None:
    assert set(TITLES) <= set(READERS)
    for layout in TITLES:
        told = origin({"layout": layout})
        assert re.search("Licence: .*(research|MIT)|free of rights", told), layout
        assert "Class order" not in told
        assert "Counts" not in told
    for layout in set(LAYOUTS) - set(TITLES):
        assert origin({"layout": layout}) == ""
        assert origin({"layout": layout}, "Mine, CC0.") == "Mine, CC0."
        assert layout in title({"layout": layout})


def test_the_protocol_says_what_was_carved_and_what_was_synthetic() -> None:
    recipe = {"data": {"validation_fraction": 0.1, "split_seed": 3, "train_labels": "majority"}}
    parts = [
        {"name": "faces", "train": 900, "synthetic": False},
        {"name": "toy", "train": 100, "synthetic": True},
    ]
    facts = {
        "layout": "imagefolder",
        "val_carved_from_train": True,
        "leaks": {"policy": "stop", "val": 0, "test": 0},
        "composition": {"sources": parts, "synthetic_fraction": 0.1},
    }
    told = " ".join(protocol(facts, recipe))
    assert "10% of train was carved off, stratified, with seed 3" in told
    assert "No training face is a copy" in told
    assert "faces (900), toy (100, synthetic); 10% are synthetic" in told
    assert "FER+" not in told
    assert "Training takes the same rule." in " ".join(protocol({"layout": "ferplus"}, recipe))


@pytest.mark.parametrize(
    "name", ["a|b", "<script>alert(1)</script>", "a\nb", "[x](http://e)", "`x`", "**x**", "_x_"]
)
def test_a_class_name_can_neither_break_the_table_nor_be_read_as_code(
    facts: CardFacts, name: str
) -> None:
    scores = {"test": metrics(10, 0.5)}
    scores["test"]["per_class"][name] = scores["test"]["per_class"].pop("fear")
    scores["test"]["class_names"] = ["neutral", "happiness", name]
    config = {**facts.config, "class_names": ["neutral", "happiness", name]}
    hostile = replace(facts, scores=scores, config=config)
    card = model_card(hostile)
    assert checked_card(card, hostile.class_names) == card
    rows = [line for line in card.splitlines() if line.startswith(f"| {cell(name)} |")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6
    assert "<script>" not in card


def test_a_table_has_a_line_a_row() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


# ── which cards may go out ────────────────────────────────────────────────────────────────────────


def test_the_written_card_may_go_out(facts: CardFacts) -> None:
    card = model_card(facts)
    assert card_lacks(card, NAMES) == []
    assert checked_card(card, NAMES) == card


@pytest.mark.parametrize(
    ("heading", "lacks"),
    [
        ("Intended use", "intended use"),
        ("Prohibited uses", "prohibited uses"),
        ("Data", "data"),
        ("Per-class results", "per-class results"),
    ],
)
@pytest.mark.parametrize(
    "left",
    [
        "",
        "## {}\n\n",
        "## {}\n\nTODO: tell about this one day, when there is somebody with time for it.\n\n",
        "## {}\n\n[More Information Needed] and some more words to make it look like a text.\n\n",
        "<!--\n## {}\n\nA long text that nobody can see, because it is a comment.\n-->\n\n",
        "```\n## {}\n\nA long text that is shown as code and not as a section of it.\n```\n\n",
    ],
)
def test_a_card_without_a_needed_section_is_refused(
    facts: CardFacts, heading: str, lacks: str, left: str
) -> None:
    card = re.sub(
        rf"^## {heading}\n.*?(?=^## )",
        left.format(heading),
        model_card(facts),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert lacks in card_lacks(card, NAMES)
    with pytest.raises(DataError, match=f"the card lacks .*{lacks}"):
        checked_card(card, NAMES)


def test_work_and_education_must_be_among_the_prohibited_uses(facts: CardFacts) -> None:
    def with_uses(text: str) -> list[str]:
        card = re.sub(
            r"^## Prohibited uses\n.*?(?=^## )",
            f"## Prohibited uses\n\n{text}\n\n",
            model_card(facts),
            flags=re.MULTILINE | re.DOTALL,
        )
        return card_lacks(card, NAMES)

    assert with_uses("Do not use it for anything that is not nice to other people, please.") == [
        "prohibited uses: work",
        "prohibited uses: education",
    ]
    assert with_uses("Never at the place of work, whoever asks for it there, and why.") == [
        "prohibited uses: education"
    ]
    assert with_uses("Never at work or in schools, whoever asks for it there, and why.") == []


def test_every_class_needs_a_row_with_figures(facts: CardFacts) -> None:
    card = model_card(facts)
    assert card_lacks(card, (*NAMES, "anger")) == ["per-class results: anger"]
    empty = re.sub(r"^\| fear \| 40 .*$", "| fear | – | – | – | – |", card, flags=re.MULTILINE)
    assert card_lacks(empty, NAMES) == ["per-class results: fear"]


def test_a_card_of_ones_own_may_use_other_headings_and_heights(facts: CardFacts) -> None:
    card = model_card(facts)
    changed = (
        card.replace("## Intended use\n", "# Intended uses and users\n")
        .replace("## Prohibited uses\n", "### **Forbidden uses**\n")
        .replace("## Data\n", "## Training data\n")
        .replace("## Per-class results\n", "## Results by class\n")
    )
    assert card_lacks(changed, NAMES) == []


@pytest.mark.parametrize(
    "front_matter",
    ["", "---\n---\n", "---\nlicense: mit\n---\n", "---\n: [\n---\n", "---\n- a\n---\n"],
)
def test_front_matter_must_name_licence_and_results(facts: CardFacts, front_matter: str) -> None:
    body = model_card(facts).split("---\n", 2)[2]
    with pytest.raises(DataError, match="no front matter with license and model-index"):
        checked_card(front_matter + body, NAMES)
