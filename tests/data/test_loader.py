import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from adafer.contracts import Batch
from adafer.data import loader as loader_module
from adafer.data import sampler, toy
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.loader import Loader, workers_for
from adafer.data.sampler import Part
from adafer.errors import MachineError
from adafer.image import Preprocessing
from adafer.settings.data import DataSettings

SETTINGS = DataSettings(toy_faces=50, batch_size=8, workers=0)


@pytest.fixture(scope="module")
def grey() -> FaceDataset:
    listing = toy.read(Path(), "train", SETTINGS)
    return FaceDataset(listing, Preprocessing(size=48, grey=True))


@pytest.fixture(scope="module")
def colour() -> FaceDataset:
    listing = toy.read(Path(), "train", SETTINGS)
    statistics = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return FaceDataset(listing, Preprocessing(size=32, grey=False, **statistics))


def same(one: Iterable[Batch], other: Iterable[Batch]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return bool(pairs) and all(
        a.ids == b.ids
        and torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.votes, b.votes)
        for a, b in pairs
    )


@pytest.mark.parametrize("balance", ["none", "sampler"])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_bit(grey: FaceDataset, balance: str, workers: int):
    settings = replace(SETTINGS, balance=balance)
    alone = Loader(grey, settings, seed=3, train=True)
    helped = Loader(grey, replace(settings, workers=workers), seed=3, train=True)
    assert same(alone(1), helped(1))
    assert same(list(alone(2))[4:], helped(2, 4))


def test_workers_change_no_bit_in_colour(colour: FaceDataset):
    alone = Loader(colour, SETTINGS, seed=3, train=True)
    helped = Loader(colour, replace(SETTINGS, workers=2), seed=3, train=True)
    assert same(alone(0), helped(0))


@pytest.mark.parametrize("start", [0, 1, 3, 6])
def test_an_epoch_started_at_a_batch_is_the_tail_of_the_epoch(grey: FaceDataset, start: int):
    loader = Loader(grey, SETTINGS, seed=0, train=True)
    assert same(list(loader(5))[start:], loader(5, start))


def test_an_epoch_started_at_its_end_is_empty(grey: FaceDataset):
    loader = Loader(grey, replace(SETTINGS, workers=1), seed=0, train=True)
    assert list(loader(0, loader.batches_per_epoch)) == []


def test_an_epoch_shows_every_face_once_and_drops_none(grey: FaceDataset):
    loader = Loader(grey, SETTINGS, seed=0, train=True)
    batches = list(loader(0))
    assert [len(batch.ids) for batch in batches] == [8, 8, 8, 8, 8, 8, 2]
    assert loader.batches_per_epoch == 7
    assert sorted(i for batch in batches for i in batch.ids) == sorted(grey.listing.ids)


def test_epochs_and_seeds_differ_in_order_and_variation(grey: FaceDataset):
    loader, other = (Loader(grey, SETTINGS, seed=seed, train=True) for seed in (0, 1))
    assert not np.array_equal(loader.order(0), loader.order(1))
    assert not np.array_equal(loader.order(0), other.order(0))
    shown = [
        {i: image for batch in batches for i, image in zip(batch.ids, batch.images, strict=True)}
        for batches in (loader(0), loader(1), other(0))
    ]
    name = grey.listing.ids[0]
    assert not torch.equal(shown[0][name], shown[1][name])
    assert not torch.equal(shown[0][name], shown[2][name])


@pytest.mark.parametrize("name", ["grey", "colour"])
def test_evaluation_shows_the_normalised_faces_in_the_order_of_the_listing(
    name: str, request: pytest.FixtureRequest
):
    dataset: FaceDataset = request.getfixturevalue(name)
    batches = list(Loader(dataset, replace(SETTINGS, workers=2), seed=9, train=False)(4))
    everything = np.arange(len(dataset))
    expected = dataset.preprocessing.normalised(dataset.faces(everything))
    assert torch.equal(torch.cat([batch.images for batch in batches]), torch.from_numpy(expected))
    assert tuple(i for batch in batches for i in batch.ids) == dataset.listing.ids
    assert torch.equal(
        torch.cat([batch.votes for batch in batches]), torch.from_numpy(dataset.listing.votes)
    )


