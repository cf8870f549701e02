"""Faces in memory or in a file: the same bytes, no more memory than asked for, no file left."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adafer.data import open_data, pixels
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.data.loader import Loader
from adafer.data.pixels import Pixels, digest, free_memory, reserved
from adafer.errors import MachineError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SETTINGS = DataSettings(toy_faces=60, batch_size=16, workers=0)
SEEN = Preprocessing(size=24, grey=True)


def kept(where: str) -> FaceDataset:
    return FaceDataset(open_data(SETTINGS).train, SEEN, cache=where)


def test_rows_are_looked_up_and_taken_without_a_copy() -> None:
    held = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    some = Pixels(held).take([4, 1, 3])
    again = some.take(np.array([2, 0]))
    assert some.shape == (3, 2, 2, 1)
    assert some.nbytes == 12
    assert np.array_equal(some, held[[4, 1, 3]])
    assert np.array_equal(again, held[[3, 4]])
    assert np.array_equal(again[0], held[3])
    assert np.array_equal(some[1:], held[[1, 3]])
    assert [face[0, 0, 0] for face in some] == [16, 4, 12]
    held[3] = 99
    assert (again[0] == 99).all()
    assert not some.on_disk


def test_a_file_gives_the_same_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    memory, disk = kept("memory"), kept("disk")
    assert not memory.pixels.on_disk
    assert disk.pixels.on_disk
    assert not list(tmp_path.iterdir())  # it has no name: nothing is left, whatever happens
    assert np.array_equal(memory.pixels, disk.pixels)
    helped = replace(SETTINGS, workers=2)
    for one, other in (
        (Loader(memory, SETTINGS, seed=1, train=True), Loader(disk, helped, seed=1, train=True)),
        (BatchedLoader(memory, SETTINGS, seed=1), BatchedLoader(disk, SETTINGS, seed=1)),
    ):
        for a, b in zip(one(2), other(2), strict=True):
            assert a.ids == b.ids
            assert torch.equal(a.images, b.images)
    leaks = find_leaks(disk, [memory])
    assert leaks.counts == {"train": 60}
    with pytest.raises(Exception, match="no face of train is left"):
        settle_leaks(disk, leaks, "drop")


def test_faces_go_into_a_file_when_half_of_the_free_memory_is_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need = 10 * 24 * 24
    monkeypatch.setattr(pixels, "free_memory", lambda: 2 * need)
    assert not isinstance(reserved(10, 24, 1), np.memmap)
    monkeypatch.setattr(pixels, "free_memory", lambda: 2 * need - 1)
    filed = reserved(10, 24, 1)
    assert isinstance(filed, np.memmap)
    assert filed.shape == (10, 24, 24, 1)
    assert not filed.any()
    assert not isinstance(reserved(10, 24, 1, "memory"), np.memmap)


def test_without_room_on_the_disk_a_sentence_has_the_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixels, "free_memory", lambda: 4_000_000_000)
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000_000_000))
    with pytest.raises(MachineError) as caught:
        reserved(287_651, 224, 3)
    assert str(caught.value) == (
        "287,651 faces of 224 pixels need 43.3 GB, and 4.0 GB of memory and 20.0 GB of "
        f"'{pixels.tempfile.gettempdir()}' are free; use a smaller --img-size or fewer faces, or "
        "let TMPDIR name a larger disk"
    )


def test_a_disk_that_is_full_in_spite_of_what_it_said_is_the_same_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int, size: int) -> None:
        raise OSError(pixels.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixels, "_allocate", full)
    with pytest.raises(MachineError, match="let TMPDIR name a larger disk"):
        reserved(10, 24, 1, "disk")


def test_a_container_and_other_processes_leave_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = SimpleNamespace(available=9_000)
    monkeypatch.setattr(pixels.psutil, "virtual_memory", lambda: machine)
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(pixels, "_LIMITS", (str(limit),))
    monkeypatch.setattr(pixels, "_USED", (str(used),))
    assert free_memory() == 9_000
    limit.write_text("max\n")
    used.write_text("10\n")
    assert free_memory() == 9_000
    limit.write_text("3010\n")
    assert free_memory() == 3_000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert free_memory() == 1_500


def test_a_digest_is_that_of_the_pixels_in_their_order() -> None:
    face = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    assert digest(face) == digest(np.asfortranarray(face))
    assert digest(face[:, ::-1]) == digest(face[:, ::-1].copy()) != digest(face)


PEAK = """
import json
import numpy as np
from adafer.data.dataset import FaceDataset
from adafer.data.leaks import find_leaks, settle_leaks
from adafer.data.listing import Listing
from adafer.image import Preprocessing

def growth():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

N, S = 1500, 224
listing = Listing(
    layout="x", split="train", class_names=("a",), labels=np.zeros(N, np.int64),
    ids=tuple(map(str, range(N))),
    pictures=tuple(np.full((4, 4), n % 250, np.uint8) for n in range(N)),
)
before = growth()
train = FaceDataset(listing, Preprocessing(S, grey=False), cache="memory")
held = growth() - before
leaks = find_leaks(train, [FaceDataset(listing.take(range(3)), Preprocessing(S, grey=False))])
fewer = settle_leaks(train, leaks, "drop")
print(json.dumps([held, growth() - before, len(fewer), N * S * S * 3]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_looking_for_leaks_takes_little_beside_the_faces() -> None:
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    held, peak, left, faces = json.loads(done.stdout)
    assert left < 1500
    assert held > 0.9 * faces
    assert peak < 1.2 * faces
