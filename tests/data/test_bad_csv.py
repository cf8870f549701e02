"""Hostile and broken tables: every fault is named with its file and line, none is passed over."""

import contextlib
import csv
import subprocess
import sys

import numpy as np
import pytest
from fakes import csv_splits, fer2013, picture, pixels, table
from hypothesis import given
from hypothesis import strategies as st

from adafer.data import READERS, open_data
from adafer.data.csv_rows import Faults, Table
from adafer.data.fer2013 import grey
from adafer.errors import DataError
from adafer.settings.data import DataSettings

SETTINGS = DataSettings(label_order="ferplus")


def read(root, split="train"):
    return READERS["fer-csv"](root, split, SETTINGS)


def message(root, reader="fer-csv"):
    with pytest.raises(DataError) as caught:
        READERS[reader](root, "train", SETTINGS)
    text = str(caught.value)
    assert "\n" not in text
    assert "train.csv" in text
    return text


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (pixels(count=2303), "2,303 pixel values instead of 2,304"),
        (pixels(count=2305), "2,305 pixel values instead of 2,304"),
        ("256 " + pixels(count=2303), "256"),
        ("-1 " + pixels(count=2303), "'-1'"),
        ("1.5 " + pixels(count=2303), "'1.5'"),
        ("1e3 " + pixels(count=2303), "'1e3'"),
        ("nan " + pixels(count=2303), "'nan'"),
        ("\uff11 " + pixels(count=2303), "'\uff11'"),
        ("4294967297 " + pixels(count=2303), "whole number from 0 to 255"),
        ("9" * 40 + " " + pixels(count=2303), "whole number from 0 to 255"),
        ("", "no pixel values"),
        ("   ", "no pixel values"),
        (pixels().replace(" ", ","), "separate them by spaces"),
    ],
)
def test_a_bad_pixel_row_is_an_error_with_its_line(cell, reason, tmp_path):
    table(tmp_path / "train.csv", [["emotion", "pixels"], [0, pixels()], [1, cell], [2, pixels()]])
    text = message(tmp_path)
    assert "1 bad row (line 3: " in text
    assert reason in text
    first = table(tmp_path / "train.csv", [["emotion", "pixels"], [1, cell], [0, pixels()]])
    assert "line 2: " in message(first.parent)


@pytest.mark.parametrize("label", ["8", "-1", "happy", "", "1.0", "\u0663", "99999999999"])
def test_a_bad_label_is_an_error_with_its_line(label, tmp_path):
    table(tmp_path / "train.csv", [["emotion", "pixels"], [0, pixels()], [label, pixels()]])
    text = message(tmp_path)
    assert f"line 3: label {label[:20]!r} is not a number from 0 to 7" in text


def test_unquoted_commas_between_pixels_are_a_wrong_number_of_fields(tmp_path):
    (tmp_path / "train.csv").write_text("emotion,pixels\n0," + pixels().replace(" ", ",") + "\n")
    assert "line 2: 2305 fields for 2 columns" in message(tmp_path)


def test_many_bad_rows_are_counted_and_the_first_are_shown(tmp_path):
    rows = [[9, pixels()] for _ in range(1200)]
    table(tmp_path / "train.csv", [["emotion", "pixels"], *rows])
    text = message(tmp_path)
    assert "1,200 bad rows" in text
    assert text.count("line ") == 5


def test_an_unknown_usage_is_an_error_even_in_another_split(tmp_path):
    fer2013(tmp_path)
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    lines[-1] = lines[-1].replace("PrivateTest", "Privat")
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 29: unknown split 'Privat'"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (["emotion", "pixel"], "no column with the pixels: found 'emotion', 'pixel'"),
        (["feeling", "pixels"], "no column with the label: found 'feeling', 'pixels'"),
        (["emotion", "pixels", "Pixels "], "column 'pixels' stands twice"),
    ],
)
def test_a_wrong_header_names_what_was_found_and_what_is_needed(header, reason, tmp_path):
    table(tmp_path / "train.csv", [header, [0, *[pixels()] * (len(header) - 1)]])
    assert reason in message(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_line_ends_quotes_and_blank_lines_are_read(encoding, end, tmp_path):
    quoted = '"' + pixels(3).replace(" ", "\n", 5) + '"'
    text = end.join(['" Emotion ",PIXELS', f"0,{pixels(2)}", "", f"1,{quoted}", "", ""])
    data = text.encode("utf-16-le") if encoding.endswith("bom") else text.encode(encoding)
    if encoding.endswith("bom"):
        data = b"\xff\xfe" + data
    (tmp_path / "train.csv").write_bytes(data)
    listing = read(tmp_path)
    assert listing.labels.tolist() == [0, 1]
    assert [int(face.mean()) for face in listing.pictures] == [2, 3]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no CSV file with rows"),
        (b"\n\n", "empty file"),
        (b"emotion,pixels\n0,1\x002 3\n", "line 2: holds a NUL byte"),
        ("emotion,pixels\n".encode("utf-16-le"), "NUL byte"),
        (b"emotion,pixels\n0,\xff\xfe\n", "is not UTF-8"),
        (b'emotion,pixels\n0,"1 2 3', "unexpected end of data"),
        (b"emotion,pixels\n0," + b"1 " * 100_000 + b"\n", "field larger than field limit"),
        (b"emotion,pixels\n0," + b"1 " * 1_000_000 + b"\n", "field larger than limit"),
        (b"emotion,pixels," + b"x," * 10_000 + b"\n", "10,003 columns, limit 1000"),
    ],
)
def test_broken_files_are_one_sentence(content, reason, tmp_path):
    (tmp_path / "train.csv").write_bytes(content)
    assert reason in message(tmp_path)


