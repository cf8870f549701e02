"""The table on disk reads back exactly and is safe to open."""

import csv
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adafer.errors import AdaferError, DataError
from adafer.predictions import Predictions
from adafer.predictions_file import read_predictions, write_bytes, write_predictions

TEXT = st.text(max_size=12) | st.sampled_from(
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "'quoted",
        "\ttab",
        "\rreturn",
        'a,"b"',
        "a\nb",
        "a\r\nb",
        "é\0",
    ]
)


@st.composite
def predictions(draw):
    faces, classes = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    names = draw(st.lists(TEXT, min_size=classes, max_size=classes, unique=True))
    floats = st.floats(allow_nan=False, allow_infinity=False)
    optional = {
        "steps": arrays(np.int64, faces, elements=st.integers(1, 10**6)),
        "ponder_cost": arrays(np.float64, faces, elements=floats),
        "votes": arrays(np.float64, (faces, classes), elements=st.floats(0, 1)),
        "step_correct": arrays(np.bool_, (faces, draw(st.integers(1, 4)))),
    }
    return Predictions(
        class_names=tuple(names),
        ids=tuple(draw(st.lists(TEXT, min_size=faces, max_size=faces))),
        labels=draw(arrays(np.int64, faces, elements=st.integers(0, classes - 1))),
        probabilities=draw(arrays(np.float64, (faces, classes), elements=st.floats(0, 1))),
        **{name: draw(st.none() | values) for name, values in optional.items()},
    )


def assert_same(first, second):
    for field in fields(Predictions):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b), field.name
        else:
            assert a == b, field.name


@given(table=predictions())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back_exactly(table, tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, table)
    assert_same(table, read_predictions(path))


def small(**changes):
    values = {
        "class_names": ("happiness", "anger"),
        "ids": ("a.png", "b.png"),
        "labels": np.array([0, 1]),
        "probabilities": np.array([[0.75, 0.25], [0.6, 0.4]]),
        "steps": np.array([2, 5]),
        "ponder_cost": np.array([2.5, 5.25]),
        "votes": np.array([[1.0, 0.0], [0.3, 0.7]]),
    }
    return Predictions(**(values | changes))


def test_columns_are_the_fixed_ones(tmp_path):
    path = tmp_path / "new" / "predictions.csv"
    write_predictions(path, small(step_correct=np.array([[True, False], [False, True]])))
    assert path.read_text().splitlines() == [
        "id,label,prediction,probability,steps,ponder_cost,p_happiness,p_anger,"
        "votes_happiness,votes_anger,correct_at_1,correct_at_2",
        "a.png,happiness,happiness,0.75,2,2.5,0.75,0.25,1.0,0.0,1,0",
        "b.png,anger,happiness,0.6,5,5.25,0.6,0.4,0.3,0.7,0,1",
    ]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-2", "@x", "\tx", "\rx"])
def test_no_cell_starts_like_a_formula(tmp_path, name):
    path = tmp_path / "predictions.csv"
    write_predictions(path, small(ids=(name, "b"), class_names=(name, "anger")))
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{name}" in cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert read_predictions(path).ids == (name, "b")


def test_a_file_name_that_is_no_text_survives(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    write_predictions(tmp_path / "p.csv", small(ids=(name, "b")))
    assert read_predictions(tmp_path / "p.csv").ids[0] == name


def test_a_byte_order_mark_is_no_column(tmp_path):
    path = tmp_path / "p.csv"
    write_predictions(path, small())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert_same(small(), read_predictions(path))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("ponder_cost", "cost", "lacks the column 'ponder_cost'"),
        ("p_happiness,p_anger", "x,y", "lacks|other columns"),
        ("0.75,0.25", "0.75,much", "line 2 holds 'much' as p_anger"),
        ("0.75,0.25", "0.75,nan", "line 2 holds 'nan' as p_anger"),
        ("a.png,happiness", "a.png,joy", "line 2 has the label 'joy'"),
        (",0.3,0.7", ",0.3", "line 3 has 9 cells instead of 10"),
        (",2,2.5", ",,2.5", "line 2 holds '' as steps"),
    ],
)
def test_damage_is_named(tmp_path, old, new, sentence):
    path = tmp_path / "p.csv"
    write_predictions(path, small())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=sentence):
        read_predictions(path)


def test_an_empty_or_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no predictions in"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no predictions in"):
        read_predictions(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="lacks the column 'id'"):
        read_predictions(tmp_path / "empty.csv")
    write_predictions(tmp_path / "p.csv", small())
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    (tmp_path / "p.csv").write_text(header + "\n")
    with pytest.raises(DataError, match="holds no face"):
        read_predictions(tmp_path / "p.csv")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "p.csv"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adafer.predictions_file.os.replace", full)
    with pytest.raises(AdaferError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
