"""Archives: true ones come out whole; names that lead elsewhere and bombs write nothing."""

import os
import struct
import zipfile
from pathlib import Path

import pytest
from byte_zip import BLOCK, CHARACTER, FOLDER, LINK, PIPE, Entry, built, files, refused, written

import adafer
from adafer.archive import MARKER, Limits, extract_dataset
from adafer.errors import DataError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a canary; whatever happens, nothing may appear beside it."""
    (tmp_path / "canary").write_text("sings")
    return tmp_path


# ── true archives ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_true_archive_comes_out_byte_for_byte(place: Path, method: int) -> None:
    content = {
        "train/happy/1.jpg": os.urandom(3_000_000),
        "train/sad/é ü 表情.png": b"x" * 5000,
        "empty.txt": b"",
        "inner.zip": built([Entry()]),
        "train/CONtempt/com.png": b"1",
    }
    with zipfile.ZipFile(place / "faces.zip", "w", method) as archive:
        archive.mkdir("train/none")
        for name, data in content.items():
            archive.writestr(name, data)
    seen: list[tuple[int, int]] = []
    out = extract_dataset(
        place / "faces.zip", place / "a/b", progress=lambda d, t: seen.append((d, t))
    )
    assert out == place / "a/b"
    assert files(out) == content  # the archive inside is a file like any other
    assert (out / "train/none").is_dir()
    total = sum(map(len, content.values()))
    assert seen[-1] == (total, total)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert sorted(p.name for p in (place / "a").iterdir()) == ["b"]


def test_python_names_it_and_a_folder_is_chosen(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(place / "faces.zip", [Entry("a.txt", b"1")])
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    assert adafer.extract_dataset(place / "faces.zip") == place / "work/faces"
    assert files(place / "work/faces") == {"a.txt": b"1"}


def test_zip64_and_comments_are_read(place: Path) -> None:
    entries = [Entry("a.txt", b"1"), Entry("b.txt", b"2" * 99, deflate=True)]
    written(place / "long.zip", entries, zip64={}, comment=b"made by hand")
    assert set(files(extract_dataset(place / "long.zip", place / "out"))) == {"a.txt", "b.txt"}


def test_modes_of_the_archive_are_not_taken_over(place: Path) -> None:
    written(place / "a.zip", [Entry("run.sh", attributes=0o104777 << 16)])
    mode = (extract_dataset(place / "a.zip", place / "out") / "run.sh").stat().st_mode
    assert not mode & 0o6111


def test_what_was_unpacked_is_used_again_until_the_archive_changes(place: Path) -> None:
    archive = written(place / "a.zip", [Entry("a.txt", b"1")])
    out = extract_dataset(archive, place / "out")
    (out / "a.txt").write_text("mine")
    assert files(extract_dataset(archive, place / "out")) == {"a.txt": b"mine"}
    written(archive, [Entry("a.txt", b"2")])
    with pytest.raises(DataError, match=r"another archive.*name a new folder or remove it"):
        extract_dataset(archive, out)
    assert files(out) == {"a.txt": b"mine"}


@pytest.mark.parametrize("marker", ["", "{", "[]", "{}"])
def test_a_marker_that_does_not_fit_is_not_believed(place: Path, marker: str) -> None:
    archive = written(place / "a.zip", [Entry()])
    (place / "out").mkdir()
    (place / "out" / MARKER).write_text(marker)
    with pytest.raises(DataError, match="another archive"):
        extract_dataset(archive, place / "out")


def test_a_folder_with_other_files_is_left_alone(place: Path) -> None:
    archive = written(place / "a.zip", [Entry()])
    (place / "out").mkdir()
    assert files(extract_dataset(archive, place / "out")) == {"a.txt": b"face"}  # it was empty
    (place / "mine").mkdir()
    (place / "mine/work.txt").write_text("1")
    for target in ("mine", "canary"):
        with pytest.raises(DataError, match="not empty; name a new folder"):
            extract_dataset(archive, place / target)
    assert files(place / "mine") == {"work.txt": b"1"}


# ── names that lead elsewhere ────────────────────────────────────────────────────────────────────

ELSEWHERE = [
    "../canary", "a/../../canary", "..", "a/..", "./a", "a/./b", "a//b", "/etc/passwd",
    "//server/share/a", "C:/a", "c:a", "\\\\server\\share\\a", "..\\canary", "a\\b", "/",
]  # fmt: skip
ODD = [
    "a\0.txt", "a\n.txt", "a\x1b[31m", "con", "CON.txt", "a/nul", "Aux.tar.gz", "com1.png",
    "lpt9", "COM¹", "a/prn /b", "a.", "a ", "ab:stream", "a. /b", "x" * 256, "é" * 128,
    "/".join(["x" * 200] * 6), MARKER, ".adafer-unpacking/x",
]  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_path_that_leads_elsewhere_is_refused(place: Path, name: str) -> None:
    archive = written(place / "a.zip", [Entry("fine.txt"), Entry(name)])
    refused(place, archive, "leads elsewhere")


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_is_not_safe_everywhere_is_refused(place: Path, name: str) -> None:
    archive = written(place / "a.zip", [Entry("fine.txt"), Entry(name)])
    said = refused(place, archive, "control character|means something else|too long|reserved name")
    assert said.isprintable()
    assert len(said) < 500


@pytest.mark.parametrize("name", ["console/a", "conan.png", "a.b.c", "...a", ".hidden", "com10"])
def test_names_that_only_look_odd_are_unpacked(place: Path, name: str) -> None:
    archive = written(place / "a.zip", [Entry(name)])
    assert set(files(extract_dataset(archive, place / "out"))) == {name}


@pytest.mark.parametrize(
    "names",
    [
        ("a.txt", "A.TXT"), ("train/a", "Train/b"), ("a", "a"), ("a", "a/b"), ("a/b", "a"),
        ("straße", "STRASSE"), ("\u00e9", "e\u0301"), ("a/", "A/b"), ("a", "a/"),
    ],
)  # fmt: skip
def test_names_that_fall_together_somewhere_are_refused(place: Path, names: list[str]) -> None:
    entries = [
        Entry(n, b"" if n.endswith("/") else b"1", kind=FOLDER if n.endswith("/") else 0o10)
        for n in names
    ]
    refused(place, written(place / "a.zip", entries), "case or accents only|stands there twice")


@pytest.mark.parametrize("kind", [LINK, CHARACTER, BLOCK, PIPE, 0o14])
def test_what_is_no_file_is_refused(place: Path, kind: int) -> None:
    archive = written(place / "a.zip", [Entry("link", b"../canary", kind=kind)])
    refused(place, archive, "is a (symbolic link|device|pipe|socket)")


LINKS = [
    Entry("link", b"x", system=0, attributes=0x400),
    Entry("hard", b"", extra=struct.pack("<HH", 0x0D, 20) + b"\0" * 12 + b"../canar"),
    Entry("soft", b"", extra=struct.pack("<HHLH", 0x756E, 14, 0, 0o120777) + b"\0" * 8),
]


@pytest.mark.parametrize("entry", LINKS, ids=lambda entry: entry.name)
def test_links_told_in_other_ways_are_refused(place: Path, entry: Entry) -> None:
    refused(place, written(place / "a.zip", [entry]), "link")


def test_a_file_that_says_it_is_a_folder_is_refused(place: Path) -> None:
    refused(place, written(place / "a.zip", [Entry("a", kind=FOLDER)]), "a file and a folder")
    refused(place, written(place / "b.zip", [Entry("a/", b"")]), "a file and a folder")
    refused(place, written(place / "c.zip", [Entry("a/", b"1", kind=FOLDER)]), "lies about")


# ── bombs ────────────────────────────────────────────────────────────────────────────────────────


def test_limits_are_those_that_the_help_names() -> None:
    assert Limits() == Limits(
        total_bytes=20 * 10**9, entry_bytes=2 * 10**9, entries=2 * 10**6, ratio=200
    )


def test_a_bomb_is_refused_from_its_listing(place: Path) -> None:
    archive = written(place / "a.zip", [Entry("zeros", bytes(3_000_000), deflate=True)])
    refused(place, archive, r"to 1,0\d\d times its size, limit 200")
    spread = [Entry(str(n), bytes(900_000), deflate=True) for n in range(4)]
    refused(place, written(place / "b.zip", spread), "times its size")
    assert extract_dataset(archive, place / "out", limits=Limits(ratio=2000)).is_dir()


def test_sizes_that_are_claimed_are_refused_before_they_come(place: Path) -> None:
    large = Entry("a", bytes(100_000), deflate=True, size=2_100_000_000, packed_size=10**8)
    refused(place, written(place / "a.zip", [large]), "2.1 GB, limit 2.0 GB")
    many = [Entry(str(n), b"1", method=8, size=1_900_000_000, packed_size=10**8) for n in range(11)]
    refused(place, written(place / "b.zip", many), "unpacks to 20.9 GB, limit 20.0 GB")


def test_too_many_entries_are_refused_by_their_number(place: Path) -> None:
    archive = written(place / "a.zip", [Entry(str(n), b"") for n in range(30)])
    refused(place, archive, "holds 30 entries, limit 20", Limits(entries=20))
    lying = written(place / "b.zip", [Entry(str(n), b"") for n in range(30)], count=10)
    refused(place, lying, "another list of files than it says", Limits(entries=20))


def test_ten_million_empty_files_fill_no_memory(place: Path) -> None:
    """The number alone refuses the archive; the list itself is a hole in the file."""
    size = 10_000_000 * 50
    with (place / "a.zip").open("wb") as file:
        file.truncate(size)
        file.seek(size)
        zip64 = {"count": 10_000_000, "size": size, "start": 0, "place": size}
        file.write(built([], zip64=zip64))
    refused(place, place / "a.zip", "holds 10,000,000 entries, limit 2,000,000")


def test_overlapping_entries_are_refused(place: Path) -> None:
    data = os.urandom(2000)
    shared = [Entry("a", data), Entry("a", data, offset=0)]
    refused(place, written(place / "a.zip", shared), "shares bytes|stands there twice")
    inner = built([Entry("b", data)])[: 30 + 1 + 2000]
    quine = [Entry("a", inner), Entry("b", data, offset=31)]
    refused(place, written(place / "b.zip", quine), "shares bytes")
    beyond = [Entry("a", data, packed_size=2500, size=2500)]
    refused(place, written(place / "c.zip", beyond), "shares bytes|damaged")
