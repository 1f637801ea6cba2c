"""The crop keeps geometry, and pictures of one face are framed alike."""

import numpy as np
import pytest

from svp.face.crop import SquareCrop, clip_crop, clip_crops, portrait_crop
from svp.face.model import FaceModel


def a_face(center: tuple[float, float] = (300.0, 260.0), scale: float = 80.0) -> np.ndarray:
    face = FaceModel.load().neutral * scale
    face[:, :2] += center
    return face.astype(np.float32)


def test_points_round_trip() -> None:
    crop = SquareCrop(311.3, 207.9, 333.3, 256)
    points = np.random.default_rng(0).uniform(-100, 700, (5, 478, 3)).astype(np.float32)
    np.testing.assert_allclose(crop.inverse_points(crop.points(points)), points, atol=1e-3)


@pytest.mark.parametrize("size", [64, 128, 256, 400])
def test_a_dot_lands_where_the_points_say(size: int) -> None:
    crop = SquareCrop(300.0, 240.0, 200.0, size)
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[192:212, 332:352] = 255  # centred on the corner (342, 202)
    bright = crop.apply(picture)[..., 0].astype(float)
    y, x = np.mgrid[:size, :size] + 0.5
    found = np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum()
    np.testing.assert_allclose(found, crop.points(np.array([[342.0, 202.0]]))[0], atol=0.15)  # warps work in 1/32 pixel


def test_a_crop_reaching_over_the_border_is_whole() -> None:
    cut = SquareCrop(20.0, 15.0, 200.0, 128).apply(np.full((480, 640, 3), 90, np.uint8))
    assert cut.shape == (128, 128, 3) and (cut == 90).all()


def test_portraits_and_clips_are_framed_alike() -> None:
    face = a_face()
    trembling = face + np.random.default_rng(0).normal(0, 0.5, (40, 1, 1)).astype(np.float32)
    one, many = portrait_crop(face, 256), clip_crop(trembling, 256)
    assert many.side == pytest.approx(one.side, rel=0.01)
    assert (many.center_x, many.center_y) == pytest.approx((one.center_x, one.center_y), abs=2)
    box = one.points(face)[:, :2]
    assert (box > 0).all()
    assert (box < 256).all()


def test_framing_follows_the_size_of_the_face() -> None:
    small, large = a_face(scale=40.0), a_face(scale=120.0)
    framed = [portrait_crop(face, 128).points(face)[:, :2] for face in (small, large)]
    np.testing.assert_allclose(framed[0], framed[1], atol=0.05)


def test_single_bad_frames_do_not_move_the_clip_crop() -> None:
    track = np.tile(a_face(), (50, 1, 1))
    bad = track.copy()
    bad[7] += 200
    bad[20:23] = np.nan
    assert clip_crop(bad, 256) == clip_crop(track, 256)


def test_a_resting_face_gets_one_crop_and_a_travelling_one_is_followed() -> None:
    rest = np.tile(a_face(), (50, 1, 1))
    assert len(set(clip_crops(rest, 256))) == 1
    walk = rest.copy()
    walk[..., 0] += np.linspace(0, 400, 50)[:, None]
    walk[10] = np.nan
    crops = clip_crops(walk, 256)
    assert len(crops) == 50
    assert {crop.side for crop in crops} == {crops[0].side}
    steps = np.diff([crop.center_x for crop in crops])
    assert (steps >= 0).all()
    assert steps.max() < 12  # smooth: 8 pixels a frame is the face's own speed
    seen = [i for i in range(50) if i != 10]
    assert max(abs(crops[i].points(walk[i])[:, 0].mean() - 128) for i in seen) < 40


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        SquareCrop(0, 0, 0, 128)
    with pytest.raises(ValueError, match="no frame with a face"):
        clip_crop(np.full((3, 478, 3), np.nan), 128)
