"""Faces kept in a file against faces kept in memory: time of an epoch, side by side in one run.

Three arms in every round: memory; a file that the system still holds in its own memory; a file of
which nothing is held any more (needs root, to drop the system's caches). Each is read in the random
order of an epoch, as it is and varied. Time is that of the clock, as waiting is what a disk costs.

    uv run python benchmarks/faces_on_disk.py --faces 20000 --rounds 5
"""

import argparse
import itertools
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from adafer.data.dataset import FaceDataset
from adafer.data.listing import Listing
from adafer.data.loader import Loader
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SIZE, BATCH = 224, 64
DROP = Path("/proc/sys/vm/drop_caches")


def listing(faces: int) -> Listing:
    """Small noisy pictures, made large when they are read."""
    random = np.random.default_rng(0)
    return Listing(
        layout="noise",
        split="train",
        class_names=("a", "b"),
        labels=np.arange(faces) % 2,
        ids=tuple(f"{n}.png" for n in range(faces)),
        pictures=tuple(random.integers(0, 256, (faces, 8, 8, 3), np.uint8)),
    )


def hold(dataset: FaceDataset) -> None:
    """Read all of it once, so that the system holds it."""
    for start in range(0, len(dataset), 1024):
        dataset.pixels[start : start + 1024]


def seconds(dataset: FaceDataset, epoch: int, batches: int, settings: DataSettings) -> float:
    """Time of the first batches of an epoch."""
    loader = Loader(dataset, settings, seed=0, train=True)
    began = time.perf_counter()
    for _ in itertools.islice(loader(epoch), batches):
        pass
    return time.perf_counter() - began


def main() -> None:
    """Measure every arm in every round, and print ratios to memory: median, least, most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60, help="of each kind in each round")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    faces, preprocessing = listing(given.faces), Preprocessing(size=SIZE, grey=False)
    kept = {name: FaceDataset(faces, preprocessing, cache=name) for name in ("memory", "disk")}
    arms = {"memory": "memory", "file, held": "disk"}
    if os.access(DROP, os.W_OK):
        arms["file, cold"] = "disk"
    plain = DataSettings(batch_size=BATCH, workers=0, augment="none")
    kinds = {"as it is": plain, "varied": replace(plain, augment="strong")}
    found: dict[str, list[float]] = {f"{arm}, {kind}": [] for arm in arms for kind in kinds}
    for number in range(given.rounds):
        for kind, settings in kinds.items():
            for arm, name in arms.items():
                if arm == "file, held":
                    hold(kept[name])
                if arm == "file, cold":
                    os.sync()
                    DROP.write_text("3")
                elapsed = seconds(kept[name], number, given.batches, settings)
                found[f"{arm}, {kind}"].append(elapsed)
    told = {"faces": given.faces, "size": SIZE, "gigabytes": kept["disk"].pixels.nbytes / 1e9}
    for name, times in found.items():
        kind = name.rpartition(", ")[2]
        ratios = [t / m for t, m in zip(times, found[f"memory, {kind}"], strict=True)]
        rate = given.batches * BATCH / statistics.median(times)
        told[name] = {
            "faces_a_second": rate,
            "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        }
        print(
            f"{name:24} {rate:8,.0f} faces/s, time {statistics.median(ratios):.2f} of memory's "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )
    if given.output:
        given.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