def test_a_field_of_64_megabytes_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "train.csv"
    with path.open("wb") as file:
        file.write(b"emotion,pixels\n0,")
        for _ in range(64):
            file.write(b"1 " * 500_000)
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from adafer.data.csv_rows import Faults, Table\nfrom adafer.errors import DataError\n"
        "table = Table(Path(sys.argv[1]))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    list(table.rows(Faults(table.path)))\n"
        "except DataError as error:\n"
        "    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "    print(grown // 1024, error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    grown, _, text = answer.stdout.partition(" ")
    assert int(grown) < 20
    assert "line 2: field larger than limit" in text


ESCAPES = [
    "../secret.png",
    "faces/../../secret.png",
    "{outside}/secret.png",
    "file://{outside}/secret.png",
    "https://example.org/secret.png",
    "//server/share/secret.png",
    "\\\\server\\share\\secret.png",
    "C:\\secret.png",
    "C:/secret.png",
    "~/secret.png",
    "~root/secret.png",
    "..\\secret.png",
    "link.png",
    "linked/secret.png",
    "linked/../secret.png",
    "data_evil/../../data_evil/secret.png",
]


@pytest.mark.parametrize("form", ESCAPES)
def test_no_path_of_a_csv_leads_out_of_the_data_root(form, tmp_path):
    root, outside = tmp_path / "data", tmp_path / "data_evil"
    csv_splits(root)
    picture(tmp_path / "secret.png")
    picture(outside / "secret.png")
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "linked").symlink_to(outside)
    with (root / "train.csv").open("a", newline="") as file:
        csv.writer(file).writerow([form.format(outside=outside), "happy"])
    assert "line 8: " in (text := message(root, "csv"))
    assert "is outside the data root" in text


def test_a_nul_in_a_path_is_refused(tmp_path):
    csv_splits(tmp_path)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("faces/a\0.png,happy\n")
    assert "NUL byte" in message(tmp_path, "csv")


def test_links_and_dots_that_stay_inside_are_followed(tmp_path):
    csv_splits(tmp_path)
    (tmp_path / "link.png").symlink_to(picture(tmp_path / "faces/x.png"))
    picture(tmp_path / "faces/y.png")
    with (tmp_path / "train.csv").open("a", newline="") as file:
        csv.writer(file).writerows([["link.png", "sad"], ["other/../faces/y.png", "sad"]])
    assert len(READERS["csv"](tmp_path, "train", SETTINGS)) == 8


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["faces/none.png", "happy"], "line 8: no file 'faces/none.png'"),
        (["faces/train00.png", "sad"], "line 8: 'faces/train00.png' stands in line 2 already"),
        (["", "sad"], "line 8: no file ''"),
        (["faces/x.png", ""], "line 8: no label"),
        (["faces/x.png"], "line 8: 1 fields for 2 columns"),
        (["a" * 5000, "sad"], "cannot be a path"),
    ],
)
def test_a_bad_row_of_paths_is_an_error_with_its_line(row, reason, tmp_path):
    csv_splits(tmp_path)
    picture(tmp_path / "faces/x.png")
    with (tmp_path / "train.csv").open("a", newline="") as file:
        csv.writer(file).writerow(row)
    if reason == "cannot be a path":
        with pytest.raises(DataError, match=reason):
            READERS["csv"](tmp_path, "train", SETTINGS)
    else:
        assert reason in message(tmp_path, "csv")


def test_a_label_that_train_does_not_have_is_an_error(tmp_path):
    csv_splits(tmp_path)
    picture(tmp_path / "faces/x.png")
    with (tmp_path / "val.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["faces/x.png", "fear"])
    with pytest.raises(DataError, match="line 5: label 'fear' is none of happiness, sadness, ang"):
        open_data(DataSettings(data=str(tmp_path)))


def test_a_formula_is_kept_as_text(tmp_path):
    csv_splits(tmp_path, ["=cmd|' /C calc'!A0", "+1+1"])
    names = open_data(DataSettings(data=str(tmp_path))).class_names
    assert names == ("=cmd|' /C calc'!A0", "+1+1")


def test_one_class_only_stops_before_training(tmp_path):
    table(tmp_path / "train.csv", [["emotion", "pixels"], *[[3, pixels(n)] for n in range(4)]])
    with pytest.raises(DataError, match=r"one class only \(happiness\)"):
        open_data(DataSettings(data=str(tmp_path)))


def test_an_empty_split_stops_before_training(tmp_path):
    csv_splits(tmp_path)
    (tmp_path / "test.csv").write_text("image_path,emotion\n")
    source = open_data(DataSettings(data=str(tmp_path)))
    with pytest.raises(DataError, match="test has no faces"):
        source.test()
    (tmp_path / "train.csv").write_text("image_path,emotion\n")
    with pytest.raises(DataError, match="train has no faces"):
        open_data(DataSettings(data=str(tmp_path)))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_pixels_survive_writing_and_parsing(levels):
    parsed = grey(" ".join(map(str, levels)))
    assert isinstance(parsed, np.ndarray)
    assert parsed.tolist() == levels


@given(st.text(max_size=60))
def test_any_text_is_pixels_or_a_reason(text):
    parsed = grey(text)
    if not isinstance(parsed, str):
        assert parsed.tolist() == [int(word) for word in text.split()]
        assert text.isascii()


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_a_data_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any", numbered=True) / "train.csv"
    path.write_bytes(data)
    with contextlib.suppress(DataError):  # nothing else may be raised
        table = Table(path)
        list(table.rows(Faults(path)))
