"""What is written down, and that no tracker can stop a training or say too much."""

import csv
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from adafer.engine import trackers
from adafer.engine.journal import COLUMNS, Events, Results
from adafer.engine.trackers import RunFacts, open_tracker
from adafer.errors import WordsError

ROW = {"epoch": 1, "phase": 1, "train_loss": 0.1 + 0.2, "val_loss": None, "status": "best"}


def test_the_first_line_is_the_fixed_one(tmp_path: Path) -> None:
    Results(tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == (
        "epoch,phase,train_loss,train_acc,val_loss,val_acc,val_macro_f1,lr_backbone,lr_head,"
        "mean_steps,ponder_cost,epoch_time,status\n"
    )


def test_numbers_come_back_to_the_bit_and_what_is_none_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    results = Results(path, extra=("loss/ponder", "epoch"))
    results.write(1, ROW | {"loss/ponder": 1 / 3, "val_acc": float("nan"), "status": 'a "b", c'})
    results.close()
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == [*COLUMNS, "loss/ponder"]
    assert float(row["train_loss"]) == 0.1 + 0.2
    assert float(row["loss/ponder"]) == 1 / 3
    assert (row["val_loss"], row["val_acc"], row["status"]) == ("", "", 'a "b", c')


def test_a_resumed_file_equals_an_unbroken_one_even_with_a_torn_line(tmp_path: Path) -> None:
    rows = [{"epoch": n, "train_loss": 1 / n} for n in range(1, 5)]
    unbroken, resumed = tmp_path / "a.csv", tmp_path / "b.csv"
    one = Results(unbroken)
    for row in rows:
        one.write(row["epoch"], row)
    two = Results(resumed)
    for row in rows[:3]:
        two.write(row["epoch"], row)
    with resumed.open("a") as file:
        file.write("4,1,0.2")  # killed inside a line, and two rows after the last save
    again = Results(resumed, rows[:2])
    for row in rows[2:]:
        again.write(row["epoch"], row)
    assert resumed.read_bytes() == unbroken.read_bytes()
    assert os.listdir(tmp_path).count("b.csv.partial") == 0


def test_a_figure_without_a_column_is_a_mistake_that_shows(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="val_f2"):
        Results(tmp_path / "results.csv").write(1, {"val_f2": 1.0})


def test_events_are_one_json_object_a_line(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.jsonl")
    events.write("resumed", step=3)
    events.write("warning", text="a\nb", path=tmp_path)
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["resumed", "warning"]


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFacts:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return RunFacts(folder=tmp_path, name="run", config={"lr": 0.1}, identifier="run-1")


def test_off_is_off_and_an_unknown_word_lists_the_known_ones(facts: RunFacts) -> None:
    assert open_tracker("off", facts) is None
    with pytest.raises(WordsError, match="use --track with one of off, wandb, trackio"):
        open_tracker("wandbb", facts)


@pytest.mark.parametrize("name", ["wandb", "trackio", "tensorboard", "mlflow"])
def test_a_missing_package_says_how_to_install_it(
    name: str, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("wandb", "trackio", "torch.utils.tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WordsError, match=rf"pip install 'adafer\[{name}\]'"):
        open_tracker(name, facts)


class FakeWandb(types.ModuleType):
    """As much of wandb as the factory uses; `down` says in which modes `init` fails."""

    class Error(Exception):
        pass

    def __init__(self, down: tuple[str, ...] = ()) -> None:
        super().__init__("wandb")
        self.down, self.calls, self.logged = down, [], []
        self.errors = types.SimpleNamespace(Error=self.Error)
        self.plot = types.SimpleNamespace(confusion_matrix=lambda **given: given)
        self.fail_log = False

    def Settings(self, **values: Any) -> types.SimpleNamespace:
        return types.SimpleNamespace(base_url="https://api.example.org", **values)

    def init(self, **values: Any) -> types.SimpleNamespace:
        self.calls.append(values)
        if values["settings"].mode in self.down:
            raise self.Error("no such host\nmore advice")
        return types.SimpleNamespace(dir="/runs/x/files", log=self.log, finish=lambda: None)

    def log(self, figures: dict[str, float], step: int) -> None:
        if self.fail_log:
            raise self.Error("broken pipe")
        self.logged.append((step, figures))


def opened(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch, wandb: FakeWandb
) -> tuple[Any, list[str]]:
    lines: list[str] = []
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return open_tracker("wandb", facts, lines.append), lines


def test_without_a_key_wandb_is_offline_and_says_so_once(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb()
    writer, lines = opened(facts, monkeypatch, wandb)
    assert lines == ["wandb: offline (no API key found); send it later with: wandb sync /runs/x"]
    settings = wandb.calls[0]["settings"]
    assert settings.mode == "offline"
    assert settings.disable_code
    assert settings.disable_git
    assert settings.x_disable_meta
    assert not settings.save_code
    writer.write(2, {"Train/Loss": 0.5, "Val/Loss": float("nan"), "Steps": None})
    assert wandb.logged == [(2, {"Train/Loss": 0.5})]


def test_wandb_gets_confusion_matrices_and_others_none(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb()
    writer, _ = opened(facts, monkeypatch, wandb)
    writer.write_matrix(3, [0, 1, 1], [0, 1, 0], ("neutral", "fear"))
    drawn = {"y_true": [0, 1, 1], "preds": [0, 1, 0], "class_names": ["neutral", "fear"]}
    assert wandb.logged == [(3, {"Val/Confusion": drawn})]
    plain = trackers._Guarded("plain", lambda *_: None, lambda: None, (), print)
    plain.write_matrix(3, [0], [0], ("neutral",))


def test_the_order_in_which_a_key_is_looked_for(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "https://api.example.org"
    assert trackers.wandb_mode(None, url) == ("offline", "no API key found")
    (tmp_path / "netrc").write_text("machine api.example.org login user password abc\n")
    (tmp_path / "netrc").chmod(0o600)
    assert trackers.wandb_mode(None, url) == ("online", "stored login")
    assert trackers.wandb_mode(None, "https://elsewhere.org")[0] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert trackers.wandb_mode(None, url) == ("online", "key from WANDB_API_KEY")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trackers.wandb_mode(None, url)[0] == "disabled"
    assert trackers.wandb_mode("offline", url)[0] == "offline"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine {{{")
    assert trackers.wandb_mode("online", url)[0] == "offline"  # never a prompt


def test_no_network_is_one_line_and_offline(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    wandb = FakeWandb(down=("online",))
    writer, lines = opened(facts, monkeypatch, wandb)
    assert len(lines) == 1
    assert lines[0].startswith("wandb: offline (no such host); send it later")
    assert "secret-key" not in lines[0]
    assert [call["settings"].mode for call in wandb.calls] == ["online", "offline"]
    assert wandb.calls[0]["id"] == "run-1"
    assert writer is not None


def test_a_tracker_that_breaks_is_told_once_and_the_training_goes_on(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb()
    writer, lines = opened(facts, monkeypatch, wandb)
    wandb.fail_log = True
    for step in range(3):
        writer.write(step, {"Train/Loss": 1.0})
    writer.close()
    assert lines[1:] == ["wandb: stopped, broken pipe; results.csv goes on"]


def test_disabled_wandb_is_not_even_started(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb = FakeWandb()
    writer, lines = opened(facts, monkeypatch, wandb)
    assert (writer, wandb.calls, lines) == (None, [], ["wandb: off (as asked)"])