def test_labels_and_votes_are_those_of_the_named_face(grey: FaceDataset):
    places = {name: place for place, name in enumerate(grey.listing.ids)}
    for batch in Loader(grey, SETTINGS, seed=0, train=True)(0):
        rows = [places[name] for name in batch.ids]
        assert batch.labels.tolist() == grey.listing.labels[rows].tolist()
        assert np.array_equal(batch.votes.numpy(), grey.listing.votes[rows])
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous()


def test_grey_faces_stay_grey_under_strong_variation(grey: FaceDataset):
    for batch in Loader(grey, replace(SETTINGS, augment="strong"), seed=0, train=True)(0):
        assert torch.equal(batch.images, batch.images[:, :1].expand_as(batch.images))


def test_a_face_is_varied_by_its_place_in_the_data_set_not_in_the_batch(grey: FaceDataset):
    shown = {}
    for size in (8, 5):
        loader = Loader(grey, replace(SETTINGS, batch_size=size), seed=0, train=True)
        shown[size] = torch.cat([batch.images for batch in loader(0)])
    assert torch.equal(shown[8], shown[5])
    loader = Loader(grey, SETTINGS, seed=0, train=True)
    place = int(loader.order(0)[11])
    alone = loader._preparation.augmentation(grey.pixels[place], 0, place)
    normalised = grey.preprocessing.normalised(np.repeat(alone, 3, axis=-1))
    assert torch.equal(shown[8][11], torch.from_numpy(normalised))


def test_training_leaves_the_cached_faces_as_they_are(grey: FaceDataset):
    before = np.asarray(grey.pixels)
    for level in ("none", "strong"):
        for batch in Loader(grey, replace(SETTINGS, augment=level), seed=0, train=True)(0):
            batch.images.zero_()
    assert np.array_equal(grey.pixels, before)


def test_a_data_set_without_votes_gives_none(grey: FaceDataset):
    listing = replace(grey.listing.take(range(4)), votes=None)
    dataset = FaceDataset(listing, grey.preprocessing)
    assert next(Loader(dataset, SETTINGS, seed=0, train=True)(0)).votes is None


def test_class_weights_by_hand():
    weights = sampler.class_weights(np.array([1, 4]), 0.5)
    assert np.allclose(weights, [5 / 3, 5 / 6])  # 1 and 1/2, and 1 x 1 + 4 x 1/2 = 3 over 5 faces
    assert np.allclose(sampler.class_weights(np.array([3, 0, 9]), 0.0), [1, 0, 1])


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0, 2.0])
def test_class_weights_have_mean_1_over_the_faces(power: float):
    counts = np.array([1290, 281, 717, 4772, 1982, 705, 0])
    assert np.average(sampler.class_weights(counts, power), weights=counts) == pytest.approx(1)


def test_class_weights_of_power_1_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2], [5, 20, 75])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert np.allclose(sampler.class_weights(np.bincount(labels), 1.0), expected)


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
def test_a_balanced_epoch_draws_each_class_by_its_weight(power: float):
    labels = np.repeat([0, 1, 2], [7000, 2500, 500])
    order = sampler.balanced(labels, power, seed=0, epoch=0)
    mass = np.array([7000, 2500, 500]) ** (1 - power)
    drawn = np.bincount(labels[order], minlength=3) / len(labels)
    assert len(order) == len(labels)
    assert np.abs(drawn - mass / mass.sum()).max() < 0.02  # four standard deviations


