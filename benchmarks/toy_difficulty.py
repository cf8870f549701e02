"""How hard the toy faces are: logistic regression on pixels, and TinyVGG, on the test split.

Run `python benchmarks/toy_difficulty.py [--epochs 12] [--workers 0]`; a few minutes on one core.
The default toy faces are meant to keep logistic regression under 60 % and TinyVGG at 70 to 95 %.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from adafer.data import toy
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader
from adafer.image import Preprocessing
from adafer.models.tiny_vgg import TinyVGG
from adafer.settings.data import DataSettings
from adafer.settings.model import TinyVGGSettings

SEED = 0


def logistic_regression(train: FaceDataset, test: FaceDataset) -> float:
    """Accuracy on test of multinomial logistic regression on grey pixels, best of three C."""
    inputs = [split.pixels[..., 0].reshape(len(split), -1) / 255.0 for split in (train, test)]
    mean, spread = inputs[0].mean(0), inputs[0].std(0)
    fit, held = ((pixels - mean) / spread for pixels in inputs)
    scores = []
    for strength in (1e-4, 1e-3, 1e-2):
        model = LogisticRegression(C=strength, max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(fit, train.listing.labels)
        scores.append(float(model.score(held, test.listing.labels)))
    return max(scores)


def tiny_vgg(train: FaceDataset, test: FaceDataset, settings: DataSettings, epochs: int) -> float:
    """Accuracy on test of TinyVGG after this many epochs of Adam at 1e-3."""
    torch.manual_seed(SEED)
    model = TinyVGG(TinyVGGSettings(width=16), len(train.listing.class_names))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = Loader(train, settings, seed=SEED, train=True)
    held = Loader(test, settings, seed=SEED, train=False)
    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        begun = time.perf_counter()
        for batch in batches(epoch):
            loss = cross_entropy(model(batch.images).logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy = _accuracy(model, held)
        seconds = time.perf_counter() - begun
        print(f"  epoch {epoch + 1:2d}  test accuracy {accuracy:.3f}  {seconds:.1f} s", flush=True)
    return accuracy


@torch.no_grad()
def _accuracy(model: TinyVGG, batches: Loader) -> float:
    model.eval()
    right = [(model(batch.images).logits.argmax(1) == batch.labels) for batch in batches(0)]
    return float(torch.cat(right).float().mean())


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--toy-faces", type=int, default=DataSettings.toy_faces)
    words = parser.parse_args()
    torch.set_num_threads(1)
    settings = DataSettings(
        augment="light", batch_size=32, workers=words.workers, toy_faces=words.toy_faces
    )
    preprocessing = Preprocessing(size=48, grey=True)
    begun = time.perf_counter()
    train, test = (
        FaceDataset(toy.read(Path(), split, settings), preprocessing) for split in ("train", "test")
    )
    drawn = len(train) + len(test)
    print(f"{drawn} faces drawn, {drawn / (time.perf_counter() - begun):.0f} a second")
    majority = np.bincount(test.listing.labels).max() / len(test)
    print(f"largest class: {majority:.3f}")
    print(f"logistic regression on pixels: {logistic_regression(train, test):.3f}")
    print("TinyVGG:")
    print(f"TinyVGG: {tiny_vgg(train, test, settings, words.epochs):.3f}")


if __name__ == "__main__":
    main()
