"""Copies of pictures: planted ones are found, unrelated faces are not taken for copies."""

import io

import numpy as np
import pytest
from PIL import Image

from adafer.data import duplicates, open_data
from adafer.data.duplicates import KINDS, NO_KIND, Duplicates, clusters, find_duplicates
from adafer.settings.data import DataSettings

EXACT, MIRRORED, NEAR, MIRRORED_NEAR = range(4)


def reencoded(face, quality):
    data = io.BytesIO()
    Image.fromarray(face).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data).convert("L"))


def resized(face, side):
    small = Image.fromarray(face).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small.resize(face.shape, Image.Resampling.BILINEAR))


def darker(face):
    return np.clip(face * 0.7 + 12, 0, 255).astype(np.uint8)


def cut(face, rim):
    inner = Image.fromarray(face[rim:, rim:])
    return np.asarray(inner.resize(face.shape, Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def toys():
    """600 different drawn faces (600, 48, 48), grey."""
    listing = open_data(DataSettings(data="toy", toy_faces=600)).train
    return np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in listing.pictures])


def planted(faces, change):
    """Kinds that link each of the first 50 faces with its changed copy, put at the end."""
    copies = [change(face, number) for number, face in enumerate(faces[:50])]
    found = find_duplicates(np.concatenate([faces, np.stack(copies)]))
    return linked(found, len(faces))


def linked(found, count):
    kinds = np.full(50, NO_KIND)
    links = {
        (int(a), int(b)): int(kind)
        for a, b, kind in zip(found.first, found.second, found.kinds, strict=True)
    }
    for number in range(50):
        one, other = sorted((int(found.copy_of[number]), int(found.copy_of[count + number])))
        kinds[number] = EXACT if one == other else links.get((one, other), NO_KIND)
    return kinds


