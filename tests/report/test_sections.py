"""What each section says follows from the table."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from adafer.report import REPORTS
from adafer.report.curves import best_epoch
from adafer.report.gallery import MOST, data_uri, staircase
from adafer.report.section import Bars, Chart, Figures, Gallery, Heatmap, Table


def block(section, kind, number=0):
    return [item for item in section.blocks if isinstance(item, kind)][number]


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def by_hand(make, **changes):
    """Six faces, two classes, T = 4: no face stops after one step, one takes all four."""
    values = {
        "labels": np.array([0, 0, 0, 0, 1, 1]),
        "probabilities": np.array(
            [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.05, 0.95], [0.4, 0.6], [0.6, 0.4]]
        ),
        "steps": np.array([2, 2, 3, 4, 2, 3]),
        "ponder_cost": np.array([2.5, 2.4, 3.5, 4.5, 2.1, 3.2]),
        "step_correct": np.ones((6, 4), bool),
        "votes": None,
    }
    return make(6, ("joy", "rage"), longest=4, **(values | changes))


def test_confusion_shows_shares_of_the_labelled_faces_and_counts(make):
    section = REPORTS["confusion"](by_hand(make))
    cells = [[(plain(c.text), c.below) for c in row] for row in block(section, Heatmap).cells]
    assert cells == [[("75 %", "3"), ("25 %", "1")], [("50 %", "1"), ("50 %", "1")]]
    reading = plain(section.reading)
    assert reading.startswith("The most frequent mistake takes joy for rage: 1 face, 25.0 %")
    assert "By share it is rage taken for joy: 50.0 % of 2 faces." in reading


def test_an_absent_class_has_no_shares(make):
    section = REPORTS["confusion"](by_hand(make, labels=np.zeros(6, np.int64)))
    assert [c.text for c in block(section, Heatmap).cells[1]] == ["–", "–"]


def test_steps_are_counted_averaged_and_their_empty_ends_said(make):
    section = REPORTS["steps"](by_hand(make))
    assert [(b.name, b.text) for b in block(section, Bars).bars] == [
        ("joy", "2.75"),
        ("rage", "2.50"),
    ]
    matrix = [[c.text for c in row] for row in block(section, Heatmap).cells]
    assert matrix == [["2.3", "4.0"], ["3.0", "2.0"]]
    chart = block(section, Chart)
    assert "1: 0; 2: 3; 3: 2; 4: 1." in chart.svg
    assert chart.caption.endswith("No face stopped after one step.")
    assert "longest at joy (2.75) and shortest at rage (2.50)" in section.reading


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([1, 1, 2, 2, 3, 4], ""),
        ([1, 1, 2, 2, 3, 3], "No face took all 4 steps."),
        ([2, 2, 2, 2, 3, 3], "No face stopped after one step, and none took all 4."),
    ],
)
def test_empty_bins_are_said_in_words(make, steps, sentence):
    section = REPORTS["gallery"](by_hand(make, steps=np.array(steps)))
    assert section.reading.endswith(sentence)
    assert ("No face" in section.reading) == bool(sentence)


def test_the_largest_depth_comes_from_what_was_changed_last(make):
    assert by_hand(make).longest == 4
    assert by_hand(make, max_steps=9).longest == 9
    assert by_hand(make, step_correct=None).longest == 4
    assert by_hand(make, step_correct=None, recipe={}).longest == 4
    assert by_hand(make, step_correct=None, recipe={"model": {"max_steps": 12}}).longest == 12
    assert make(stepped=False).longest == 0


def test_the_gallery_holds_the_quickest_and_the_slowest(make):
    fewest, most = REPORTS["gallery"](by_hand(make)).blocks
    assert isinstance(fewest, Gallery)
    assert isinstance(most, Gallery)
    assert [face.name for face in fewest.faces] == ["face-4.png", "face-1.png", "face-0.png"]
    assert [face.name for face in most.faces] == ["face-3.png", "face-2.png", "face-5.png"]
    assert [face.steps for face in most.faces] == [4, 3, 3]


def test_the_gallery_is_capped_and_equal_steps_are_said(make):
    for shown in REPORTS["gallery"](make(200)).blocks:
        assert isinstance(shown, Gallery)
        assert len(shown.faces) == MOST
    section = REPORTS["gallery"](make(steps=np.full(60, 3)))
    assert not section.blocks
    assert section.reading.startswith("There are no quicker and slower faces: every one takes 3")


def test_mistakes_are_the_most_confident_wrong_answers(make):
    section = REPORTS["mistakes"](by_hand(make))
    faces = block(section, Gallery).faces
    assert [(f.name, f.label, f.prediction, plain(f.probability)) for f in faces] == [
        ("face-3.png", "joy", "rage", "95 %"),
        ("face-5.png", "rage", "joy", "60 %"),
    ]
    assert plain(section.reading).startswith("Of 2 mistakes, 1 came with more than 90 %")


def test_without_pictures_the_faces_are_listed_by_name(make):
    context = by_hand(make, faces=None)
    table = block(REPORTS["mistakes"](context), Table)
    assert [cell.text for cell in table.rows[0]][:3] == ["face-3.png", "joy", "rage"]
    assert staircase(context) is None


def test_the_staircase_keeps_an_empty_place(make):
    stairs = staircase(by_hand(make))
    assert [(f.steps, f.prediction) for f in stairs.faces] == [
        (1, "no face"),
        (2, "joy"),
        (3, "joy"),
        (4, "no face"),
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_picture_is_embedded_without_loss(channels):
    face = np.random.default_rng(0).integers(0, 255, (48, 48, channels), dtype=np.uint8)
    data = base64.b64decode(data_uri(face).removeprefix("data:image/png;base64,"))
    found = np.asarray(Image.open(io.BytesIO(data)))
    assert (found.reshape(48, 48, -1) == face).all()


def test_calibration_reads_the_gap(make):
    sure = np.array([[0.99, 0.01]] * 6)
    section = REPORTS["calibration"](by_hand(make, probabilities=sure))
    reading = plain(section.reading)
    assert "99.0 % and is right 66.7 % of the time: it is surer than it may be, by 32.3" in reading
    values = [plain(figure.value) for figure in block(section, Figures).figures]
    assert values[:2] == ["32.3 %", "32.3 %"]


def test_the_best_epoch_is_that_of_the_figure_that_the_recipe_watches(make):
    rows = [
        {"epoch": 1, "val_macro_f1": 0.2, "val_loss": "0.9", "val_acc": ""},
        {"epoch": 2, "val_macro_f1": 0.7, "val_loss": "nan", "val_acc": 0.1},
        {"epoch": 3, "val_macro_f1": None, "val_loss": 0.5, "val_acc": 0.3},
    ]
    for watched, place in (("val_macro_f1", 1), ("val_loss", 2), ("val_acc", 2)):
        context = make(history=rows, recipe={"train": {"monitor": watched}})
        assert best_epoch(context) == place
    assert best_epoch(make(history=[{"epoch": 1}])) is None


def test_curves_say_the_best_epoch_and_leave_out_what_was_not_logged(make):
    section = REPORTS["curves"](make(epochs=4))
    titles = [item.title for item in section.blocks if isinstance(item, Chart)]
    assert titles == ["Loss", "Accuracy and F1", "Learning rate"]
    assert plain(section.reading) == (
        "4 epochs in 4 min 00 s, 1 min 00 s each. The best was epoch 4 (dotted): "
        "macro F1 75.0 % and accuracy 77.5 % on validation."
    )
    assert REPORTS["curves"](make(epochs=0)) is None


def test_charts_take_their_colours_from_the_page(make):
    charts = [
        item.svg
        for name in ("curves", "steps", "calibration")
        for item in REPORTS[name](make()).blocks
        if isinstance(item, Chart)
    ]
    assert len(charts) == 7
    for svg in charts:
        assert not re.search(r"#[0-9a-f]{6}", svg)
        assert "DejaVu" not in svg


def test_per_class_names_the_best_the_worst_and_the_absent(make):
    reading = plain(REPORTS["scores"](by_hand(make)).reading)
    assert (
        reading
        == "Joy is named best, with an F1 of 75.0 %; rage is hardest, with 50.0 % on 2 faces."
    )
    absent = by_hand(make, labels=np.zeros(6, np.int64))
    assert "Rage has no face in this split and counts as 0" in REPORTS["scores"](absent).reading


def test_the_recipe_keeps_the_words_that_a_person_types(make):
    groups = dict(
        block(REPORTS["recipe"](make()), type(REPORTS["recipe"](make()).blocks[0])).groups
    )
    assert groups["Model: recursive"] == (("max_steps", "6"),)
    assert groups["Phase 2"] == (("epochs", "2"), ("lr", "0.001"))


def test_limits_say_which_faces_were_used_to_choose(make):
    def about(**changes):
        return dict(REPORTS["limits"](make(**changes)).blocks[0].points)

    assert "best epoch was chosen on these faces" in about()["Validation faces."]
    assert "trained on these faces" in about(split="train")["Training faces."]
    assert not [
        key for key in about(split="test") if key.endswith("faces.") and key != "Few faces."
    ]
    assert about(notes=("FER+: a vote of 1 counts as 0.",))["Data."].startswith("FER+")


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        (None, "has not been looked at"),
        ([], "has not been looked at"),
        ([{"time": "2026-05-01", "n": 9}], "has been looked at once"),
        (2, "has been looked at 2 times"),
    ],
)
def test_the_run_says_how_often_the_test_split_was_used(make, uses, words):
    section = REPORTS["run"](make(run={"test_uses": uses, "versions": {"torch": "2.7"}}))
    assert words in section.reading
    groups = dict(section.blocks[0].groups)
    assert groups["Versions"] == (("Torch", "2.7"),)
    if uses and isinstance(uses, list):
        assert groups["Run"] == (("Test uses", "time 2026-05-01, n 9"),)


def test_nested_facts_get_headings_and_the_command_can_be_typed(make):
    facts = {
        "command": ["adafer", "train", "--data", "my faces"],
        "data": {"source": "toy", "left_out": {}, "hashes": {"train": "ab"}},
    }
    groups = REPORTS["run"](make(run=facts)).blocks[0].groups
    assert groups == (
        ("Run", (("Command", "adafer train --data 'my faces'"),)),
        ("Data", (("Source", "toy"),)),
        ("Data: hashes", (("Train", "ab"),)),
    )
