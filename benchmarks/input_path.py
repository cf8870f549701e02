"""Faces a core-second of three input paths with the same variation, side by side in one run.

torchvision's ImageFolder and DataLoader decode and vary each file in every epoch; ours decode once
and vary face by face (albumentations) or whole batches. Every arm runs once in each round, in one
process without workers; time is the CPU time of the process, so other programs do not count.

    uv run --with torchvision python benchmarks/input_path.py FOLDER/train --rounds 7
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision import transforms

from adafer.data import open_data
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SIZE = 48


def torchvision_batches(folder: Path, batch: int) -> DataLoader:
    """The usual way: files decoded and varied one by one, in every epoch."""
    vary = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize((SIZE, SIZE)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply(
                [
                    transforms.RandomAffine(
                        15, (0.08, 0.08), (0.85, 1.15),
                        interpolation=transforms.InterpolationMode.BILINEAR,
                    )
                ],
                p=0.9,
            ),
            transforms.RandomApply([transforms.ColorJitter(0.15, 0.3)], p=0.7),
            transforms.ToTensor(),
            transforms.Normalize((0.5,), (0.25,)),
            transforms.RandomErasing(0.5, (0.01, 0.09)),
        ]
    )  # fmt: skip
    faces = torchvision.datasets.ImageFolder(folder, vary)
    return DataLoader(faces, batch, shuffle=True)


def faces_a_second(batches: Callable[[], object], faces: int) -> float:
    """Faces a CPU-second of one pass that ends after so many faces."""
    since, seen = time.process_time(), 0
    for batch in batches():
        seen += len(batch[0]) if isinstance(batch, list) else len(batch.ids)
        if seen >= faces:
            break
    return seen / (time.process_time() - since)


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of class folders, as ImageFolder wants")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--keep", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = DataSettings(
        data=str(given.folder.parent), layout="imagefolder", batch_size=given.batch, workers=0
    )
    since = time.process_time()
    ours = FaceDataset(open_data(settings).train, Preprocessing(size=SIZE, grey=True))
    decoded = len(ours) / (time.process_time() - since)
    usual = torchvision_batches(given.folder, given.batch)
    arms = {
        "torchvision": lambda: iter(usual),
        "face by face": lambda: Loader(ours, settings, seed=0, train=True)(0),
        "whole batches": lambda: BatchedLoader(ours, settings, seed=0)(0),
    }
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(given.rounds + 1):
        for place in np.random.default_rng(number).permutation(len(arms)):
            name = list(arms)[place]
            speed = faces_a_second(arms[name], given.faces)
            if number:  # the first round warms up
                speeds[name].append(speed)
    found = {"decoded once, faces a core-second": round(decoded)}
    for name, values in speeds.items():
        ratios = [a / b for a, b in zip(values, speeds["torchvision"], strict=True)]
        found[name] = {
            "faces a core-second": round(statistics.median(values)),
            "ratio": round(statistics.median(ratios), 2),
            "ratio from": round(min(ratios), 2),
            "ratio to": round(max(ratios), 2),
        }
    found["versions"] = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    found["rounds"], found["faces"] = given.rounds, given.faces
    text = json.dumps(found, indent=2)
    (given.keep / "input_path.json").write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
