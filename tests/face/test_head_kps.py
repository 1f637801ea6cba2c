"""The eight points are those of the upper face, and their picture shows each in its colour where it is."""

import numpy as np
import pytest

from svp.face.head_kps import HEAD_KPS, HEAD_KPS_COLORS, draw_head_kps, head_kps
from svp.face.model import FaceModel


def spread_points(size: int) -> np.ndarray:
    """Eight points on pixel centres, far from each other."""
    grid = np.linspace(0.15, 0.85, 8)
    return (size * np.stack([grid, grid[::-1] ** 2], axis=1)).astype(int)[None] + 0.5


def test_no_point_moves_with_the_mouth() -> None:
    model = FaceModel.load()
    for name in model.unit_names:
        if name.startswith(("jaw", "mouth")):
            moved = model.expression[model.unit(name), list(HEAD_KPS)]
            assert np.abs(moved).max() < 0.02, name


def test_points_are_taken_from_landmarks() -> None:
    landmarks = np.random.default_rng(0).uniform(size=(4, 478, 3))
    assert head_kps(landmarks).shape == (4, 8, 2)
    np.testing.assert_array_equal(head_kps(landmarks[0])[4], landmarks[0, 468, :2])


@pytest.mark.parametrize("size", [128, 512])
def test_the_centre_of_each_disc_has_its_colour(size: int) -> None:
    points = spread_points(size)
    picture = draw_head_kps(points, size)
    assert picture.shape == (1, 3, size, size)
    assert picture.dtype == np.float32
    for (x, y), color in zip(points[0].astype(int), HEAD_KPS_COLORS, strict=True):
        np.testing.assert_allclose(picture[0, :, y, x], color, atol=1e-6)
    assert picture.min() == 0
    assert picture.max() == 1
    assert (picture.max(axis=1) == 0).mean() > 0.95


def test_discs_move_by_parts_of_a_pixel() -> None:
    points = np.full((2, 8, 2), np.nan)
    points[:, 0] = [[40.0, 50.0], [40.3, 49.4]]
    red = draw_head_kps(points, 128)[:, 0].astype(float)
    y, x = np.mgrid[:128, :128] + 0.5
    for picture, point in zip(red, points[:, 0], strict=True):
        center = np.array([(x * picture).sum(), (y * picture).sum()]) / picture.sum()
        np.testing.assert_allclose(center, point, atol=0.02)


def test_scale_of_the_picture_does_not_matter() -> None:
    points = spread_points(128)
    small, large = draw_head_kps(points, 128), draw_head_kps(points * 4, 512)
    shrunk = large.reshape(1, 3, 128, 4, 128, 4).mean(axis=(3, 5))
    assert np.abs(small - shrunk).mean() < 1e-3


def test_points_outside_are_left_out() -> None:
    points = np.full((1, 8, 2), -50.0)
    points[0, 3] = np.nan
    assert draw_head_kps(points, 64).max() == 0
    points[0, 2] = (0.0, 63.9)  # on the border: half a disc
    assert 0 < (draw_head_kps(points, 64) > 0).sum() < 40


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected points"):
        draw_head_kps(np.zeros((8, 2)), 64)
