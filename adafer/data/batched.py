"""Random variation of whole batches on the device: the fast path of the same family.

Legend: B faces in a batch, S side in pixels, K channels, P landmarks, U random numbers a face.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from adafer.contracts import Batch
from adafer.data import sampler
from adafer.data.augment import HOLE, HUE, RANGES, Level, Ranges
from adafer.data.dataset import FaceDataset
from adafer.data.pixels import Pixels
from adafer.data.sampler import WHOLE, Part
from adafer.settings.data import DataSettings

NUMBERS = 22
"""Random numbers that a face takes, whatever comes of them."""
RESIDENT = 0.25
"""Largest share of an accelerator's free memory that the faces may take."""


class BatchedLoader:
    """Batches as `Loader` gives them, varied all at once on the device that trains.

    Each face's numbers come from a hash of (seed, epoch, index, repeat), so the batch that it is
    in, the device and where an epoch starts change nothing but rounding. Differs from the path
    that varies face by face: one interpolation for flip, shift, scale and rotation; colour in
    one order; other random numbers. The distributions are the same.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        settings: DataSettings,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        part: Part = WHOLE,
    ) -> None:
        self.dataset = dataset
        self.part = part
        self.device = torch.device(device)
        self.batch_size = settings.batch_size
        self._cuts = sampler.cuts(len(dataset), settings.batch_size)
        self.batches_per_epoch = len(self._cuts)
        self._power = settings.balance_power if settings.balance == "sampler" else None
        self._level: Level = settings.augment
        self._seed = seed
        self._resident = _resident(dataset.pixels, self.device)
        preprocessing = dataset.preprocessing
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(preprocessing.mean, device=self.device).reshape(shape)
        self._std = torch.tensor(preprocessing.std, device=self.device).reshape(shape)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of this epoch from number `start` on, on the device."""
        order = self.order(epoch)
        seen = sampler.repeats(order)
        for cut in self._cuts[start:]:
            mine, before = self.part.of(order[cut]), self.part.of(seen[cut])
            yield replace(self._batch(epoch, mine, before), whole=self.part.whole(order[cut]))

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Places in the data set that this epoch visits, (N,); the same as `Loader`'s."""
        labels = self.dataset.listing.labels
        if self._power is None:
            return sampler.shuffled(len(labels), self._seed, epoch)
        return sampler.balanced(labels, self._power, self._seed, epoch)

    def _batch(self, epoch: int, indices: NDArray[np.intp], repeats: NDArray[np.intp]) -> Batch:
        listing = self.dataset.listing
        if self._resident is None:
            faces = torch.from_numpy(self.dataset.pixels[indices]).to(self.device)
        else:
            faces = self._resident[torch.from_numpy(indices).to(self.device)]  # (B, S, S, K)
        points = self.dataset.landmarks
        landmarks = None if points is None else torch.from_numpy(points[indices]).to(self.device)
        images = faces.permute(0, 3, 1, 2).float()
        numbers = face_numbers(self._seed, epoch, indices, repeats)
        images, landmarks = vary(images, landmarks, numbers, self._level, listing.mirror_points)
        images, landmarks = self._middle(images, landmarks)
        images = (images / 255 - self._mean) / self._std  # one channel becomes three
        votes = listing.votes
        return Batch(
            images=images,
            labels=torch.from_numpy(listing.labels[indices]).to(self.device),
            votes=None if votes is None else torch.from_numpy(votes[indices]).to(self.device),
            landmarks=landmarks,
            ids=tuple(listing.ids[i] for i in indices.tolist()),
        )

    def _middle(self, images: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cut the middle out of whole faces (B, K, whole, whole)."""
        wanted = self.dataset.preprocessing
        start = wanted.margin
        inside = slice(start, start + wanted.size)
        return images[:, :, inside, inside], None if landmarks is None else landmarks - start


def face_numbers(
    seed: int, epoch: int, indices: NDArray[np.intp], repeats: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Uniform numbers of each face, (B, U), from 0 to below 1.

    SplitMix64 (Steele, Lea and Flood 2014) over a counter, so that each face has its own stream.
    """
    key = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for word in (seed, epoch):
            key = _mixed(np.uint64(word % 2**64) + key * np.uint64(0x9E3779B97F4A7C15))
        faces = _mixed(indices.astype(np.uint64) + key)
        faces = _mixed(repeats.astype(np.uint64) + faces)
        counter = np.arange(1, NUMBERS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = _mixed(faces[:, None] + counter)  # (B, U)
    return np.asarray((bits >> np.uint64(40)).astype(np.float32) / np.float32(2**24))


def vary(
    images: Tensor,
    landmarks: Tensor | None,
    numbers: NDArray[np.float32],
    level: Level,
    mirror_points: tuple[int, ...] = (),
) -> tuple[Tensor, Tensor | None]:
    """Vary faces (B, K, S, S) of grey levels 0 to 255, and their landmarks (B, P, 2) in pixels."""
    if level == "none":
        return images, landmarks
    ranges = RANGES[level]
    side = images.shape[-1]
    matrices, mirrored = affine_matrices(numbers, side, ranges)
    images = _warped(images, matrices)
    if landmarks is not None:
        landmarks = _moved(landmarks, matrices, mirrored, mirror_points)
    drawn = torch.from_numpy(numbers).to(images.device)
    images = _jittered(images, drawn[:, 7:12], ranges)
    return _with_holes(images, drawn[:, 12:22], ranges), landmarks


def affine_matrices(
    numbers: NDArray[np.float32], side: int, ranges: Ranges
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where a pixel of each face goes (B, 2, 3), x and y in pixels, and who is mirrored (B,)."""
    u = numbers.astype(np.float64)
    mirrored = u[:, 0] < ranges.flip
    moves = u[:, 1] < ranges.affine
    centred = 2 * u[:, 2:7] - 1  # (B, 5) from -1 to 1
    scale = 1 + ranges.zoom * centred[:, 0:2]
    shift = np.trunc(side * ranges.shift * centred[:, 2:4])
    angle = np.deg2rad(ranges.turn * centred[:, 4])
    scale[~moves], shift[~moves], angle[~moves] = 1, 0, 0
    cos, sin = np.cos(angle), np.sin(angle)
    # Turned after scaled, about the middle, then shifted.
    linear = np.stack(
        [
            np.stack([cos * scale[:, 0], sin * scale[:, 1]], 1),
            np.stack([-sin * scale[:, 0], cos * scale[:, 1]], 1),
        ],
        1,
    )  # (B, 2, 2)
    linear[mirrored, :, 0] *= -1  # mirrored before everything else
    middle = np.full(2, (side - 1) / 2)
    offset = middle + shift - linear @ middle
    return np.concatenate([linear, offset[..., None]], 2), mirrored


def _warped(images: Tensor, matrices: NDArray[np.float64]) -> Tensor:
    """Move every face by its matrix; the rim is repeated outside."""
    side = images.shape[-1]
    whole = np.concatenate([matrices, np.broadcast_to([[[0, 0, 1.0]]], (len(matrices), 1, 3))], 1)
    back = np.linalg.inv(whole)  # from a pixel of the result to one of the face
    # Coordinates from -1 to 1 over the centres of the outer pixels, as grid_sample wants them.
    half = (side - 1) / 2
    to_pixels = np.array([[half, 0, half], [0, half, half], [0, 0, 1]])
    theta = np.linalg.inv(to_pixels) @ back @ to_pixels
    given = torch.from_numpy(theta[:, :2].astype(np.float32)).to(images.device)
    grid = functional.affine_grid(given, list(images.shape), align_corners=True)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=True)
    return moved.round()


def _moved(
    landmarks: Tensor,
    matrices: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    mirror_points: tuple[int, ...],
) -> Tensor:
    given = torch.from_numpy(matrices.astype(np.float32)).to(landmarks.device)
    moved = landmarks @ given[:, :, :2].transpose(1, 2) + given[:, None, :, 2]
    swapped = moved[:, list(mirror_points)]
    turned = torch.from_numpy(mirrored).to(landmarks.device)
    return torch.where(turned[:, None, None], swapped, moved)


def _jittered(images: Tensor, drawn: Tensor, ranges: Ranges) -> Tensor:
    """Vary brightness and contrast of grey faces, of coloured ones saturation and hue too."""
    shape = (-1, 1, 1, 1)
    chosen = (drawn[:, 0] < ranges.jittered).reshape(shape)
    first, second, third, fourth = ((2 * drawn[:, 1:5] - 1).T.reshape(4, *shape)).unbind(0)
    if images.shape[1] == 1:
        varied = images * (1 + ranges.jitter * first) + 255 * ranges.jitter / 2 * second
        # Numbers were cut, not rounded, in the table that the other path looks them up in.
        return torch.where(chosen, varied.clamp(0, 255).floor(), images)
    varied = (images * (1 + ranges.jitter * first)).clamp(0, 255)
    mean = _luminance(varied).mean((2, 3), keepdim=True)
    varied = (mean + (1 + ranges.jitter * second) * (varied - mean)).clamp(0, 255)
    grey = _luminance(varied)
    varied = (grey + (1 + ranges.jitter * third) * (varied - grey)).clamp(0, 255)
    varied = _hue_turned(varied, HUE * fourth)
    return torch.where(chosen, varied.clamp(0, 255).round(), images)


def _luminance(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


def _hue_turned(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the circle (B, 1, 1, 1), as a rotation about the grey axis."""
    angle = 2 * torch.pi * turn.reshape(-1)
    cos, sin = angle.cos(), angle.sin()
    third, root = (1 - cos) / 3, sin / 3**0.5
    near, ahead, behind = third + cos, third - root, third + root
    rows = [(near, ahead, behind), (behind, near, ahead), (ahead, behind, near)]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)  # (B, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, images)


def _with_holes(images: Tensor, drawn: Tensor, ranges: Ranges) -> Tensor:
    """Blacken one or two rectangles of the chosen faces."""
    if not ranges.dropout:
        return images
    side = images.shape[-1]
    places = torch.arange(side, device=images.device)
    chosen = drawn[:, 0] < ranges.dropout
    twice = chosen & (drawn[:, 1] < 0.5)
    low, high = HOLE
    hidden = torch.zeros(len(images), side, side, dtype=torch.bool, device=images.device)
    for there, part in ((chosen, drawn[:, 2:6]), (twice, drawn[:, 6:10])):
        sizes = (side * (low + (high - low) * part[:, 0:2])).floor()  # (B, 2) height, width
        starts = (part[:, 2:4] * (side - sizes + 1)).floor()
        inside = (places >= starts[..., None]) & (places < (starts + sizes)[..., None])  # (B, 2, S)
        hole = inside[:, 0, :, None] & inside[:, 1, None, :]
        hidden |= hole & there[:, None, None]
    return images.masked_fill(hidden[:, None], 0)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _resident(pixels: Pixels, device: torch.device) -> Tensor | None:
    """The faces on the accelerator that has room for them, or None: they stay where they are."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    fits = pixels.nbytes <= RESIDENT * free
    return torch.from_numpy(np.asarray(pixels)).to(device) if fits else None
