"""`adafer anchors` on a small trained model: its tables against the model itself."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adafer import cli
from adafer.bundle import load_bundle
from adafer.data import open_data
from adafer.data.dataset import FaceDataset
from adafer.run import open_run
from adafer.studies.anchors import study_anchors

WORDS = (
    "train", "grefel", "--no-pretrained", "--backbone", "test_vit", "--stem", "conv",
    "--patch-size", "8", "--backbone-depth", "1", "--img-size", "24", "--toy-faces", "160",
    "--epochs", "2", "--batch-size", "32", "--lr", "1e-3", "--anchors-per-class", "2",
    "--anchor-dim", "16", "--workers", "0", "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert cli.run([*WORDS, "--runs", str(runs)]) == 0
    return runs / "grefel"


def test_training_says_and_keeps_where_its_landmarks_are_from(run: Path) -> None:
    facts = open_run(run).facts()
    assert facts["data"]["landmarks"]["source"] == "canonical"
    bundle = load_bundle(run)
    assert bundle.recipe["model"]["landmark_source"] == "canonical"
    assert bundle.recipe["model"]["points"] == 5
    # the last weights are those of the last step: their trust is nearly whole
    assert 0.8 < float(load_bundle(run, "last").model.get_buffer("progress")) <= 1


def test_the_journal_has_the_terms(run: Path) -> None:
    rows = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    assert len(rows) == 2
    terms = ("loss_classification", "loss_anchor", "loss_center")
    for row in rows:
        summed = sum(float(row[name]) for name in terms)
        assert float(row["train_loss"]) == pytest.approx(summed, rel=1e-5)


def test_the_tables_are_those_of_the_model(run: Path, tmp_path: Path) -> None:
    study = study_anchors(run, output=tmp_path / "out")
    bundle = load_bundle(run)
    recipe = open_run(run).recipe()
    faces = FaceDataset(open_data(recipe.data).validation, bundle.preprocessing)
    images = torch.from_numpy(bundle.preprocessing.normalised(faces.faces(range(len(faces)))))
    with torch.no_grad():
        output = bundle.model(images)
    seen = study.seen
    np.testing.assert_allclose(seen.corrected, output.logits.softmax(1).numpy(), atol=1e-5)
    np.testing.assert_allclose(seen.primary, output.primary.exp().numpy(), atol=1e-5)
    apart = np.linalg.norm(seen.embedding[:, None, None] - seen.anchors, axis=3).min(2)
    np.testing.assert_allclose(seen.distances, apart, atol=1e-3)
    rows = list(csv.DictReader((tmp_path / "out" / "faces.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == list(seen.ids)
    assert float(rows[0]["change"]) == pytest.approx(seen.change[0], abs=1e-6)
    told = json.loads((tmp_path / "out" / "anchors.json").read_text())
    assert told["faces"] == len(faces)
    assert [row["name"] for row in told["standings"]] == [
        "classifier alone",
        "the same, with a temperature",
        "corrected",
        "corrected, with a temperature",
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The 20 most corrected faces" in page
    assert page.count('<figure class="pair one"') == 20
    assert "NaN" not in page


def test_a_model_without_corrections_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["anchors", str(trained)]) == 2
    assert "choose a run of the recipe grefel" in capsys.readouterr().err


def test_a_run_goes_on_with_its_trust(tmp_path: Path) -> None:
    words = [*WORDS, "--runs", str(tmp_path)]
    place = words.index("--epochs") + 1
    assert cli.run([*words[:place], "1", *words[place + 1 :]]) == 0
    resume = ["train", "--resume", str(tmp_path / "grefel"), "--epochs", "2", "--quiet"]
    assert cli.run(resume) == 0
    ours = load_bundle(tmp_path / "grefel", "last").model.state_dict()
    assert float(ours["progress"]) > 0.5
