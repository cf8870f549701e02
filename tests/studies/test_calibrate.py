"""`adafer evaluate --calibrate`: kept with the model, applied wherever it answers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import adafer
from adafer import cli
from adafer.bundle import keep_temperature, load_bundle
from adafer.errors import DataError
from adafer.evaluation import evaluate, measured
from adafer.predictions import scaled
from adafer.run import open_run
from adafer.studies.calibrate import calibrate


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adafer.train(
        "act-graves", runs=tmp_path_factory.mktemp("runs"), toy_faces=160, channels=16,
        stem_channels=8, max_steps=3, batch_size=32, workers=0, epochs=2,
    ).path  # fmt: skip


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def test_a_temperature_is_kept_and_scales_every_later_answer(run: Path) -> None:
    before = measured(open_run(run), "val")
    assert load_bundle(run).temperature == 1.0
    face = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8))
    (plain,) = adafer.load(run).predict([face])
    found = calibrate(run)
    temperature = found.temperature.value
    assert load_bundle(run).temperature == temperature
    assert found.after.nll <= found.before.nll
    assert found.before.accuracy == found.after.accuracy == found.honest.accuracy
    (told,) = adafer.load(run).predict([face])
    raw = np.array([list(plain.probabilities.values())])
    assert list(told.probabilities.values()) == pytest.approx(scaled(raw, temperature)[0].tolist())
    assert (told.label, told.steps) == (plain.label, plain.steps)
    scores = evaluate(run)
    after = measured(open_run(run), "val")
    assert np.allclose(after.probabilities, scaled(before.probabilities, temperature), atol=1e-6)
    assert np.array_equal(after.steps, before.steps)
    told_json = json.loads((run / "eval" / "val" / "calibration.json").read_text())
    assert told_json["temperature"] == temperature
    assert told_json["scaled"]["ece"] == scores.ece
    assert told_json["raw"]["nll"] == pytest.approx(found.before.nll)
    assert open_run(run).facts()["calibrations"][0]["n"] == len(before)


def test_an_exported_model_carries_its_temperature(run: Path) -> None:
    keep_temperature(run, "best", 2.0)
    assert cli.run(["export", str(run)]) == 0
    face = Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8))
    (ours,) = adafer.load(run).predict([face])
    (theirs,) = adafer.load(run / "export" / "model.onnx").predict([face])
    assert list(theirs.probabilities.values()) == pytest.approx(
        list(ours.probabilities.values()), abs=1e-5
    )
    keep_temperature(run, "best", 1.0)
    (unscaled,) = adafer.load(run).predict([face])
    assert unscaled.probability > ours.probability + 1e-3


def test_other_weights_lose_it_and_a_broken_one_is_refused(run: Path) -> None:
    config = run / "weights" / "config.json"
    keep_temperature(run, "best", 1.5)
    assert load_bundle(run, "last").temperature == 1.0
    for value in (0, -1, "warm", True):
        told = json.loads(config.read_text())
        told["files"]["best"]["temperature"] = value
        config.write_text(json.dumps(told))
        with pytest.raises(DataError, match="--calibrate"):
            load_bundle(run).temperature  # noqa: B018  reading it is what fails
    told["files"]["best"]["sha256"] = "0" * 64
    config.write_text(json.dumps(told))
    with pytest.raises(DataError, match="is not the file"):
        keep_temperature(run, "best", 1.2)


@pytest.mark.parametrize("words", [["--split", "test"], ["--data", "toy"], ["--mirror"]])
def test_it_is_fitted_on_validation_and_nothing_else(
    trained_run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(trained_run), "--calibrate", *words]) == 2
    assert "fits on the run's own validation faces" in capsys.readouterr().err
