"""Archives that lie or are damaged, and disks that fail: nothing half done is left."""

import errno
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from byte_zip import Entry, built, files, refused, written

from adafer.archive import extract_dataset, unpack
from adafer.errors import AdaferError, DataError, MachineError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a canary; whatever happens, nothing may appear beside it."""
    (tmp_path / "canary").write_text("sings")
    return tmp_path


# ── lies and damage ──────────────────────────────────────────────────────────────────────────────

FINE = [Entry("a.txt", b"1" * 500), Entry("b.txt", b"2" * 500, deflate=True)]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_archive_is_refused(place: Path, share: float) -> None:
    whole = built(FINE)
    (place / "a.zip").write_bytes(whole[: int(len(whole) * share)])
    refused(place, place / "a.zip", "cut short|is no zip|bytes after|fetch it again")


def test_every_flipped_byte_is_refused_or_changes_nothing(place: Path) -> None:
    whole = built(FINE)
    truth = {"a.txt": b"1" * 500, "b.txt": b"2" * 500}
    for at in range(0, len(whole), 3):
        (place / "a.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            out = extract_dataset(place / "a.zip", place / f"out{at}")
        except DataError:
            assert {p.name for p in place.iterdir() if p.name.startswith(f"out{at}")} == set()
        else:
            found = files(out)
            assert sorted(found.values()) == sorted(truth.values())


SECRETS = {"password": 0x801, "strong": 0x841, "hidden": 0x2800}


@pytest.mark.parametrize("flags", SECRETS.values(), ids=SECRETS.keys())
def test_a_password_is_refused(place: Path, flags: int) -> None:
    refused(place, written(place / "a.zip", [Entry(flags=flags)]), "protected by a password")


@pytest.mark.parametrize("method", [9, 12, 14, 93, 99])
def test_other_methods_are_refused(place: Path, method: int) -> None:
    refused(place, written(place / "a.zip", [Entry(method=method)]), "method other than")


LIES = {
    "disk": ({"disk": 1}, "split archive"),
    "offset": ({"list_offset": 7}, "lies about where"),
    "size": ({"list_size": 10**6}, "lies about where"),
    "short": ({"list_size": 51}, "lies about where"),
    "count": ({"count": 3}, "another list of files"),
    "before": ({"before": b"#!/bin/sh\n", "list_offset": 1080}, "lies about where"),
    "zip64 elsewhere": ({"zip64": {"place": 12}}, "elsewhere than it says"),
    "zip64 start": ({"zip64": {"start": 5}}, "lies about where"),
    "zip64 count": ({"zip64": {"count": 2**40}}, "holds 1,099,511,627,776 entries"),
    "zip64 disk": ({"zip64": {"disk": 2}}, "two different things"),
    "zip64 longer": ({"zip64": {"record": 4400}}, "elsewhere than it says"),
}


@pytest.mark.parametrize(("changes", "match"), LIES.values(), ids=LIES.keys())
def test_an_archive_that_contradicts_itself_is_refused(
    place: Path, changes: dict[str, object], match: str
) -> None:
    refused(place, written(place / "a.zip", FINE, **changes), match)


def test_two_end_records_that_differ_are_refused(place: Path) -> None:
    whole = bytearray(built(FINE, zip64={}))
    whole[-12:-10] = struct.pack("<H", 1)  # the short record now counts one entry, the long two
    (place / "a.zip").write_bytes(whole)
    refused(place, place / "a.zip", "two different things|split archive")


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (Entry(local_name=b"other"), "described in two different ways"),
        (Entry(data=b"1" * 99, crc=7), "damaged"),
        (Entry(data=b"1" * 99, deflate=True, size=50), "damaged"),
        (Entry(data=b"1" * 99, deflate=True, size=500), "damaged|lies about its size"),
        (Entry(size=9), "lies about its size"),
        (Entry(offset=10**6), "shares bytes"),
        (Entry(disk=3), "split archive"),
        (Entry(name=b"\xff\xfe", flags=0x800), "damaged"),
    ],
)
def test_an_entry_that_lies_is_refused(place: Path, entry: Entry, match: str) -> None:
    refused(place, written(place / "a.zip", [Entry("first.txt", b"1" * 4000), entry]), match)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"<html>sign in</html>", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08" * 9]
)
def test_what_is_no_zip_is_refused(place: Path, content: bytes) -> None:
    (place / "a.zip").write_bytes(content)
    refused(place, place / "a.zip", "is no zip archive")


def test_no_archive_no_file_no_entries(place: Path) -> None:
    refused(place, place / "none.zip", "no such file")
    refused(place, place, "needs no unpacking")
    refused(place, written(place / "a.zip", []), "holds no files")


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_is_left_clean(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    archive = written(place / "a.zip", [Entry(f"{n}/a.txt") for n in range(9)])
    before, written_before, calls = sorted(place.rglob("*")), unpack._write, []

    def write(*given: object) -> int:
        calls.append(1)
        if len(calls) == 6:
            raise OSError(number, os.strerror(number))
        return written_before(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(unpack, "_write", write)
    with pytest.raises(MachineError, match=f"{os.strerror(number)}.*; (free|name)"):
        extract_dataset(archive, place / "new/deep/out")
    assert sorted(place.rglob("*")) == before
    monkeypatch.undo()
    assert len(files(extract_dataset(archive, place / "new/deep/out"))) == 9


def test_a_disk_that_is_too_small_is_known_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = written(place / "a.zip", [Entry("a", os.urandom(5000))])
    usage = unpack.shutil.disk_usage(place)._replace(free=4999)
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(MachineError, match="free space or name"):
        extract_dataset(archive, place / "new/out")
    assert sorted(p.name for p in place.iterdir()) == ["a.zip", "canary"]


def test_a_folder_that_may_not_be_written_is_one_sentence(place: Path) -> None:
    archive = written(place / "a.zip", [Entry()])
    with pytest.raises(MachineError, match=r"Not a directory|File exists"):
        extract_dataset(archive, place / "canary/out")


def test_an_interrupted_unpacking_is_taken_back(place: Path) -> None:
    archive = written(place / "a.zip", [Entry("a"), Entry("b")])

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_dataset(archive, place / "new/out", progress=stop)
    assert sorted(p.name for p in place.iterdir()) == ["a.zip", "canary"]


def test_a_folder_of_someone_else_is_not_cleared(place: Path) -> None:
    archive = written(place / "a.zip", [Entry()])
    (place / "out.partial").mkdir()
    (place / "out.partial/thesis.txt").write_text("1")
    (place / "two.partial").symlink_to(place / "out.partial")
    for name in ("out", "two"):
        with pytest.raises(DataError, match="is in the way; move it"):
            extract_dataset(archive, place / name)
    assert files(place / "out.partial") == {"thesis.txt": b"1"}


CHILD = """
import sys
from pathlib import Path
from adafer.archive import extract_dataset
def stop(done, total):
    if done > total // 2:
        print("half", flush=True)
        sys.stdin.read()
extract_dataset(sys.argv[1], sys.argv[2], progress=stop)
"""


def test_a_killed_unpacking_is_done_again_and_never_trusted(place: Path) -> None:
    archive = written(place / "a.zip", [Entry(f"{n}.txt", b"%d" % n * 99) for n in range(20)])
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(archive), str(place / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        if unpack.fcntl is not None:  # meanwhile nobody else may
            with pytest.raises(AdaferError, match="another process is unpacking"):
                extract_dataset(archive, place / "out")
        child.send_signal(signal.SIGKILL)
    assert not (place / "out").exists()
    left = files(place / "out.partial")
    assert 10 <= len(left) < 21
    (place / "out.partial/0.txt").write_text("half a file")
    deadline = time.monotonic() + 60  # the system may take a moment to give the lock free
    while True:
        try:
            out = extract_dataset(archive, place / "out")
            break
        except AdaferError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert files(out) == {f"{n}.txt": b"%d" % n * 99 for n in range(20)}
    assert not (place / "out.partial").exists()