CHANGES = {
    "exact": (lambda face, n: face, EXACT, 1.0),
    "flipped": (lambda face, n: face[:, ::-1], MIRRORED, 1.0),
    "re-encoded": (lambda face, n: reencoded(face, 30 + 60 * n // 49), NEAR, 0.95),
    "resized": (lambda face, n: resized(face, 36 + n % 10), NEAR, 0.95),
    "darker": (lambda face, n: darker(face), NEAR, 0.95),
    "cut": (lambda face, n: cut(face, 1 + n % 2), NEAR, 0.9),
    "flipped and re-encoded": (
        lambda face, n: reencoded(np.ascontiguousarray(face[:, ::-1]), 30 + 60 * n // 49),
        MIRRORED_NEAR,
        0.9,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_planted_copies_of_drawn_faces_are_found(name, toys):
    change, kind, least = CHANGES[name]
    kinds = planted(toys, change)
    if "flipped" in name:  # a drawn face may be so symmetric that both ways fit
        assert np.isin(kinds, [kind, NEAR]).mean() >= least
    else:
        assert (kinds == kind).mean() >= least


def test_few_drawn_faces_are_taken_for_copies(toys):
    found = find_duplicates(toys)
    alarmed = np.union1d(found.first, found.second)
    assert len(alarmed) <= 0.01 * len(toys)
    assert (found.copy_of == np.arange(len(toys))).all()


@pytest.mark.real
@pytest.mark.parametrize("name", CHANGES)
def test_planted_copies_of_real_faces_are_found(name, validation):
    change, kind, least = CHANGES[name]
    # Faces that have no copy already: their only link is then the planted one.
    alone = np.bincount(clusters(validation[:1200]))[clusters(validation[:1200])] == 1
    kinds = planted(validation[:1200][alone], change)
    assert (kinds == kind).mean() >= least


@pytest.mark.real
def test_few_real_faces_are_taken_for_copies(validation):
    """Chance likeness is as frequent mirrored as straight, and true mirrored copies are rare."""
    found = find_duplicates(validation)
    turned = found.kinds == MIRRORED_NEAR
    alarmed = np.union1d(found.first[turned], found.second[turned])
    assert len(alarmed) <= 0.01 * len(validation)
    assert (found.kinds == NEAR).sum() > 50  # FER2013 does hold copies


@pytest.fixture(scope="module")
def validation(real_faces):
    """The 3,579 validation faces (3579, 48, 48)."""
    mosaic = np.asarray(Image.open(real_faces / "val.webp").convert("L"))
    tiles = mosaic.reshape(mosaic.shape[0] // 48, 48, -1, 48).swapaxes(1, 2)
    faces = tiles.reshape(-1, 48, 48)[:3579]
    assert faces.any((1, 2)).all()
    return faces


def test_clusters_do_not_depend_on_the_order(toys):
    faces = np.concatenate([toys[:60], toys[:20][:, :, ::-1], [reencoded(f, 60) for f in toys[:9]]])
    shuffled = np.random.default_rng(0).permutation(len(faces))
    straight, mixed = clusters(faces), clusters(faces[shuffled])
    together = straight[:, None] == straight
    assert ((mixed[:, None] == mixed) == together[np.ix_(shuffled, shuffled)]).all()
    assert together[:20, 60:80].diagonal().all()
    assert together[:9, 80:].diagonal().all()


def test_clusters_are_numbered_as_they_first_appear():
    found = Duplicates(
        copy_of=np.array([0, 1, 0, 3, 4, 1]),
        first=np.array([1]),
        second=np.array([4]),
        kinds=np.array([NEAR]),
        similarity=np.array([0.95], np.float32),
    )
    assert found.clusters().tolist() == [0, 1, 0, 2, 1, 1]


def test_the_closest_kind_is_that_of_another_face():
    # 0 and 2 identical; 1 and 5 identical and near 4; 3 alone; 4 mirrors 0.
    found = Duplicates(
        copy_of=np.array([0, 1, 0, 3, 4, 1]),
        first=np.array([0, 1]),
        second=np.array([4, 4]),
        kinds=np.array([MIRRORED, NEAR]),
        similarity=np.array([1, 0.95], np.float32),
    )
    everyone = np.ones(6, bool)
    assert found.closest(everyone, everyone).tolist() == [0, 0, 0, NO_KIND, MIRRORED, 0]
    train = np.array([1, 1, 0, 1, 0, 0], bool)
    assert found.closest(~train, train).tolist() == [NO_KIND, NO_KIND, 0, NO_KIND, MIRRORED, 0]
    assert found.closest(train, train).tolist() == [NO_KIND] * 6
    only_five = np.arange(6) == 5
    assert found.closest(only_five, only_five).tolist() == [NO_KIND] * 6


def test_plain_pictures_are_only_ever_identical():
    levels = (0, 0, 90, 91, 255)
    found = find_duplicates(np.stack([np.full((20, 20), level, np.uint8) for level in levels]))
    assert found.copy_of.tolist() == [0, 0, 2, 3, 4]
    assert len(found.first) == 0


def test_a_symmetric_picture_is_not_its_own_mirrored_copy(toys):
    half = toys[0][:, :24]
    symmetric = np.concatenate([half, half[:, ::-1]], axis=1)
    found = find_duplicates(np.stack([symmetric, symmetric, toys[1]]))
    assert found.copy_of.tolist() == [0, 0, 2]
    assert len(found.first) == 0


def test_without_near_only_equal_pixels_count(toys):
    faces = np.stack([toys[0], toys[0], toys[0][:, ::-1], reencoded(toys[0], 80), toys[1]])
    found = find_duplicates(faces, near=False)
    assert found.copy_of.tolist() == [0, 0, 2, 3, 4]
    assert (found.first.tolist(), found.second.tolist()) == ([0], [2])
    assert [KINDS[kind] for kind in found.kinds] == ["mirrored"]


def test_colour_and_grey_faces_of_any_size_are_compared(toys):
    large = np.stack([np.asarray(Image.fromarray(f).resize((100, 100))) for f in toys[:30]])
    tinted = (large[..., None] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    copies = np.stack([reencoded(f, 50) for f in large[:10]])[..., None].repeat(3, -1)
    numbers = clusters(np.concatenate([tinted, copies]))
    assert (numbers[:10] == numbers[30:]).all()
    assert len(set(numbers.tolist())) == 30


@pytest.mark.parametrize("count", [0, 1])
def test_no_face_and_one_face_have_no_copies(count):
    faces = np.zeros((count, 48, 48, 1), np.uint8)
    assert clusters(faces).tolist() == list(range(count))


def test_copies_are_found_first_where_too_much_looks_alike(toys, monkeypatch):
    """The limit on comparisons drops the least alike proposals, not the copies."""
    monkeypatch.setattr(duplicates, "_PROPOSALS_A_FACE", 1)
    monkeypatch.setattr(duplicates, "_PROPOSALS_OF_A_FACE", 2)
    monkeypatch.setattr(duplicates, "_PROPOSED", 0.0)
    assert (planted(toys, CHANGES["re-encoded"][0]) == NEAR).mean() >= 0.95


def test_small_blocks_give_the_same(toys, monkeypatch):
    faces = np.concatenate([toys[:100], [reencoded(f, 70) for f in toys[:30]]])
    whole = find_duplicates(faces)
    monkeypatch.setattr(duplicates, "_BLOCK", 700)
    parts = find_duplicates(faces)
    assert parts.first.tolist() == whole.first.tolist()
    assert parts.second.tolist() == whole.second.tolist()
