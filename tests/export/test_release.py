"""What leaves a run folder and what never does: the list, the machine, secrets, stale files."""

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path

import onnx
import pytest
import torch
import yaml
from published_runs import NAME

import adafer
from adafer import cli
from adafer.bundle import keep_temperature, load_bundle, save_bundle
from adafer.errors import DataError
from adafer.export.anonymous import public_facts, public_recipe, without_places
from adafer.export.onnx import export_onnx
from adafer.export.release import prepare_release
from adafer.export.run_scan import ALLOWED
from adafer.recipe import Recipe
from adafer.recipes import RECIPES
from adafer.run import open_run

FAKE_TOKENS = (
    "hf_abcdefghijklmnopqrst",
    "ghp_abcdefghijklmnopqrst0123",
    "github_pat_11ABCDEFG0abcdefghij",
    "AKIAABCDEFGHIJKLMNOP",
    "https://jane:geheim@example.org/x",
    "-----BEGIN RSA PRIVATE KEY-----",
)


@pytest.fixture
def run(run_to_publish: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_to_publish, tmp_path / "runs" / "tinyvgg"))


def rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_exactly_these_files_leave_a_run(run: Path) -> None:
    (run / "notes.txt").write_text("about jane")
    release = prepare_release(run, NAME)
    assert set(release.files) == {
        *("README.md", "label_map.json", "recipe.yaml", "run.json"),
        *("results.csv", "history.png", "weights/best.safetensors", "weights/config.json"),
        *("export/model.onnx", "export/parity.json", "export/export.json"),
        *(
            f"eval/{split}/{name}"
            for split in ("test", "val")
            for name in ("metrics.json", "confusion_matrix.csv", "confusion_matrix.png")
        ),
    }
    stays = {found.place for found in release.left_out}
    assert {"report.html", "state/", "notes.txt", "eval/test/predictions.csv"} <= stays
    there = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    covered = {place for place in there if place in ALLOWED or place in stays}
    covered |= {place for place in there if f"{place.partition('/')[0]}/" in stays}
    assert covered == there


def test_nothing_tells_of_the_machine(run: Path) -> None:
    home, host = str(Path.home()), socket.gethostname()
    secret_place = f"{run.parents[1]}/faces of jane"
    facts = open_run(run).facts()
    facts["data"] |= {
        "source": secret_place,
        "layout": "ferplus",
        "unreadable": [[f"{secret_place}/a.png", "no picture"]],
        "composition": {"sources": [{"name": "faces", "source": secret_place, "train": 3}]},
    }
    rewrite(
        run / "run.json",
        command=["adafer", "train", "--data", secret_place, "--name", "jane-private"],
        host=host,
        user="jane-the-user",
        data=facts["data"],
        test_uses=[{"time": "2026-01-01", "data": secret_place, "n": 3}],
        started_from={"source": f"{home}/w.safetensors", "sha256": "ab", "license": None},
        teacher={"weights": f"{secret_place}/best.safetensors", "sha256": "cd"},
    )
    config = json.loads((run / "weights/config.json").read_text())
    config["recipe"]["data"] |= {"data": secret_place, "roots": [secret_place]}
    (run / "weights/config.json").write_text(json.dumps(config))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["data"] |= {"data": secret_place, "roots": [secret_place], "also": [secret_place]}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    everything = b"\0".join(prepare_release(run, NAME).files.values()).decode(errors="replace")
    for told in (str(run), secret_place, run.parents[1].name, "jane-private", "jane-the-user"):
        assert told not in everything
    assert f"{home}/" not in everything or home == "/"
    assert "a.png" not in everything
    published = yaml.safe_load(prepare_release(run, NAME).files["recipe.yaml"])
    assert published["data"]["data"] == "ferplus"
    assert published["data"]["roots"] == []
    assert published["data"]["also"] == ["faces of jane"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/jane/x.txt", "x.txt"),
        ("/home/jane doe/faces/", "faces"),
        ("file:///home/jane/y", "y"),
        (r"C:\Users\jane\z.csv", "z.csv"),
        (r"\\server\share\faces", "faces"),
        ("~/secret/key", "key"),
        ("no file at /home/jane/a.png; skipped", "no file at a.png; skipped"),
        ("see https://huggingface.co/a/b", "see https://huggingface.co/a/b"),
        ("train / val", "train / val"),
        ("timm/resnet18.a1", "timm/resnet18.a1"),
        ("12/2", "12/2"),
    ],
)
def test_only_the_last_part_of_a_path_is_left(text: str, left: str) -> None:
    assert without_places({"note": [text]}) == {"note": [left]}


def test_names_of_the_hub_and_toy_stay_and_the_recipe_still_reads() -> None:
    recipe = RECIPES["transfer-resnet50"].to_dict()
    for source, told in (
        ("toy", "toy"),
        ("hf:jane/faces", "hf:jane/faces"),
        ("../mine", "imagefolder"),
    ):
        recipe["data"] = {**recipe["data"], "data": source}
        public = public_recipe(recipe, "imagefolder")
        assert public["data"]["data"] == told
        assert Recipe.from_dict(public).data.data == told
    facts = public_facts({"data": {"source": "hf:jane/faces", "layout": "hf"}, "command": ["x"]})
    assert facts == {"data": {"source": "hf:jane/faces", "layout": "hf", "unreadable": 0}}


