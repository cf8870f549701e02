"""Kaggle: inputs are found in every form, nothing is written among them, faults are told."""

import json
import shutil
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY, refused, rows
from fakes import FAKES, imagefolder, rafdb_kaggle
from kaggle_trees import SMALL, locked, plain, seen, unlocked, zipped

import adafer
from adafer import cli, kaggle
from adafer.archive import MARKER
from adafer.data import open_data
from adafer.data.loader import workers_for
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.kaggle import bring_run, default_runs, earlier_run, workplace
from adafer.progress import Silence
from adafer.run import require_place
from adafer.settings.data import DataSettings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A simulated /kaggle without inputs."""
    for name in ("input", "working"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("ADAFER_KAGGLE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path / "working")
    yield tmp_path
    unlocked(tmp_path / "input")


def found(source: str = "kaggle", layout: str = "auto") -> tuple[str, Path]:
    opened = open_data(DataSettings(data=source, layout=layout))
    return opened.layout, opened.root


# ── where this is ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ADAFER_KAGGLE_ROOT", "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_kaggle_goes_before_colab_on_whose_image_its_own_is_built(
    nowhere: pytest.MonkeyPatch,
) -> None:
    assert (workplace().kind, default_runs()) == ("none", Path("runs"))
    nowhere.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert (workplace().kind, default_runs()) == ("colab", Path("runs"))
    nowhere.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert workplace().kind == "kaggle"
    assert workplace().inputs == Path("/kaggle/input")
    assert default_runs() == Path("/kaggle/working/checkpoints")


def test_elsewhere_there_are_no_inputs_and_the_sentence_says_what_to_do(
    nowhere: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError, match=r"this is not Kaggle; give the path of your faces"):
        found()


def test_workers_are_four_or_the_cores_and_a_wish_wins(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores, chosen in ((1, 1), (2, 2), (4, 4), (8, 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: range(n), raising=False)
        assert workers_for(-1) == chosen
        assert workers_for(7) == 7
    monkeypatch.delenv("ADAFER_KAGGLE_ROOT")
    assert workers_for(-1) == 6


# ── finding ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mount", ["faces", "datasets/owner/faces", "competitions/faces"])
@pytest.mark.parametrize("layout", ["imagefolder", "rafdb-kaggle", "ferplus", "parquet"])
def test_a_data_set_is_found_in_every_form_of_mount(root: Path, mount: str, layout: str) -> None:
    FAKES[layout](root / "input" / mount)
    assert found() == (layout, root / "input" / mount)
    assert found("kaggle:FACES") == (layout, root / "input" / mount)


def test_it_may_lie_deeper_and_beside_what_is_none(root: Path) -> None:
    imagefolder(root / "input/set/Archive v2/faces")
    (root / "input/weights/resnet50").mkdir(parents=True)
    (root / "input/titanic").mkdir()
    (root / "input/titanic/submission.csv").write_text("PassengerId,Survived\n1,0\n")
    assert found() == ("imagefolder", root / "input/set/Archive v2/faces")


def test_a_set_that_is_called_datasets_is_found_all_the_same(root: Path) -> None:
    imagefolder(root / "input/datasets")
    assert found() == ("imagefolder", root / "input/datasets")


def test_both_forms_of_one_mount_are_one_data_set(root: Path) -> None:
    imagefolder(root / "input/datasets/owner/faces")
    (root / "input/faces").symlink_to(root / "input/datasets/owner/faces")
    assert found()[0] == "imagefolder"


def test_links_that_lead_out_of_a_data_set_and_in_circles_are_not_followed(root: Path) -> None:
    imagefolder(root / "elsewhere")
    inside = root / "input/odd"
    inside.mkdir()
    (inside / "out").symlink_to(root / "elsewhere")
    (inside / "round").symlink_to(inside)
    with pytest.raises(DataError, match="no data set of a known layout"):
        found()


def test_several_are_listed_and_a_part_of_the_path_chooses(root: Path) -> None:
    imagefolder(root / "input/rafdb")
    imagefolder(root / "input/rafdb-more")
    rafdb_kaggle(root / "input/datasets/me/other")
    with pytest.raises(DataError) as refusal:
        found()
    said = str(refusal.value)
    assert "datasets/me/other, rafdb, rafdb-more; say which: --data kaggle:NAME" in said
    assert found("kaggle:rafdb")[1] == root / "input/rafdb"  # a whole name goes before a piece
    assert found("kaggle:-more")[1] == root / "input/rafdb-more"
    assert found("kaggle:me/other")[0] == "rafdb-kaggle"
    assert found(layout="rafdb-kaggle")[1] == root / "input/datasets/me/other"
    with pytest.raises(DataError, match=r"no data set below .* has 'fer' in its path; there is"):
        found("kaggle:fer")
    with pytest.raises(DataError, match=r"2 data sets .* could be meant: rafdb, rafdb-more;"):
        found("kaggle:rafd")


@pytest.mark.parametrize("source", ["kaggle:", "kaggle: ", "kaggle:/"])
def test_an_empty_name_is_refused(root: Path, source: str) -> None:
    with pytest.raises(WordsError, match="kaggle:NAME"):
        found(source)


@pytest.mark.parametrize("source", ["kaggle:../../etc", "kaggle:..", "kaggle:/etc", "kaggle:~"])
def test_a_name_is_compared_and_never_followed(root: Path, source: str) -> None:
    imagefolder(root / "input/faces")
    imagefolder(root / "etc")
    with pytest.raises(DataError, match="in its path; there is faces"):
        found(source)


def test_nothing_there_says_what_is(root: Path) -> None:
    with pytest.raises(DataError, match=r"it holds nothing\); attach one \(Add Input\)"):
        found()
    (root / "input/set").mkdir()
    (root / "input/set/faces.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"set/faces\.tar\.gz cannot be opened here: only zip can"):
        found()
    shutil.rmtree(root / "input")
    with pytest.raises(DataError, match="is no folder"):
        found()
    (root / "input").mkdir()


def test_runs_among_the_inputs_are_no_data_sets(root: Path) -> None:
    imagefolder(root / "input/output/checkpoints/first/panels")
    (root / "input/output/checkpoints/first/run.json").write_text("{}")
    plain(root / "input/faces", 14)
    assert found()[1] == root / "input/faces"


# ── archives ──────────────────────────────────────────────────────────────────────────────────────


def test_a_zip_is_unpacked_once_and_used_again(root: Path) -> None:
    archive = zipped(rafdb_kaggle(root / "pack"), root / "input/raf/archive.zip")
    before = seen(locked(root / "input"))
    place = root / "working/data/raf-archive"
    assert found() == ("rafdb-kaggle", place)
    first = seen(place)
    assert found("kaggle:archive") == ("rafdb-kaggle", place)
    assert seen(place) == first
    assert seen(root / "input") == before
    source = open_data(DataSettings(data="kaggle"))
    assert source.train.notes[0] == f"kaggle is {place}"
    assert (place / MARKER).is_file()
    assert archive.is_file()


def test_an_interrupted_unpacking_is_repeated(root: Path) -> None:
    zipped(rafdb_kaggle(root / "pack"), root / "input/raf/archive.zip")
    whole = found()[1]
    files = {path.relative_to(whole) for path in whole.rglob("*")}
    half = whole.with_name(whole.name + ".partial")
    whole.rename(half)
    (half / MARKER).unlink()
    (half / ".adafer-unpacking").touch()  # as a killed process leaves it
    shutil.rmtree(half / "DATASET/test")
    assert {path.relative_to(whole) for path in found()[1].rglob("*")} == files
    assert not half.exists()


def test_a_set_deep_inside_a_zip_is_found_and_a_folder_goes_before_a_zip(root: Path) -> None:
    imagefolder(root / "pack/a/b/faces")
    (root / "pack/notes").mkdir()
    zipped(root / "pack", root / "input/deep/x.zip")
    assert found()[1] == root / "working/data/deep-x/a/b/faces"
    imagefolder(root / "input/open")
    assert found()[1] == root / "input/open"
    assert found("kaggle:x.zip")[1] == root / "working/data/deep-x/a/b/faces"


@pytest.mark.parametrize("fault", ["escape", "link", "truncated", "text", "bomb", "nothing"])
def test_a_bad_archive_is_refused_and_leaves_nothing(root: Path, fault: str) -> None:
    path = root / "input/bad/archive.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/happy/1.png", b"0" * (30_000_000 if fault == "bomb" else 10))
        if fault == "escape":
            archive.writestr("../../../escaped.txt", "out")
        if fault == "link":
            link = zipfile.ZipInfo("train/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    if fault in ("text", "nothing"):
        path.write_bytes(b"no archive" if fault == "text" else b"")
    with pytest.raises(DataError):
        found()
    assert list((root / "working").iterdir()) == []
    assert not (root / "escaped.txt").exists()


def test_a_zip_without_a_known_layout_says_where_it_lies(root: Path) -> None:
    (root / "pack/papers").mkdir(parents=True)
    (root / "pack/papers/read.txt").write_text("x")
    zipped(root / "pack", root / "input/papers/all.zip")
    with pytest.raises(DataError, match="holds no known layout; `adafer data check"):
        found()


Usage = namedtuple("Usage", "total used free")


def test_no_room_to_unpack_is_told_and_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(rafdb_kaggle(root / "pack"), root / "input/raf/archive.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, 0))
    with pytest.raises(MachineError, match="free space"):
        found()
    assert list((root / "working").iterdir()) == []


# ── outputs ───────────────────────────────────────────────────────────────────────────────────────


def test_the_shell_and_python_keep_runs_below_working(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = seen(locked(plain(root / "input/rafdb", 70).parent))
    words = ["train", "tinyvgg", "--data", "kaggle", "--epochs", "1", "--quiet"]
    assert cli.run([*words, "--device", "cpu", "--workers", "0"]) == 0
    run = root / "working/checkpoints/tinyvgg"
    assert (run / "weights/best.safetensors").is_file()
    assert (run / "state").is_dir()
    assert "data: kaggle\n" in (run / "recipe.yaml").read_text()
    assert cli.run(["evaluate", "--split", "test"]) == 0
    assert f"latest run: {run}" in capsys.readouterr().out
    assert seen(root / "input") == before
    assert [path.name for path in (root / "working").iterdir()] == ["checkpoints"]


def test_no_run_is_begun_where_it_cannot_be_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *TINY, "--epochs", "1"]
    said = refused(capsys, [*words, "--runs", str(root / "input/runs")], 2)
    assert "is among Kaggle's inputs; leave --runs out" in said
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "cannot write to" in refused(capsys, words, 1)
    monkeypatch.undo()
    monkeypatch.setenv("ADAFER_KAGGLE_ROOT", str(root))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, 5_000_000))
    assert "has 5 MB free and a run needs 100 MB or more; free space" in refused(capsys, words, 4)
    assert not (root / "working/checkpoints").exists()


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AdaferError, match=r"cannot write to .*file"):
        require_place(tmp_path / "file" / "runs")
    require_place(tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("one_thread")
def test_the_clock_stops_a_training_and_another_session_ends_it_as_if_it_had_not(
    root: Path,
) -> None:
    plain(root / "input/rafdb", 70)
    settings = SMALL | {"data": "kaggle:rafdb"}
    whole = adafer.train("act-graves", name="whole", watcher=Silence(), **settings)
    cut = adafer.train("act-graves", name="cut", hours=1e-9, watcher=Silence(), **settings)
    assert cut.facts()["exit_reason"] == "the time is over"
    assert (cut.path / "state").is_dir()
    # In the next session the same data set is mounted in the other form.
    (root / "input/datasets/owner").mkdir(parents=True)
    (root / "input/rafdb").rename(root / "input/datasets/owner/rafdb")
    again = adafer.train(resume=earlier_run("cut"), watcher=Silence())
    assert again.path == root / "working/checkpoints/cut"
    assert rows(again.path) == rows(whole.path)
    assert len(rows(whole.path)) == 2


# ── runs of an earlier session ────────────────────────────────────────────────────────────────────


def kept_run(folder: Path, identifier: str) -> Path:
    (folder / "state").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"identifier": identifier}))
    (folder / "recipe.yaml").write_text("name: x\n")
    (folder / "state/weights").write_bytes(b"123")
    return folder


def test_a_run_among_the_inputs_is_copied_once_and_may_be_written_to(root: Path) -> None:
    earlier = kept_run(root / "input/notebooks/me/training/checkpoints/first", "one")
    (earlier / "link").symlink_to("/etc/passwd")
    locked(root / "input")
    assert earlier_run("first") == earlier
    assert earlier_run("second") is None
    copy = bring_run(earlier, default_runs())
    assert copy == root / "working/checkpoints/first"
    assert copy.stat().st_mode & 0o200
    assert (copy / "state").stat().st_mode & 0o200
    assert not (copy / "link").exists()
    (copy / "state/weights").write_bytes(b"456")
    assert bring_run(earlier, default_runs()) == copy
    assert (copy / "state/weights").read_bytes() == b"456"
    assert earlier_run("first") == copy
    assert [path.name for path in copy.parent.iterdir()] == ["first"]


def test_another_run_of_that_name_is_left_alone(root: Path) -> None:
    earlier = kept_run(root / "input/old/checkpoints/first", "one")
    kept_run(root / "working/checkpoints/first", "two")
    with pytest.raises(DataError, match="is another run than"):
        bring_run(earlier, default_runs())


def test_a_copy_that_fails_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = kept_run(root / "input/old/checkpoints/first", "one")

    def full(*given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kaggle.shutil, "copytree", full)
    with pytest.raises(MachineError, match="No space left on device"):
        bring_run(earlier, default_runs())
    assert not (root / "working/checkpoints/first").exists()
