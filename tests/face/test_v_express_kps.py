"""V-Express's three points: where they are, how they are drawn, how they follow the head."""

import numpy as np
import pytest

from svp.face.fit import fit_clip
from svp.face.key_points import KEY_POINTS
from svp.face.model import FaceModel
from svp.face.motion import HeadMotion
from svp.face.v_express_kps import draw_three_points

POINTS = np.array([[[20.0, 24.0], [44.0, 24.0], [32.0, 40.0]]])


@pytest.fixture(scope="module")
def landmarks():
    return (FaceModel.load().neutral * 40 + np.array([128, 128, 0])).astype(np.float32)


def test_discs_and_limbs():
    image = draw_three_points(POINTS, 64)[0]
    assert image.shape == (3, 64, 64) and image.dtype == np.float32
    for (x, y), color in zip(POINTS[0].astype(int), np.eye(3), strict=True):
        disc = image[:, y - 4 : y + 5, x - 4 : x + 5]
        assert np.array_equal(image[:, y, x], color)
        inside = np.hypot(*np.mgrid[-4:5, -4:5]) <= 3.5
        assert np.array_equal(disc[:, inside], np.repeat(color[:, None], inside.sum(), axis=1))
    middle = image[:, 32, 26]  # half way from the first eye to the nose
    assert np.allclose(middle, [0.6, 0, 0]) and np.allclose(image[:, 32, 38], [0, 0.6, 0])
    assert not image[:, :, :10].any() and not image[:, 50:].any()
    assert not draw_three_points(POINTS - 500, 64).any()  # outside of the picture
    with pytest.raises(ValueError, match=r"\(N, 3, 2\)"):
        draw_three_points(np.zeros((1, 8, 2)), 64)


def test_limbs_are_ellipses_as_thick_as_the_points_in_the_shaded_colour_of_the_eye():
    """V-Express's numbers (half-width and radius 4, 0.6 of the colour) against the formula of an ellipse."""
    points = np.array([[[10.0, 32.0], [54.0, 60.0], [54.0, 32.0]]])
    image = draw_three_points(points, 64)[0]
    y, x = np.mgrid[:64, :64]
    first = ((x - 32) / 22) ** 2 + ((y - 32) / 4) ** 2
    second = ((x - 54) / 4) ** 2 + ((y - 46) / 14) ** 2
    from_points = np.min([np.hypot(x - px, y - py) for px, py in points[0]], axis=0)
    for limb, other, color in ((first, second, (0.6, 0, 0)), (second, first, (0, 0.6, 0))):
        inside = (limb < 0.8) & (other > 1.5) & (from_points > 5)
        assert inside.sum() > 50
        np.testing.assert_allclose(image[:, inside], np.repeat(np.float32(color)[:, None], inside.sum(), axis=1))
    assert not image[:, (first > 1.6) & (second > 1.6) & (from_points > 5)].any()


def test_points_are_eyes_and_nose(landmarks):
    left, right, nose = KEY_POINTS["v-express"].seen(landmarks[None])[0]
    assert np.allclose(left, landmarks[[33, 133], :2].mean(0), atol=1e-4)
    assert left[0] < nose[0] < right[0] and nose[1] > max(left[1], right[1])


def test_they_follow_the_head_and_not_the_gaze(landmarks):
    fit = fit_clip(landmarks[None], FaceModel.load())
    three = KEY_POINTS["v-express"]
    rest = three.moved(landmarks, fit, HeadMotion.still(2))
    assert np.allclose(rest, three.seen(landmarks[None]), atol=1e-3)
    still = HeadMotion.still(1)
    away = HeadMotion(still.rotation, still.translation, still.gaze + 0.2, np.ones_like(still.blink))
    assert np.allclose(three.moved(landmarks, fit, away), rest[:1], atol=1e-3)
    shifted = HeadMotion(still.rotation, still.translation + np.float32([0.5, 0, 0]), still.gaze, still.blink)
    moved = three.moved(landmarks, fit, shifted)[0] - rest[0]
    eyes = np.linalg.norm(landmarks[468, :2] - landmarks[473, :2])
    assert np.allclose(moved[:, 1], 0, atol=1e-3) and np.allclose(moved[:, 0], 0.5 * eyes, rtol=0.1)
    eight = KEY_POINTS["upper-face"].moved(landmarks, fit, shifted)[0, :4] - landmarks[[127, 234, 356, 454], :2]
    assert np.allclose(eight, moved[0], atol=1e-3)
