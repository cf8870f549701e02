"""A run on the hub and back: the real client against a stand-in of the hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trained
from hub_stand_in import BILL, JANE, Hub
from huggingface_hub import constants
from PIL import Image
from published_runs import NAME, files_below

import adafer
from adafer import cli
from adafer.errors import AdaferError, DataError, MachineError
from adafer.export.publish import publish
from adafer.export.release import Release

# The client uploads with an argument that its own http library is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def commits(hub: Hub) -> int:
    return sum(path.endswith("/commit/main") for _, path in hub.asked)


def test_what_was_published_reads_back_with_the_same_answers_to_the_bit(
    run_to_publish: Path, release: Release, hub: Hub
) -> None:
    done = publish(release)
    assert hub.files(NAME) == release.files
    assert commits(hub) == 1
    assert done.written == len(release.files)
    faces = trained.pictures(12)
    here = adafer.load(run_to_publish).predict(faces)
    there = adafer.load(NAME, revision=done.commit, sha256=done.sha256).predict(faces)
    assert [a.probabilities for a in here] == [b.probabilities for b in there]
    got = {path for method, path in hub.asked if method == "GET" and "/resolve/" in path}
    assert {path.partition("/resolve/")[2].partition("/")[2] for path in got} == {
        "weights/best.safetensors",
        "weights/config.json",
    }


def test_the_published_graph_answers_as_the_weights(
    run_to_publish: Path, release: Release, tmp_path: Path
) -> None:
    for place in ("model.onnx", "parity.json"):
        (tmp_path / place).write_bytes(release.files[f"export/{place}"])
    faces = trained.pictures(5)
    ours = adafer.load(run_to_publish).predict(faces)
    theirs = adafer.load(tmp_path / "model.onnx").predict(faces)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-5
        )


def test_a_clone_is_a_run_that_measures_the_same(release: Release, tmp_path: Path) -> None:
    for place, data in release.files.items():
        (tmp_path / "clone" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / place).write_bytes(data)
    published = json.loads(release.files["eval/val/metrics.json"])
    scores = adafer.evaluate(tmp_path / "clone", device="cpu")
    assert scores.accuracy == published["accuracy"]
    assert scores.n == published["n"]


def test_a_second_time_there_is_nothing_to_do(release: Release, hub: Hub) -> None:
    first = publish(release)
    again = publish(release)
    assert (again.commit, again.written) == (first.commit, 0)
    assert commits(hub) == 1


def test_other_content_asks_for_update_and_a_file_of_others_stays(
    release: Release, hub: Hub
) -> None:
    publish(release)
    repository = hub.repositories[NAME]
    ours = hub.files(NAME)
    repository.commit(
        ours | {"README.md": b"mine", "notes.md": b"keep", "eval/test/extra.csv": b"keep"}
    )
    with pytest.raises(DataError, match=r"with other content .* --update") as refused:
        publish(release)
    assert refused.value.exit_code == 3
    assert hub.files(NAME)["README.md"] == b"mine"
    done = publish(release, update=True)
    assert done.written == 1
    assert hub.files(NAME) == {
        **release.files,
        "notes.md": b"keep",
        "eval/test/extra.csv": b"keep",
    }


def test_an_update_removes_what_an_earlier_release_had_and_this_one_has_not(
    release: Release, hub: Hub
) -> None:
    publish(release)
    fewer = {place: data for place, data in release.files.items() if "eval/test" not in place}
    with pytest.raises(DataError, match=r"--update"):
        publish(replace(release, files=fewer))
    publish(replace(release, files=fewer), update=True)
    assert hub.files(NAME) == fewer
    assert commits(hub) == 2


def test_a_private_repository_is_seen_by_its_owner_alone(
    release: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(release, private=True)
    assert hub.repositories[NAME].private
    assert adafer.load(NAME).class_names
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(constants.HF_HUB_CACHE) + "-of-bill")
    monkeypatch.setenv("HF_TOKEN", BILL)
    with pytest.raises(DataError, match=r"or it is private; correct the name, or log in"):
        adafer.load(NAME)


def test_a_public_repository_is_not_taken_for_a_private_one(release: Release, hub: Hub) -> None:
    publish(release)
    with pytest.raises(DataError, match=r"there already and public"):
        publish(release, private=True, update=True)


@pytest.mark.parametrize("fault", ["validate", "preupload", "batch", "upload", "commit"])
def test_an_interrupted_upload_leaves_nothing_and_the_next_one_finishes(
    release: Release, hub: Hub, fault: str
) -> None:
    hub.fail[fault] = "hang up"
    with pytest.raises(MachineError, match=r"^nothing was published: the hub cannot be reached"):
        publish(release)
    assert hub.files(NAME) == {}
    hub.fail.clear()
    publish(release)  # without --update: the repository is empty
    assert hub.files(NAME) == release.files


def test_a_commit_whose_answer_was_lost_is_found(release: Release, hub: Hub) -> None:
    hub.fail["answer to commit"] = "hang up"
    done = publish(release)
    assert hub.files(NAME) == release.files
    assert done.commit == hub.repositories[NAME].commits[-1][0]
    assert commits(hub) == 1


def test_a_hub_that_dies_for_good_is_said_to_be_unknown(release: Release, hub: Hub) -> None:
    hub.fail["commit"] = "hang up"
    asked = hub.asked

    class DiesAfterCommit(list[tuple[str, str]]):
        def append(self, item: tuple[str, str]) -> None:
            asked.append(item)
            if item[1].endswith("/commit/main"):
                hub.fail["info"] = "hang up"

    hub.asked = DiesAfterCommit()
    with pytest.raises(MachineError, match=r"so either all or nothing is published"):
        publish(release)


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (401, MachineError, r"does not know this login \(401\); log in with `hf auth login`"),
        (403, DataError, r"this login may not write to jane/fer-small \(403\); name a repository"),
        (412, AdaferError, r"was changed by somebody else meanwhile \(412\); look at it"),
        (429, MachineError, r"asks for patience \(429\); run this again in some minutes"),
        (500, MachineError, r"answered 500 for jane/fer-small; try again later"),
        (503, MachineError, r"answered 503 for jane/fer-small; try again later"),
    ],
)
@pytest.mark.parametrize("route", ["preupload", "commit"])
def test_a_refusal_is_one_sentence_without_the_token(
    release: Release, hub: Hub, route: str, status: int, kind: type[AdaferError], sentence: str
) -> None:
    hub.fail[route] = status
    with pytest.raises(kind, match=sentence) as refused:
        publish(release)
    message = str(refused.value)
    assert type(refused.value) is kind
    assert message.startswith("nothing was published: ")
    assert "\n" not in message
    assert JANE not in message
    assert hub.files(NAME) == {}


def test_the_repository_of_another_owner_is_refused(release: Release, hub: Hub) -> None:
    with pytest.raises(DataError, match=r"may not write to bill/model"):
        publish(replace(release, repository="bill/model"))
    assert "bill/model" not in hub.repositories


def test_a_login_that_the_hub_does_not_know(
    release: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_forgottenToken12345")
    with pytest.raises(MachineError, match=r"does not know this login") as refused:
        publish(release)
    assert "forgotten" not in str(refused.value)
    assert not hub.repositories


def test_without_a_login_nothing_is_asked(
    release: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MachineError, match=r"no login for the hub"):
        publish(release)
    assert not hub.asked


def test_a_file_that_the_repository_ignores_is_noticed(release: Release, hub: Hub) -> None:
    hub.ignored = ".onnx"
    with pytest.raises(AdaferError, match=r"does not hold export/model.onnx as sent.*\.gitignore"):
        publish(release)


# ── the shell ─────────────────────────────────────────────────────────────────────────────────────


def test_the_shell_publishes_and_predicts_by_the_name(
    run_to_publish: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["publish", str(run_to_publish), "--repo", NAME]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    commit = hub.repositories[NAME].commits[-1][0]
    weights = hub.files(NAME)["weights/best.safetensors"]
    sha256 = hashlib.sha256(weights).hexdigest()
    assert last == f'adafer.load("{NAME}", revision="{commit}", sha256="{sha256}")'
    face = tmp_path / "face.png"
    Image.fromarray(trained.pictures(1)[0]).save(face)
    pins = ["--revision", commit, "--sha256", sha256]
    assert cli.run(["predict", NAME, str(face), "--json", *pins]) == 0
    there = capsys.readouterr().out
    assert cli.run(["predict", str(run_to_publish), str(face), "--json"]) == 0
    assert capsys.readouterr().out == there


def test_a_dry_run_needs_no_login_and_asks_nobody(
    run_to_publish: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    before = {path: path.read_bytes() for path in files_below(run_to_publish)}
    assert cli.run(["publish", str(run_to_publish), "--repo", NAME, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "## Prohibited uses" in shown
    assert "MB  weights/best.safetensors" in shown or "kB  weights/best.safetensors" in shown
    assert "report.html: holds faces of the data" in shown
    assert "dry run: nothing was sent" in shown
    assert not hub.asked
    assert {path: path.read_bytes() for path in files_below(run_to_publish)} == before


def test_a_card_of_ones_own_is_held_to_the_same(
    run_to_publish: Path, release: Release, hub: Hub, tmp_path: Path
) -> None:
    card, words = tmp_path / "card.md", ["publish", str(run_to_publish), "--repo", NAME]
    card.write_text(f"{release.card}\n## Thanks\n\nTo the annotators.\n")
    assert cli.run([*words, "--card", str(card)]) == 0
    assert hub.files(NAME)["README.md"].endswith(b"To the annotators.\n")
    before = hub.files(NAME)
    for text, code in (
        (release.card.replace("## Prohibited uses", "## Fun"), 3),
        (f"{release.card}\nhf_abcdefghijklmnopqrstuv\n", 3),
    ):
        card.write_text(text)
        assert cli.run([*words, "--update", "--card", str(card)]) == code
    assert cli.run([*words, "--card", str(tmp_path / "none.md")]) == 2
    assert cli.run(["publish", str(run_to_publish), "--repo", "no-owner"]) == 2
    assert hub.files(NAME) == before


def test_the_token_may_lie_where_the_trackers_key_lies(
    run_to_publish: Path,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.chdir(tmp_path)
    words = ["publish", str(run_to_publish), "--repo", NAME]
    assert cli.run(words) == 4
    assert "no login for the hub" in capsys.readouterr().err
    (tmp_path / ".env").write_text(f"HF_TOKEN={JANE}\n")
    assert cli.run(words) == 0
    said = capsys.readouterr()
    assert "HF_TOKEN: from .env" in said.out
    assert JANE not in said.out + said.err
    assert hub.files(NAME)


@pytest.mark.parametrize(
    "flag", ["--token", "--token=hf_secretsecretsecret", "--hf-token", "-token", "--API_KEY=x"]
)
def test_a_token_is_never_a_flag(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["publish", "runs/x", "--repo", NAME, flag, "hf_secretsecretsecret"]
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert "a token is never a flag" in said
    assert "HF_TOKEN" in said
    assert "secretsecret" not in said


def test_by_the_environment_alone_in_new_processes(
    run_to_publish: Path, hub: Hub, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": JANE,
        "OMP_NUM_THREADS": "1",
    }
    program = "import sys; from adafer import cli; sys.exit(cli.run(sys.argv[1:]))"
    words = [
        sys.executable,
        "-c",
        program,
        "publish",
        str(run_to_publish),
        "--repo",
        NAME,
        "--private",
    ]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.repositories[NAME].private
    assert set(hub.tokens_seen) == {JANE}
    assert JANE not in done.stdout
