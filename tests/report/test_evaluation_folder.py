"""The folder of an evaluation, read by other programs."""

import csv
import io
import json

import numpy as np
from PIL import Image

from adafer.metrics import score
from adafer.predictions_file import read_predictions
from adafer.report import write_evaluation


def test_the_folder_holds_every_table_and_they_agree(make, tmp_path):
    context = make()
    folder = tmp_path / "eval" / "val"
    write_evaluation(folder, context.predictions, context.scores)
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json",
        "predictions.csv",
        "per_class.csv",
        "confusion_matrix.csv",
        "confusion_matrix.png",
    }
    figures = json.loads((folder / "metrics.json").read_text())
    again = score(read_predictions(folder / "predictions.csv"), bootstrap=50).to_json()
    assert figures == json.loads(json.dumps(again))
    rows = list(csv.reader((folder / "confusion_matrix.csv").read_text().splitlines()))
    assert rows[0] == ["label", *context.predictions.class_names]
    assert [[int(c) for c in row[1:]] for row in rows[1:]] == context.scores.confusion.tolist()
    table = list(csv.DictReader((folder / "per_class.csv").read_text().splitlines()))
    assert [float(row["f1"]) for row in table] == [item.f1 for item in context.scores.per_class]
    assert [float(row["mean_steps"]) for row in table] == [
        item.mean_steps for item in context.scores.per_class
    ]


def test_the_picture_survives_names_that_no_font_writes(make, tmp_path):
    names = ("悲しみ", "$x^$", "a" * 80, "two\nlines", "", "=1+1", "ok")
    context = make(names=names)
    write_evaluation(tmp_path, context.predictions, context.scores)
    data = (tmp_path / "confusion_matrix.png").read_bytes()
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (picture[0] == 255).all()
    assert (picture != 255).any()
    per_class = (tmp_path / "per_class.csv").read_text(encoding="utf-8")
    assert "'=1+1," in per_class
