"""Mirrors of point sets: drawn faces, and permutations found from the points alone."""

import numpy as np
import pytest

from adafer.data.landmarks import FIVE, SIXTY_EIGHT, derived_mirror, inside


def ellipse(x, y, wide, high, degrees):
    angles = np.deg2rad(np.asarray(degrees, float))
    return [(x + wide * np.cos(a), y + high * np.sin(a)) for a in angles]


def drawn_68():
    """A symmetric face around x = 0, drawn part by part as iBUG's figure numbers the points."""
    jaw = ellipse(0, 0, 10, 14, np.linspace(180, 0, 17))
    left_brow = [(-8, -5), (-7, -6.5), (-5.5, -7), (-4, -6.6), (-2.5, -6)]
    right_brow = [(-x, y) for x, y in left_brow[::-1]]
    bridge = [(0, -4), (0, -2.5), (0, -1), (0, 0.5)]
    nostrils = [(-2, 2), (-1, 2.4), (0, 2.6), (1, 2.4), (2, 2)]
    left_eye = ellipse(-5, -4, 1.6, 0.7, [180, 240, 300, 0, 60, 120])
    right_eye = ellipse(5, -4, 1.6, 0.7, [180, 240, 300, 0, 60, 120])
    outer = ellipse(0, 6, 4, 1.8, [180, 220, 250, 270, 290, 320, 0, 40, 70, 90, 110, 140])
    inner = ellipse(0, 6, 3, 0.9, [180, 240, 270, 300, 0, 60, 90, 120])
    parts = (jaw, left_brow, right_brow, bridge, nostrils, left_eye, right_eye, outer, inner)
    return np.array([point for part in parts for point in part], np.float32)


FIVE_DRAWN = np.array([(-4, -4), (4, -4), (0, 0), (-3, 5), (3, 5)], np.float32)


@pytest.mark.parametrize(("points", "known"), [(FIVE_DRAWN, FIVE), (drawn_68(), SIXTY_EIGHT)])
def test_a_mirrored_face_has_each_point_where_its_partner_was(points, known):
    assert len(known) == len(points)
    mirrored = points * (-1, 1)
    np.testing.assert_allclose(mirrored[list(known.mirror)], points, atol=1e-5)
    assert [known.mirror[n] for n in known.mirror] == list(range(len(points)))


def varied(points, count, generator):
    """Faces of every place, size and small turn, with noise on each point."""
    faces = []
    for turn in generator.normal(0, 0.1, count):
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        noisy = points + generator.normal(0, 0.15, points.shape)
        faces.append(noisy @ spin.T * generator.uniform(2, 30) + generator.uniform(50, 300, 2))
    return np.array(faces, np.float32)


def test_a_mirror_is_found_from_faces_whatever_the_order_of_their_points():
    generator = np.random.default_rng(0)
    faces = varied(drawn_68(), 400, generator)
    assert derived_mirror(faces) == SIXTY_EIGHT.mirror
    order = generator.permutation(68)[:37]  # some points lose their partner, as in no real set
    paired = [n for n in range(68) if SIXTY_EIGHT.mirror[n] in set(order.tolist()) and n in order]
    place = {n: k for k, n in enumerate(paired)}
    expected = tuple(place[SIXTY_EIGHT.mirror[n]] for n in paired)
    assert derived_mirror(faces[:, paired]) == expected


def test_faces_with_unknown_points_do_not_count():
    faces = varied(drawn_68(), 300, np.random.default_rng(1))
    faces[::3, 5] = np.nan
    assert derived_mirror(faces) == SIXTY_EIGHT.mirror


@pytest.mark.parametrize(
    "faces",
    [
        varied(drawn_68(), 19, np.random.default_rng(2)),  # too few
        np.random.default_rng(3).uniform(0, 100, (200, 37, 2)).astype(np.float32) ** 2,
        np.zeros((50, 5, 2), np.float32),
        np.full((50, 5, 2), np.nan, np.float32),
        varied(drawn_68()[:8], 200, np.random.default_rng(4)),  # half a jaw has no mirror
    ],
)
def test_no_mirror_is_invented_where_none_is_clear(faces):
    assert derived_mirror(faces) is None


def test_the_share_of_points_inside_their_boxes_passes_over_unknown_ones():
    points = np.array([[[1, 1], [9, 1]], [[np.nan, np.nan], [4, 4]]], np.float32)
    boxes = np.array([[0, 0, 5, 5], [0, 0, 4, 4]])
    assert inside(points, boxes) == pytest.approx(2 / 3)
    assert inside(np.full((1, 2, 2), np.nan, np.float32), boxes[:1]) == 1
