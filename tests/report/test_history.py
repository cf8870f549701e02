"""The picture of a training's history: what it draws, and where it draws nothing."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from adafer.report import REPORTS
from adafer.report.charts import axes
from adafer.report.curves import LINES, RATE, best_row, draw, drawable, plotted
from adafer.report.history import history_png
from adafer.report.section import Chart

LOSS, _, _, RATES = LINES
COLOURS = ("red", "blue", "green")


def rows(epochs: int, frozen: int = 0) -> list[dict[str, object]]:
    return [
        {
            "epoch": epoch,
            "phase": 1 + (epoch > frozen),
            "train_loss": 2 / epoch,
            "val_loss": 3 / epoch,
            "train_acc": 0.5,
            "val_acc": 0.6,
            "val_macro_f1": 0.1 * epoch,
            "lr_head": 1e-3 / 10 ** (epoch - 1),
            "lr_backbone": 0.0 if epoch <= frozen else 1e-4,
        }
        for epoch in range(1, epochs + 1)
    ]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def has(picture: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(picture - wanted).max(-1) < 8).any())


def test_three_plots_stand_side_by_side_each_with_its_lines():
    picture = pixels(history_png(rows(6, frozen=2), 3))
    assert picture.shape == (555, 1890, 3)
    thirds = np.array_split(picture, 3, axis=1)
    shown = [[has(third, c) for c in ("#4355c9", "#c2571a", "#0e7d76")] for third in thirds]
    assert shown == [[True, True, False], [True, True, True], [True, True, False]]


def test_the_picture_is_a_function_of_the_rows():
    assert history_png(rows(5), 2) == history_png(rows(5), 2)
    assert history_png(rows(5), 2) != history_png(rows(5), 3)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [{"epoch": 1}],
        [{"epoch": 1, "train_loss": "", "lr_head": "nan", "lr_backbone": "inf"}],
        [{"epoch": 1, "lr_head": 0.0, "lr_backbone": 0.0, "val_acc": 0.5}],
        [{"epoch": n, "lr_head": 1e-3, "lr_backbone": 1e-3} for n in (1, 2, 3)],
    ],
)
def test_what_was_not_logged_is_left_out(given: list[dict[str, object]]):
    assert pixels(history_png(given)).shape == (555, 1890, 3)


def test_rates_stand_on_a_logarithmic_axis_and_a_part_at_rest_has_none():
    drawn, given = axes(), rows(4, frozen=2)
    shown = drawable(RATE, RATES[1], given)
    assert [words for _, words in shown] == ["head", "backbone"]
    draw(drawn, RATE, shown, given, COLOURS)
    assert drawn.get_yscale() == "log"
    head, backbone = (line.get_ydata() for line in drawn.get_lines())
    assert head.tolist() == pytest.approx([1e-3, 1e-4, 1e-5, 1e-6])
    assert [math.isnan(value) for value in backbone] == [True, True, False, False]
    # Two decades below the lower peak, 1e-4, and no deeper, though the head falls to nearly 0.
    low, high = drawn.get_ylim()
    assert 9e-7 <= low < 1e-6
    assert 1e-3 < high < 1.2e-3


def test_other_plots_keep_their_linear_axis_and_zeros():
    drawn = axes()
    draw(drawn, LOSS[0], LOSS[1], rows(3), COLOURS)
    assert drawn.get_yscale() == "linear"
    assert plotted([{"train_loss": 0.0}], LOSS[0], "train_loss") == [0.0]


def test_equal_rates_are_one_line():
    given = [{"epoch": 1, "lr_head": 1e-3, "lr_backbone": 1e-3}]
    assert drawable(RATE, RATES[1], given) == [("lr_head", "every stage")]


def test_the_page_says_where_the_rates_end(make):
    section = REPORTS["curves"](make(history=rows(3, frozen=1)))
    (chart,) = [c for c in section.blocks if isinstance(c, Chart) and c.title == RATE]
    assert "head ends at 1e-05, backbone ends at 0.0001." in chart.svg


def test_the_best_row_follows_what_was_watched():
    assert best_row(rows(4), "val_macro_f1") == 3
    assert best_row(rows(4), "val_loss") == 3
    assert best_row([{"val_loss": ""}], "val_loss") is None