@pytest.mark.parametrize("token", FAKE_TOKENS)
@pytest.mark.parametrize("place", ["results.csv", "recipe.yaml", "eval/val/confusion_matrix.csv"])
def test_a_token_in_a_file_that_would_go_out_is_refused_and_not_shown(
    run: Path, place: str, token: str
) -> None:
    if place == "recipe.yaml":
        recipe = yaml.safe_load((run / place).read_text())
        (run / place).write_text(yaml.safe_dump(recipe | {"summary": f"a {token} b"}))
    else:
        (run / place).write_text(f"{(run / place).read_text()}{token}\n")
    with pytest.raises(DataError, match=r"would publish a token or password") as refused:
        prepare_release(run, NAME)
    assert token not in str(refused.value)


def test_the_value_of_a_secret_variable_is_found_whatever_it_looks_like(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_release(run, NAME)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    with (run / "results.csv").open("a") as file:
        file.write("0123456789abcdef0123456789abcdef01234567\n")
    with pytest.raises(DataError, match=r"results\.csv would publish a token"):
        prepare_release(run, NAME)


@pytest.mark.parametrize(
    ("place", "content", "reason"),
    [
        (".env", b"HF_TOKEN=x", "a secret, by its name"),
        ("state/.env.local", b"", "a secret, by its name"),
        ("weights/kaggle.json", b"{}", "a secret, by its name"),
        ("weights/id_rsa", b"", "a secret, by its name"),
        ("faces/a.jpg", b"\xff\xd8", "pictures or data"),
        ("eval/val/worst.png", b"\x89PNG", "pictures or data"),
        ("weights/best.pt", b"", "may hold a pickle"),
        ("state/optimiser.ckpt", b"", "may hold a pickle"),
        ("weights/model", b"\x80\x04K\x01.", "may hold a pickle"),
        ("eval/test/wandb/run.json", b"{}", "a tracker's folder"),
    ],
)
def test_what_must_not_lie_in_a_public_run_is_refused_with_its_name(
    run: Path, place: str, content: bytes, reason: str
) -> None:
    (run / place).parent.mkdir(parents=True, exist_ok=True)
    (run / place).write_bytes(content)
    with pytest.raises(DataError) as refused:
        prepare_release(run, NAME)
    assert f"{place} ({reason})" in str(refused.value)
    assert str(refused.value).endswith("move it elsewhere")


def test_all_of_them_are_listed(run: Path) -> None:
    for number in range(12):
        (run / f"{number:02}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"00\.jpg .*07\.jpg \(pictures or data\) and 4 more; move"):
        prepare_release(run, NAME)


def test_what_this_program_writes_itself_is_left_out_not_refused(run: Path) -> None:
    for place in ("explain/a/panels/000.png", "steps/val/trajectory.npz", "wandb/run/files/x.png"):
        (run / place).parent.mkdir(parents=True)
        (run / place).write_bytes(b"x")
    stays = {found.place for found in prepare_release(run, NAME).left_out}
    assert {"explain/", "steps/", "wandb/"} <= stays


@pytest.mark.parametrize("place", ["history.png", "results.csv", "eval/val", "export"])
def test_a_link_is_refused_wherever_it_leads(run: Path, tmp_path: Path, place: str) -> None:
    (run / place).rename(tmp_path / "elsewhere")
    (run / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"{place} \(a link, or no plain file\)"):
        prepare_release(run, NAME)


def test_a_pipe_is_not_waited_for(run: Path) -> None:
    os.mkfifo(run / "results.pipe")
    with pytest.raises(DataError, match=r"results\.pipe \(a link, or no plain file\)"):
        prepare_release(run, NAME)


def test_a_plot_that_is_no_picture_is_refused(run: Path) -> None:
    (run / "history.png").write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    with pytest.raises(DataError, match=r"is no PNG"):
        prepare_release(run, NAME)


def test_a_missing_graph_is_exported_first(run: Path) -> None:
    shutil.rmtree(run / "export")
    said: list[str] = []
    release = prepare_release(run, NAME, tell=said.append)
    assert "exporting it" in said[0]
    assert release.files["export/model.onnx"] == (run / "export/model.onnx").read_bytes()


def test_a_graph_that_was_never_compared_is_refused(run: Path) -> None:
    export_onnx(run, verify=False)
    with pytest.raises(DataError, match=r"no record that it was compared .*adafer export"):
        prepare_release(run, NAME)
    (run / "export/parity.json").unlink()
    with pytest.raises(DataError, match=r"no record that it was compared"):
        prepare_release(run, NAME)


def test_a_graph_of_other_weights_is_refused(run: Path) -> None:
    bundle = load_bundle(run)
    with torch.no_grad():
        next(iter(bundle.model.parameters())).mul_(1.5)
    save_bundle(
        run,
        "best",
        bundle.model,
        recipe=bundle.recipe,
        class_names=bundle.class_names,
        preprocessing=bundle.preprocessing,
        facts={"epoch": 2, "metric": "val_macro_f1"},
    )
    with pytest.raises(DataError, match=r"answers otherwise than the weights"):
        prepare_release(run, NAME)


def test_a_graph_of_another_temperature_is_refused(run: Path) -> None:
    keep_temperature(run, "best", 1.7)
    with pytest.raises(DataError, match=r"answers otherwise than the weights"):
        prepare_release(run, NAME)
    export_onnx(run)
    config = json.loads(prepare_release(run, NAME).files["weights/config.json"])
    assert config["files"]["best"]["temperature"] == 1.7


def test_a_changed_graph_or_one_with_outside_data_is_refused(run: Path) -> None:
    path = run / "export/model.onnx"
    program = onnx.load_model(path)
    tensor = program.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    path.write_bytes(program.SerializeToString())
    with pytest.raises(DataError, match=r"is not the file that was verified"):
        prepare_release(run, NAME)
    (run / "export/parity.json").unlink()
    with pytest.raises(DataError, match=r"takes weights from other files"):
        prepare_release(run, NAME)


@pytest.fixture
def run_in_8_bits(run: Path) -> Path:
    assert cli.run(["export", str(run), "--int8", "--max-drop", "1"]) == 0
    return run


def test_a_graph_in_8_bits_goes_out_with_what_it_costs(run_in_8_bits: Path) -> None:
    release = prepare_release(run_in_8_bits, NAME)
    data = (run_in_8_bits / "export/model.int8.onnx").read_bytes()
    assert release.files["export/model.int8.onnx"] == data
    record = json.loads(release.files["export/export.json"])["model.int8.onnx"]
    assert record["made_of"] == hashlib.sha256(release.files["export/model.onnx"]).hexdigest()
    proof = json.loads(release.files["export/parity.json"])["model.int8.onnx"]
    assert proof["sha256"] == hashlib.sha256(data).hexdigest()
    row = next(line for line in release.card.splitlines() if "model.int8.onnx" in line)
    after, before = record["after"]["accuracy"], record["before"]["accuracy"]
    assert f"{len(data) / 1e6:.2f} MB" in row
    assert f"{after:.1%} of 28 validation faces right instead of {before:.1%}" in row


def test_8_bits_of_another_graph_or_without_a_record_are_refused(run_in_8_bits: Path) -> None:
    path, record = run_in_8_bits / "export/model.int8.onnx", run_in_8_bits / "export/export.json"
    told = json.loads(record.read_text())
    rewrite(record, **{"model.int8.onnx": told["model.int8.onnx"] | {"made_of": "0" * 64}})
    with pytest.raises(DataError, match=r"was not made of model\.onnx beside it; run `adafer expo"):
        prepare_release(run_in_8_bits, NAME)
    record.write_text(json.dumps({"model.onnx": told["model.onnx"]}))
    with pytest.raises(DataError, match="has no record of what it costs"):
        prepare_release(run_in_8_bits, NAME)
    record.write_text(json.dumps(told))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="is not the file that was measured"):
        prepare_release(run_in_8_bits, NAME)
    path.unlink()
    assert "export/model.int8.onnx" not in prepare_release(run_in_8_bits, NAME).files


def test_a_run_without_figures_or_facts_is_refused(run: Path) -> None:
    facts = (run / "run.json").read_text()
    (run / "run.json").unlink()
    with pytest.raises(DataError, match=r"has no run\.json that tells of its data"):
        prepare_release(run, NAME)
    (run / "run.json").write_text(facts)
    shutil.rmtree(run / "eval")
    with pytest.raises(DataError, match=r"was not measured on any split"):
        prepare_release(run, NAME)
    with pytest.raises(DataError, match=r"no run in"):
        prepare_release(run / "weights", NAME)


def test_figures_of_another_model_are_refused(run: Path) -> None:
    rewrite(run / "eval/val/metrics.json", class_names=["a", "b"])
    with pytest.raises(DataError, match=r"is not of this model"):
        prepare_release(run, NAME)


def test_data_of_unknown_origin_wants_a_note(run: Path) -> None:
    facts = open_run(run).facts()
    rewrite(run / "run.json", data=facts["data"] | {"source": "x/mine", "layout": "imagefolder"})
    with pytest.raises(DataError, match=r"--data-note TEXT"):
        prepare_release(run, NAME)
    card = prepare_release(run, NAME, data_note="Studio pictures of actors, CC0.").card
    assert "Studio pictures of actors, CC0." in card


@pytest.mark.usefixtures("one_thread")
def test_a_recipe_that_was_published_repeats_the_training(run: Path, tmp_path: Path) -> None:
    text = prepare_release(run, NAME).files["recipe.yaml"].decode()
    recipe = Recipe.from_yaml(text)
    assert recipe == open_run(run).recipe()
    again = adafer.train(recipe, runs=tmp_path / "again")
    first, second = (load_bundle(path).model.state_dict() for path in (run, again.path))
    assert all(torch.equal(first[name], second[name]) for name in first)
