"""`adafer explain`: which faces, what is written, and what is refused."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import adafer
from adafer import cli
from adafer.bundle import load_bundle
from adafer.errors import DataError, WordsError
from adafer.evaluation import measured
from adafer.run import open_run
from adafer.studies.explain import explain_run
from adafer.studies.explain_faces import Wish, choose, measured_split


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adafer.train(
        "act-graves", runs=tmp_path_factory.mktemp("runs"), toy_faces=112, channels=16,
        stem_channels=8, max_steps=3, batch_size=32, workers=0, epochs=1,
    ).path  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_holds_page_panels_maps_and_checks(run: Path) -> None:
    page = explain_run(run, methods=("gradcam", "hirescam"), wish=Wish(worst=4), name="worst")
    folder = page.parent
    listed = rows(folder / "faces.csv")
    predictions = measured(open_run(run), "val")
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    surest = wrong[np.argsort(-predictions.probabilities[wrong].max(1), kind="stable")][:4]
    assert [row["id"] for row in listed] == [predictions.ids[place] for place in surest]
    assert all(row["label"] != row["prediction"] == row["target"] for row in listed)
    for row, place in zip(listed, surest, strict=True):
        assert float(row["probability"]) == pytest.approx(
            predictions.probabilities[place].max(), abs=1e-5
        )
        assert int(row["steps"]) == predictions.steps[place]
    maps = load_file(folder / "maps.safetensors")
    assert {name: values.shape for name, values in maps.items()} == {
        "gradcam": (3, 4, 48, 48), "hirescam": (3, 4, 48, 48),
    }  # fmt: skip
    checks = json.loads((folder / "sanity.json").read_text())
    assert set(checks) == {"gradcam", "hirescam"}
    assert list(checks["gradcam"]["shuffled"]) == ["classifier", "halting", "block", "stem"]
    panels = sorted(path.name for path in (folder / "panels" / "gradcam").iterdir())
    assert panels == ["001.png", "002.png", "003.png", "004.png"]
    text = page.read_text()
    assert "not what a person feels" in " ".join(text.split())
    assert "What to believe" in text
    assert "NaN" not in re.sub(r"base64,[^\"]+", "", text)


def test_a_probe_names_the_same_faces_for_another_model(run: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe.txt"
    first = explain_run(run, wish=Wish(class_name="fear"), save_probe=probe, sanity=False)
    again = explain_run(run, wish=Wish(probe=probe), sanity=False)
    assert again.parent.name == "faces-2"  # nothing is written over
    assert rows(first.parent / "faces.csv") == rows(again.parent / "faces.csv")
    assert {row["label"] for row in rows(again.parent / "faces.csv")} == {"fear"}
    ours, theirs = (load_file(p.parent / "maps.safetensors")["gradcam"] for p in (first, again))
    assert np.array_equal(ours, theirs)


def test_pictures_from_elsewhere_have_no_label(run: Path, tmp_path: Path) -> None:
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    page = explain_run(
        run, wish=Wish(images=(tmp_path,)), target="happiness", name="out", sanity=False
    )
    listed = rows(page.parent / "faces.csv")
    assert [Path(row["id"]).name for row in listed] == ["0.png", "1.png"]
    assert {(row["label"], row["target"]) for row in listed} == {("", "happiness")}
    predictor = adafer.load(run)
    for row in listed:
        (answer,) = predictor.predict([row["id"]])
        assert answer.label == row["prediction"]


def test_without_a_wish_each_label_is_shown(run: Path) -> None:
    bundle = load_bundle(run)
    there = measured_split(open_run(run), open_run(run).recipe(), bundle, "val")
    faces = choose(Wish(), there, bundle)
    assert set(faces.labels.tolist()) == set(there.predictions.labels.tolist())
    assert len(set(faces.ids)) == len(faces.ids)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(class_name="joy"), "the model knows no 'joy'"),
        (Wish(names=("nobody",)), "no face 'nobody' in val"),
        (Wish(probe=Path("none.txt")), "write one with --save-probe"),
        (Wish(images=(Path("none.png"),)), "correct --images"),
    ],
)
def test_faces_that_are_not_there_are_told(run: Path, wish: Wish, sentence: str) -> None:
    with pytest.raises((WordsError, DataError), match=sentence):
        explain_run(run, wish=wish)


def test_other_wrong_words_are_one_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code, sentence in (
        (["--method", "gradcan"], 2, "did you mean gradcam?"),
        (["--target", "joy"], 2, "--target takes predicted, label or one of"),
        (["--split", "test"], 3, "was not measured on test"),
        (["--method", "attention"], 2, "no self-attention"),
    ):
        assert cli.run(["explain", str(run), *words]) == code
        printed = capsys.readouterr().err
        assert sentence in printed
        assert printed.count("\n") == 1
    assert not (run / "explain" / "attention").exists()
