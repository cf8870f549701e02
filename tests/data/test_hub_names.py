"""Sets of the hub by name, from a stand-in for it: what a user reads when something is wrong."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import face_rows, parquet
from PIL import Image

from adafer import cli
from adafer.data import hub_sets, open_data
from adafer.data.hub_errors import without_tokens
from adafer.data.hub_sets import HubName
from adafer.errors import DataError, MachineError, WordsError
from adafer.settings.data import DataSettings

datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
errors = pytest.importorskip("huggingface_hub.errors")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = "hf_ThisIsNobodysToken"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No network, a cache of the test's own, and a token that must never be seen."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr("huggingface_hub.HfApi.list_datasets", lambda *a, **k: [])
    monkeypatch.chdir(tmp_path)
    hub_sets.open_hub.cache_clear()
    yield cache
    hub_sets.open_hub.cache_clear()


def opened(source="hf:someone/faces", **changes):
    return open_data(DataSettings(data=source, **changes))


def fails(error, source="hf:someone/faces"):
    with pytest.raises(error) as caught:
        opened(source)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def answer(monkeypatch, found):
    """Let the library raise this error, or return this builder."""

    def load(*words, **more):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(datasets, "load_dataset_builder", load)


def builder(tables, files=("hf://datasets/someone/faces@main/train.parquet",), commit=COMMIT):
    """What the library returns for a set that it has fetched."""
    return SimpleNamespace(
        hash=commit,
        config=SimpleNamespace(data_files={"train": list(files)}),
        download_and_prepare=lambda: None,
        as_dataset=lambda: tables,
    )


def tables(names=("happy", "sad", "angry"), splits=("train", "test")):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    whole = datasets.Dataset.from_dict(face_rows(range(len(names))), features=features)
    return datasets.DatasetDict(dict.fromkeys(splits, whole))


def cached(cache, tmp_path, name="someone___faces"):
    """Put a set where the library keeps those that it has fetched."""
    root = parquet(tmp_path / "made")
    files = {s: str(root / f"data/{s}-00000-of-00001.parquet") for s in ("train", "test")}
    made = datasets.load_dataset_builder("parquet", data_files=files, cache_dir=str(cache))
    made.download_and_prepare()
    place = cache / name / "default" / "0.0.0" / COMMIT
    shutil.copytree(made.cache_dir, place)
    for file in place.glob("*.arrow"):
        file.rename(file.with_name(file.name.replace("parquet-", "faces-")))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:a/b", HubName("a/b")),
        ("hf:a-1/b.c_d:small", HubName("a-1/b.c_d", "small")),
        ("hf:a/b@v1.0", HubName("a/b", None, "v1.0")),
        ("hf:a/b:c@refs/convert/parquet", HubName("a/b", "c", "refs/convert/parquet")),
        ("hf:a/b@main:c", HubName("a/b", "c", "main")),
    ],
)
def test_a_name_has_a_config_and_a_revision_if_need_be(source, expected):
    assert HubName.parsed(source) == expected


@pytest.mark.parametrize(
    "source", ["hf:", "hf:a", "hf:a/", "hf:/a/b", "hf:../b", "hf:a/b:c:d", "hf:a/b c", "hf:a/b/c"]
)
def test_a_name_of_another_form_is_refused(source):
    assert "is named hf:OWNER/NAME" in fails(WordsError, source)


def test_an_address_is_answered_with_the_name(monkeypatch):
    for address in ("https://huggingface.co/datasets/a/b", "//datasets/a/b"):
        assert "did you mean hf:a/b?" in fails(WordsError, f"hf:{address}")
    assert SECRET not in fails(WordsError, f"hf:https://me:{SECRET}@huggingface.co/datasets/a/b")


def test_a_cached_set_is_read_without_a_network(own_cache, tmp_path):
    cached(own_cache, tmp_path)
    source = opened()
    assert source.layout == "hf"
    assert source.class_names == ("happiness", "sadness", "anger")
    assert source.test().counts() == {"happiness": 1, "sadness": 1, "anger": 1}
    assert len(source.train) + len(source.validation) == 6
    assert any(f"is read at commit {COMMIT}" in note for note in source.train.notes)
    assert opened(f"hf:someone/faces@{COMMIT}").hashes() == opened().hashes()


def test_another_revision_or_config_than_the_cached_is_not_taken_for_it(own_cache, tmp_path):
    cached(own_cache, tmp_path)
    message = fails(MachineError, "hf:someone/faces@v2")
    assert f"at commit {COMMIT}" in message
    assert "cannot be reached for v2" in message
    assert "another config" in fails(MachineError, "hf:someone/faces:large")


def test_without_a_network_one_sentence_says_what_to_do(monkeypatch):
    assert "HF_HUB_OFFLINE is set" in fails(MachineError)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert "the hub cannot be reached" in fails(MachineError)
    generation = datasets.exceptions.DatasetGenerationError("An error occurred")
    generation.__cause__ = ConnectionError(f"https://me:{SECRET}@huggingface.co")
    answer(monkeypatch, generation)
    assert "the hub cannot be reached" in fails(MachineError)


def test_the_client_of_the_hub_may_fail_in_its_own_way(monkeypatch):
    client = sys.modules[errors.HTTPError.__module__.split(".")[0]]
    answer(monkeypatch, client.ConnectError(f"{SECRET} refused"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert "the hub cannot be reached" in fails(MachineError)


@pytest.mark.parametrize(("status", "expected"), [(401, "hf auth login"), (403, "ask for access")])
def test_a_refusal_names_the_login_and_not_the_token(status, expected, monkeypatch):
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    error = errors.HfHubHTTPError(f"{status}: Bearer {SECRET}", response=response)
    wrapped = datasets.exceptions.DatasetGenerationError("An error occurred")
    for raised in (error, wrapped):
        wrapped.__cause__ = error
        answer(monkeypatch, raised)
        assert expected in fails(DataError)


def test_a_busy_hub_is_not_the_users_fault(monkeypatch):
    response = SimpleNamespace(status_code=503, headers={}, request=None)
    answer(monkeypatch, errors.HfHubHTTPError("busy", response=response))
    assert "the hub answered 503 for hf:someone/faces; try again later" in fails(MachineError)


def test_a_gated_set_says_where_to_ask_and_how_to_log_in(monkeypatch):
    text = "Dataset 'someone/faces' is a gated dataset on the Hub. You must be authenticated."
    answer(monkeypatch, datasets.exceptions.DatasetNotFoundError(text))
    message = fails(DataError)
    assert "accept its terms at https://huggingface.co/datasets/someone/faces" in message
    assert "`hf auth login` or set HF_TOKEN" in message


def test_an_unknown_set_gets_the_nearest_name(monkeypatch):
    text = "Dataset 'someone/faces' doesn't exist on the Hub or cannot be accessed."
    answer(monkeypatch, datasets.exceptions.DatasetNotFoundError(text))
    assert "or it is private; correct the name, or log in with" in fails(DataError)
    near = [SimpleNamespace(id="someone/faces2"), SimpleNamespace(id="else/other")]
    monkeypatch.setattr("huggingface_hub.HfApi.list_datasets", lambda *a, **k: near)
    assert "did you mean hf:someone/faces2?" in fails(DataError)

    def fail(*words, **more):
        raise ConnectionError(SECRET)

    monkeypatch.setattr("huggingface_hub.HfApi.list_datasets", fail)
    assert "or it is private; correct the name" in fails(DataError)


def test_an_unknown_revision_is_named(monkeypatch):
    text = "Revision 'v9' doesn't exist for dataset 'someone/faces' on the Hub."
    answer(monkeypatch, datasets.exceptions.DatasetNotFoundError(text))
    assert "hf:someone/faces has no revision v9" in fails(WordsError, "hf:someone/faces@v9")


def test_a_script_is_not_run_and_the_tables_made_of_it_are_proposed(tmp_path, monkeypatch):
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted/scripted.py").write_text("raise SystemExit('run!')")
    load = datasets.load_dataset_builder
    monkeypatch.setattr(
        datasets, "load_dataset_builder", lambda *a, **k: load(str(tmp_path / "scripted"))
    )
    message = fails(DataError)
    assert "a script of its own, which is never run" in message
    assert "--data hf:someone/faces@refs/convert/parquet" in message


def test_the_configs_of_a_set_are_listed(tmp_path, monkeypatch):
    root = parquet(tmp_path / "configs")
    lines = "".join(f"- config_name: {n}\n  data_files: data/train*\n" for n in ("big", "small"))
    (root / "README.md").write_text(f"---\nconfigs:\n{lines}---\n")
    load = datasets.load_dataset_builder
    monkeypatch.setattr(
        datasets, "load_dataset_builder", lambda n, name, revision: load(str(root), name=name)
    )
    for source in ("hf:someone/faces", "hf:someone/faces:tiny"):
        message = fails(WordsError, source)
        assert "has the configs big, small; choose one, as in hf:OWNER/NAME:big" in message


def test_a_set_may_not_name_files_outside_itself(monkeypatch):
    for file in ("/etc/passwd", "https://else.where/a.parquet", "hf://datasets/else/one@x/a"):
        answer(monkeypatch, builder(tables(), [file]))
        assert f"names files outside itself ({file})" in fails(DataError)
    answer(monkeypatch, builder(tables()))
    assert len(opened().train) == 3


def test_a_folder_of_the_same_name_is_not_read_instead(tmp_path):
    (tmp_path / "someone/faces").mkdir(parents=True)
    assert "--data ./someone/faces" in fails(WordsError)


def test_a_set_without_pictures_is_one_sentence(monkeypatch):
    text = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    answer(monkeypatch, builder(datasets.DatasetDict({"train": text})))
    assert "hf:someone/faces has no column with pictures; it has text, label" in fails(DataError)


def test_splits_of_any_name_are_told(monkeypatch):
    answer(monkeypatch, builder(tables(splits=("train", "eval", "unlabelled"))))
    source = opened()
    assert source.test().split == "test"
    assert "the split eval is read as test" in source.train.notes
    assert "splits that are not read: unlabelled" in source.train.notes
    hub_sets.open_hub.cache_clear()
    answer(monkeypatch, builder(tables(splits=("all",))))
    assert len(opened().train) == 3
    hub_sets.open_hub.cache_clear()
    answer(monkeypatch, builder(tables(splits=("one", "two"))))
    assert "has no train split; it has one, two" in fails(DataError)


def test_an_unpinned_number_is_no_commit(monkeypatch):
    answer(monkeypatch, builder(tables(), commit="82e84e1ee8de8a01"))
    assert not any("commit" in note for note in opened().train.notes)


def test_a_layout_on_disk_is_not_of_the_hub(tmp_path):
    with pytest.raises(WordsError, match="csv is a layout on disk; leave out --layout"):
        opened(layout="csv")
    with pytest.raises(WordsError, match="the layout hf is for --data hf:OWNER/NAME"):
        opened(str(parquet(tmp_path / "faces")), layout="hf")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for source in ("hf:someone/faces", str(parquet(tmp_path / "faces"))):
        assert "pip install 'adafer[hub]'" in fails(MachineError, source)


def test_what_may_be_a_token_is_left_out():
    text = f"\nurl https://me:{SECRET}@x.y/z?token={SECRET} Bearer abc.def\nsecond line"
    shown = without_tokens(text)
    assert SECRET not in shown
    assert "abc.def" not in shown
    assert "second" not in shown
    assert len(without_tokens("x" * 1000)) < 200


def test_a_set_is_trained_on_and_evaluated_in_two_commands(monkeypatch, tmp_path, capsys):
    pictures = np.random.default_rng(0).integers(0, 256, (24, 16, 16), np.uint8)
    held = tables(splits=("train",))["train"]
    columns = {"image": list(map(Image.fromarray, pictures)), "label": [0, 1, 2] * 8}
    whole = datasets.Dataset.from_dict(columns, features=held.features)
    parts = {"train": whole.select(range(18)), "test": whole.select(range(18, 24))}
    answer(monkeypatch, builder(datasets.DatasetDict(parts)))
    train = ["train", "tinyvgg", "--data", "hf:someone/faces", "--quiet"]
    small = ["--epochs", "1", "--img-size", "16", "--workers", "0", "--device", "cpu"]
    assert cli.run([*train, *small, "--augment", "none", "--runs", str(tmp_path / "runs")]) == 0
    assert cli.run(["evaluate", str(tmp_path / "runs/tinyvgg"), "--split", "test"]) == 0
    assert "6 faces of hf:someone/faces, split test (hf)" in capsys.readouterr().out
    names = (tmp_path / "runs/tinyvgg/label_map.json").read_text()
    assert json.loads(names) == {"happiness": 0, "sadness": 1, "anger": 2}


def test_the_commands_take_names_of_the_hub(monkeypatch, tmp_path, capsys):
    answer(monkeypatch, builder(tables(("grin", "sad", "angry"))))
    words = ["data", "check", "hf:someone/faces", "--no-near", "--output", str(tmp_path / "out")]
    assert cli.run(words) == 3
    assert "grin is no basic emotion" in capsys.readouterr().err
    hub_sets.open_hub.cache_clear()
    cli.run([*words, "--map", "grin=happiness"])
    assert "hf: 12 faces" in capsys.readouterr().out
    assert (tmp_path / "out/data_check.html").is_file()
