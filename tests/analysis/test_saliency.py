"""Shares of maps in fixed parts of a face, by hand."""

import numpy as np
import pytest

from adafer.analysis.saliency import OUTSIDE, normalised, parts


def test_a_map_of_the_mouth_lies_in_the_mouth() -> None:
    maps = np.zeros((2, 100, 100), np.float32)
    maps[0, 70:80, 40:60] = -3.0
    maps[1, 70:80, 40:60] = 0.5
    found = {part.name: part for part in parts(maps)}
    assert found["mouth and chin"].share == pytest.approx(1.0)
    assert found["mouth and chin"].area == pytest.approx(0.27 * 0.7)
    assert found["mouth and chin"].ratio == pytest.approx(1 / 0.189)
    assert found["brows and eyes"].share == found[OUTSIDE].share == 0.0


def test_parts_do_not_overlap_and_hold_the_whole_face() -> None:
    even = parts(np.ones((1, 48, 48), np.float32))
    assert sum(part.share for part in even) == pytest.approx(1.0)
    assert sum(part.area for part in even) == pytest.approx(1.0)
    assert all(part.ratio == pytest.approx(1.0) for part in even)


def test_each_face_counts_alike_and_a_map_of_nothing_is_even() -> None:
    maps = np.zeros((3, 10, 10), np.float32)
    maps[0, 0, 0], maps[1, 5, 5] = 1000.0, 0.001
    found = normalised(maps)
    assert found.sum((1, 2)) == pytest.approx(1.0)
    assert found[2] == pytest.approx(np.full((10, 10), 0.01))