def test_repeats_count_how_often_a_face_came_before():
    assert sampler.repeats(np.array([4, 2, 4, 4, 2, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    assert sampler.repeats(np.array([], dtype=np.intp)).tolist() == []
    order = np.random.default_rng(0).integers(0, 50, 400)
    counted: Counter[int] = Counter()
    expected = []
    for face in order.tolist():
        expected.append(counted[face])
        counted[face] += 1
    assert sampler.repeats(order).tolist() == expected


def test_a_face_drawn_again_in_an_epoch_is_varied_anew(grey: FaceDataset):
    loader = Loader(grey, replace(SETTINGS, balance="sampler"), seed=0, train=True)
    shown: dict[str, list[bytes]] = {}
    for batch in loader(0):
        for name, image in zip(batch.ids, batch.images, strict=True):
            shown.setdefault(name, []).append(image.numpy().tobytes())
    again = [copies for copies in shown.values() if len(copies) > 1]
    assert again
    assert all(len(set(copies)) == len(copies) for copies in again)


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 0), (4, 2), (64, 8)])
def test_workers_are_chosen_from_the_cores_that_may_be_used(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loader_module.sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert workers_for(-1) == workers
    assert workers_for(3) == 3


def test_an_epoch_left_early_leaves_no_process(grey: FaceDataset):
    batches = Loader(grey, replace(SETTINGS, workers=2), seed=0, train=True)(0)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_workers_leave_stopping_to_the_parent(grey: FaceDataset):
    loader = Loader(grey, replace(SETTINGS, workers=2), seed=0, train=True)
    batches = loader(0)
    first = next(batches)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGTERM)
        os.kill(child.pid, signal.SIGINT)
    plain = Loader(grey, SETTINGS, seed=0, train=True)
    assert same(plain(0), [first, *batches])


def test_a_killed_worker_ends_in_one_sentence(grey: FaceDataset):
    settings = replace(SETTINGS, workers=1, batch_size=1)
    batches = Loader(grey, settings, seed=0, train=True)(0)
    next(batches)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match=r"/dev/shm.*--workers 0") as caught:
        list(batches)
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


def test_workers_end_when_their_parent_is_killed(grey: FaceDataset):
    def load(sender) -> None:
        settings = replace(SETTINGS, workers=2, batch_size=1)
        batches = Loader(grey, settings, seed=0, train=True)(0)
        next(batches)
        sender.send([child.pid for child in multiprocessing.active_children()])
        time.sleep(60)

    receiver, sender = multiprocessing.Pipe(duplex=False)
    parent = multiprocessing.get_context("fork").Process(target=load, args=(sender,))
    parent.start()
    workers = receiver.recv()
    parent.kill()
    parent.join()
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


def test_a_worker_that_starts_after_its_parent_died_ends():
    """The parent is known by its own number, not by whoever is asked for it afterwards."""
    worker = multiprocessing.get_context("fork").Process(
        target=loader_module._end_with, args=(os.getpid() + 1_000_000,)
    )
    worker.start()
    worker.join(30)
    assert worker.exitcode == 1


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended but is not yet collected does not."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_the_signal_handler_of_the_caller_is_left_in_place(grey: FaceDataset):
    before = signal.getsignal(signal.SIGCHLD)
    list(Loader(grey, replace(SETTINGS, workers=1), seed=0, train=True)(0))
    assert signal.getsignal(signal.SIGCHLD) == before


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("engine", [Loader, BatchedLoader])
def test_parts_of_several_processes_are_the_batch_without_a_change(
    grey: FaceDataset, count: int, engine: type
):
    """50 faces in batches of 8: the last has 2, too few to be shared, so each process has both."""
    words = {"seed": 3, "train": True} if engine is Loader else {"seed": 3}
    whole = list(engine(grey, SETTINGS, **words)(1, 2))
    parts = [
        list(engine(grey, SETTINGS, **words, part=Part(rank=rank, count=count))(1, 2))
        for rank in range(count)
    ]
    assert all(batch.whole is None for batch in whole)
    for number, batch in enumerate(whole):
        mine = [part[number] for part in parts]
        assert [part.whole for part in mine] == [len(batch.ids)] * count
        if len(batch.ids) == 2:
            assert all(same([batch], [part]) for part in mine)
            continue
        assert sorted(name for part in mine for name in part.ids) == sorted(batch.ids)
        for rank, part in enumerate(mine):
            assert len(part.ids) >= 2
            assert part.ids == batch.ids[rank::count]
            torch.testing.assert_close(part.images, batch.images[rank::count], rtol=0, atol=1e-6)
            assert torch.equal(part.labels, batch.labels[rank::count])


def test_processes_that_train_together_share_the_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loader_module.sys, "platform", "linux")
    monkeypatch.setattr(loader_module.os, "sched_getaffinity", lambda _: set(range(16)))
    assert workers_for(-1, 2) == 6  # of 8 cores each
    assert workers_for(-1, 8) == 0
    assert workers_for(5, 2) == 5
