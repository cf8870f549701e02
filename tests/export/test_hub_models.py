"""Models of the hub read back: pins, the cache, no network, repositories of other people."""

import hashlib
import shutil
from pathlib import Path

import pytest
import trained
from hub_stand_in import Hub
from huggingface_hub import constants
from published_runs import NAME, files_below

import adafer
from adafer.errors import DataError, MachineError, WordsError
from adafer.export.publish import publish
from adafer.export.release import Release

# The client uploads with an argument that its own http library is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_another_hash_is_refused_and_the_file_leaves_the_cache(
    release: Release, hub: Hub, tmp_path: Path
) -> None:
    publish(release)
    for _ in range(2):  # the second time it must come from the hub again
        with pytest.raises(DataError, match=r"not those that were asked for .* removed"):
            adafer.load(NAME, sha256="0" * 64)
        left = files_below(tmp_path / "cache")
        assert not [path for path in left if path.name == "best.safetensors"]
        assert release.sha256 not in {
            hashlib.sha256(path.read_bytes()).hexdigest() for path in left
        }
    assert adafer.load(NAME, sha256=release.sha256.upper()).class_names


def test_a_changed_repository_keeps_giving_the_pinned_commit(release: Release, hub: Hub) -> None:
    done = publish(release)
    changed = dict(hub.files(NAME))
    changed["weights/best.safetensors"] = b"\0" * 64
    hub.repositories[NAME].commit(changed)
    assert adafer.load(NAME, revision=done.commit).class_names
    with pytest.raises(DataError, match=r"not those that were asked for"):
        adafer.load(NAME, sha256=release.sha256)
    with pytest.raises(DataError, match=r"is not the file that config\.json describes"):
        adafer.load(f"{NAME}@main")


def test_what_was_fetched_once_is_there_without_a_network(
    release: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(release)
    faces = trained.pictures(3)
    before = adafer.load(NAME).predict(faces)
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert adafer.load(NAME).predict(faces) == before
    assert len(hub.asked) == asked
    with pytest.raises(MachineError, match=r"HF_HUB_OFFLINE is set and jane/other is not in the"):
        adafer.load("jane/other")


def test_a_dead_hub_is_no_reason_to_stop_where_the_cache_has_the_model(
    release: Release, hub: Hub
) -> None:
    publish(release)
    adafer.load(NAME)
    hub.fail["resolve"] = "hang up"
    assert adafer.load(NAME).class_names
    with pytest.raises(
        MachineError, match=r"no model 'jane/other' on this disk, the hub cannot be"
    ):
        adafer.load("jane/other")


def test_a_repository_that_was_not_published_by_this_is_refused(
    release: Release, hub: Hub, tmp_path: Path
) -> None:
    publish(release)
    hub.repositories[NAME].commit({"pytorch_model.bin": b"\x80\x04.", "config.json": b"{}"})
    with pytest.raises(DataError, match=r"holds no model that `adafer publish` wrote"):
        adafer.load(NAME)
    assert not [path for path in files_below(tmp_path / "cache") if path.suffix == ".bin"]


def test_a_pickle_under_the_name_of_weights_is_not_opened(release: Release, hub: Hub) -> None:
    publish(release)
    hub.repositories[NAME].commit(
        dict(release.files) | {"weights/best.safetensors": b"\x80\x04cos\nsystem\n."}
    )
    with pytest.raises(DataError, match=r"may hold a pickle"):
        adafer.load(NAME)


def test_a_gated_model_and_a_missing_revision_say_so(release: Release, hub: Hub) -> None:
    publish(release)
    with pytest.raises(WordsError, match=r"has no revision 'v9'"):
        adafer.load(NAME, revision="v9")
    hub.repositories[NAME].gated = True
    with pytest.raises(DataError, match=r"is gated; accept its terms"):
        adafer.load(NAME)


def test_a_path_goes_before_a_name_and_a_misspelt_path_asks_nobody(
    run_to_publish: Path,
    release: Release,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_to_publish / "weights", tmp_path / NAME / "weights")
    assert adafer.load(NAME).path == Path(NAME) / "weights/best.safetensors"
    with pytest.raises(WordsError, match=r"is a path, and revision and sha256 pin a model"):
        adafer.load(NAME, sha256=release.sha256)
    for misspelt in ("jane/fer-smal", "runs/first", "./a/b", "a/b/c", "models/a.onnx"):
        with pytest.raises(DataError, match=r"no model"):
            adafer.load(misspelt)
    assert not hub.asked
    with pytest.raises(DataError, match=r"on this disk or on the hub"):
        adafer.load("hf:jane/fer-small")
    assert hub.asked


@pytest.mark.parametrize("name", ["hf:no-owner", "hf:a/b/c", "hf:-a/b", "hf:a/b..c", "hf:/etc/x"])
def test_a_name_that_cannot_be_one(name: str, hub: Hub) -> None:
    with pytest.raises(WordsError, match=r"is called OWNER/NAME"):
        adafer.load(name)
    assert not hub.asked


@pytest.mark.parametrize("sha256", ["", "12ab", "z" * 64, "sha256:" + "0" * 64])
def test_a_pin_that_can_be_no_hash(sha256: str, hub: Hub) -> None:
    with pytest.raises(WordsError, match=r"64 hexadecimal digits"):
        adafer.load(NAME, sha256=sha256)
