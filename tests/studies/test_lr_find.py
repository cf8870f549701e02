"""The rate finder: what it reads from known curves, and that it leaves no trace."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, refused

from adafer import cli
from adafer.errors import DataError
from adafer.studies.lr_find import suggestions


def bowl(bottom: float = 1e-2) -> tuple[list[float], list[float]]:
    """A curve that is flat, falls around 1e-3 and rises after its bottom."""
    rates = np.geomspace(1e-6, 1, 200)
    logs = np.log10(rates)
    fall = 2 / (1 + np.exp(4 * (logs + 3)))
    rise = np.where(rates > bottom, 2 * (logs - np.log10(bottom)) ** 2, 0)
    return rates.tolist(), (1 + fall + rise).tolist()


def test_the_steepest_rate_of_a_known_curve():
    found = suggestions(*bowl())
    assert 5e-4 < found.steepest < 1e-2  # the fall is steepest at 1e-3; smoothing delays it


def test_the_valley_lies_between_the_start_of_the_fall_and_the_bottom():
    found = suggestions(*bowl())
    assert found.steepest < found.valley < 0.1


def test_too_short_a_curve_is_refused():
    with pytest.raises(DataError, match="smaller --low"):
        suggestions([1e-6] * 9, [1.0] * 9)


def test_the_command_writes_the_curve_and_says_how_to_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "sweep"
    words = ["lr-find", "act-graves", *TINY, "--steps", "20", "--output", str(out)]
    assert cli.run(words) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "lr_find.json").read_text())
    assert f"--lr {found['valley']:.1e}" in said
    assert found["rates"][0] == pytest.approx(1e-5)
    assert (out / "lr_find.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"sweep"}
    refused(capsys, ["lr-find", "act-graves", "--low", "1", "--high", "0.1"], 2)
