"""Batches of faces: the same ones, bit for bit, whatever prepares them and wherever it starts.

Legend: B faces in a batch, S side in pixels, K channels.
"""

import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from adafer.contracts import Batch
from adafer.data import sampler
from adafer.data.augment import Augmentation, Level
from adafer.data.dataset import FaceDataset
from adafer.data.sampler import WHOLE, Part
from adafer.errors import MachineError
from adafer.image import Preprocessing
from adafer.kaggle import MOST_WORKERS, workplace
from adafer.settings.data import DataSettings

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals that the parent answers, by saving first."""

_MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class _Task:
    """Everything that decides the pixels of a batch, so that any process can prepare it."""

    epoch: int
    indices: NDArray[np.intp]  # (B,) places in the data set
    repeats: NDArray[np.intp]  # (B,) how often each face has come before in this epoch
    whole: int | None  # faces of the batch in all processes, where there are several


Prepared = tuple[NDArray[np.uint8], NDArray[np.float32] | None]
"""Pixels (B, S, S, K) and landmarks (B, P, 2) of a batch."""


class _Preparation(Dataset[Prepared]):
    """Look up and vary the faces of a task, and their landmarks where they have some."""

    def __init__(self, dataset: FaceDataset, augmentation: Augmentation) -> None:
        self.pixels = dataset.pixels
        self.landmarks = dataset.landmarks
        self.mirror_points = dataset.listing.mirror_points
        self.augmentation = augmentation
        self.preprocessing = dataset.preprocessing

    def __getitem__(self, task: _Task) -> Prepared:
        """Pixels (B, S, S, K) and landmarks (B, P, 2)."""
        faces = self.pixels[task.indices]
        landmarks = None if self.landmarks is None else self.landmarks[task.indices]
        if self.augmentation.level == "none":
            return middle(self.preprocessing, faces, landmarks)
        side = self.preprocessing.size
        varied = np.empty((len(faces), side, side, faces.shape[-1]), np.uint8)
        places = zip(task.indices.tolist(), task.repeats.tolist(), strict=True)
        for row, (index, repeat) in enumerate(places):
            if landmarks is None:
                varied[row] = self.augmentation(faces[row], task.epoch, index, repeat)
            else:
                varied[row], landmarks[row] = self.augmentation.with_points(
                    faces[row], landmarks[row], self.mirror_points, task.epoch, index, repeat
                )
        return varied, landmarks


def augmentation_for(level: Level, seed: int, preprocessing: Preprocessing) -> Augmentation:
    """Return the variation whose faces leave it at the size that the model sees."""
    cuts = level == "transfer" or preprocessing.whole > preprocessing.size
    size = preprocessing.size if cuts else 0
    return Augmentation(level, seed, grey=preprocessing.grey, size=size)


def middle(
    preprocessing: Preprocessing,
    faces: NDArray[np.uint8],
    landmarks: NDArray[np.float32] | None,
) -> Prepared:
    """Cut the middle out of whole faces (B, whole, whole, K), and move their landmarks with it."""
    moved = None if landmarks is None else landmarks - np.float32(preprocessing.margin)
    return preprocessing.middle(faces), moved


class Loader:
    """Batches of an epoch: `loader(epoch, start)` yields them from batch number `start` on.

    Order, balance and variation are pure functions of (seed, epoch, index), so the number of
    workers changes nothing and a resumed epoch continues exactly. With `train=False` faces come
    in the order of the listing, not varied, their middle cut out. No face is dropped: the last
    batch is partial, and where it would be one face, which no batch norm can learn from, that face
    joins the batch before. Of several processes that train together each prepares its `part`.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        settings: DataSettings,
        *,
        seed: int,
        train: bool,
        part: Part = WHOLE,
    ) -> None:
        self.dataset = dataset
        self.part = part
        self.seed = seed
        self.train = train
        self.batch_size = settings.batch_size
        self._cuts = sampler.cuts(len(dataset), settings.batch_size)
        self.batches_per_epoch = len(self._cuts)
        self._power = settings.balance_power if settings.balance == "sampler" else None
        level = settings.augment if train else "none"
        augmentation = augmentation_for(level, seed, dataset.preprocessing)
        self._preparation = _Preparation(dataset, augmentation)
        every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
        self._levels = dataset.preprocessing.normalised(every).reshape(3, 1, 256)
        # Without variation a batch is a copy: cheaper than handing it over between processes.
        self.workers = 0 if level == "none" else workers_for(settings.workers, part.count)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of this epoch from number `start` on, on the CPU.

        Raises MachineError if a worker process is killed.
        """
        tasks = self._tasks(epoch)[start:]
        workers = min(self.workers, len(tasks))
        if workers:
            prepared = _in_processes(self._preparation, tasks, workers)
        else:
            prepared = (self._preparation[task] for task in tasks)
        for task, (faces, landmarks) in zip(tasks, prepared, strict=True):
            yield self._batch(task, faces, landmarks)

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Places in the data set that this epoch visits, (N,)."""
        labels = self.dataset.listing.labels
        if not self.train:
            return np.arange(len(labels))
        if self._power is None:
            return sampler.shuffled(len(labels), self.seed, epoch)
        return sampler.balanced(labels, self._power, self.seed, epoch)

    def _tasks(self, epoch: int) -> list[_Task]:
        order = self.order(epoch)
        seen = sampler.repeats(order)
        return [
            _Task(
                epoch=epoch,
                indices=self.part.of(order[cut]),
                repeats=self.part.of(seen[cut]),
                whole=self.part.whole(order[cut]),
            )
            for cut in self._cuts
        ]

    def _batch(
        self, task: _Task, faces: NDArray[np.uint8], landmarks: NDArray[np.float32] | None
    ) -> Batch:
        listing = self.dataset.listing
        return Batch(
            images=torch.from_numpy(self._normalised(faces)),
            labels=torch.from_numpy(listing.labels[task.indices]),
            votes=None if listing.votes is None else torch.from_numpy(listing.votes[task.indices]),
            landmarks=None if landmarks is None else torch.from_numpy(landmarks),
            ids=tuple(listing.ids[i] for i in task.indices.tolist()),
            whole=task.whole,
        )

    def _normalised(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Look up what the preprocessing makes of each grey level, (B, 3, S, S)."""
        count, size, _, channels = faces.shape
        images = np.empty((count, 3, size, size), np.float32)
        for channel in range(3):
            levels = np.ascontiguousarray(faces[..., channel % channels])
            found = cv2.LUT(levels.reshape(-1, size), self._levels[channel])
            images[:, channel] = found.reshape(count, size, size)
        return images


def workers_for(wish: int, trainings: int = 1) -> int:
    """Number of worker processes: the wish, or for -1 what this machine can use.

    None on one or two cores, where they would take time from the training itself, and none where
    processes cannot be forked, where each would import everything anew in every epoch. On Kaggle
    four, or as many as there are cores: they are few, and the training is the GPU's. Several
    processes that train together share what the machine can use.
    """
    if wish >= 0:
        return wish
    if sys.platform != "linux":
        return 0
    cores = len(os.sched_getaffinity(0)) // trainings
    if workplace().kind == "kaggle":
        return min(cores, MOST_WORKERS // trainings)
    return 0 if cores <= 2 else min(cores - 2, _MOST_WORKERS)


def _in_processes(
    preparation: _Preparation, tasks: list[_Task], workers: int
) -> Iterator[Prepared]:
    """Prepare tasks in worker processes, in order.

    Forked workers share the pixels' memory. Batches come back through pipes, not through shared
    memory, which is 64 MB in most containers and kills a worker when it is full.
    """
    forks = sys.platform == "linux"
    loader = DataLoader(
        preparation,
        batch_size=None,
        sampler=tasks,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=functools.partial(_start_worker, os.getpid()),
        multiprocessing_context=multiprocessing.get_context("fork" if forks else "spawn"),
    )
    batches = _started(loader)
    try:
        while (faces := next(batches, None)) is not None:
            yield faces
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MachineError(
            "a worker process that prepares faces was killed, most likely because memory or "
            "shared memory (/dev/shm) is full: use --workers 0, or give the container more with "
            "--shm-size"
        ) from error


def _started(loader: "DataLoader[Prepared]") -> Iterator[Any]:
    """Start the workers, so that the death of one is told where the next batch is asked for."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if main and hasattr(signal, "SIGCHLD") else None
    with warnings.catch_warnings():
        # Python warns of forks beside threads, whose locks a child would inherit; the workers
        # only copy arrays and call OpenCV, on one thread.
        warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
        with _stopping_blocked():
            batches = iter(loader)
    if before is not None:
        # torch's handler would raise in the middle of whatever the main thread is doing.
        signal.signal(signal.SIGCHLD, before)
    return batches


@contextmanager
def _stopping_blocked() -> Iterator[None]:
    """Hold back what asks to stop while workers start: they are born with it blocked.

    A signal to the whole group would else end a worker that has not come to ignore it yet.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(parent: int, _: int) -> None:
    """Leave stopping to the parent, which saves first: signals often reach the whole group."""
    cv2.setNumThreads(0)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when its parent has been killed.

    torch's own watch would wait for ever to hand over a batch that nobody takes any more. The
    parent's number comes from the parent: it may be dead before this worker first looks.
    """
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _unchanged(faces: Any) -> Any:
    """Keep arrays: torch would turn them into tensors, which travel through shared memory."""
    return faces
