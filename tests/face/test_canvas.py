"""Frames go back into their picture: at their place, without a seam, in the shape that is asked for."""

import cv2
import numpy as np
import pytest

from svp.errors import InputError
from svp.face.canvas import MAX_SIDE, Canvas, View
from svp.face.crop import SquareCrop

SIDE = 200.0


def a_picture(height: int = 480, width: int = 640) -> np.ndarray:
    """Smooth colours, so that resampling twice loses little."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 37 + 1) + np.cos(y / 29), np.sin(x / 53) * np.cos(y / 41), np.cos((x + y) / 61)]
    return (127 + 60 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8)


def crop_at(x: float = 310.2, y: float = 230.7, size: int = 128) -> SquareCrop:
    return SquareCrop(x, y, SIDE, size)


@pytest.mark.parametrize("size", [64, 128, 512])
def test_a_full_picture_keeps_its_size_and_is_itself_with_its_own_crop(size: int) -> None:
    picture = a_picture()
    crop = crop_at(size=size)
    canvas = Canvas.of(picture, crop, View("full"))
    pasted = canvas.paste(crop.apply(picture))
    assert pasted.shape == picture.shape == (canvas.height, canvas.width, 3)
    assert np.abs(pasted.astype(int) - picture).max() <= 4
    outside = np.ones(picture.shape[:2], bool)
    outside[130:332, 210:411] = False
    assert np.array_equal(pasted[outside], picture[outside])


def test_what_a_frame_shows_lands_where_the_crop_says() -> None:
    picture = np.full((480, 640, 3), 60, np.uint8)
    frame = np.full((128, 128, 3), 60, np.uint8)
    frame[70:80, 50:60] = 255
    bright = Canvas.of(picture, crop_at(), View("full")).paste(frame)[..., 0].astype(float) - 60
    y, x = np.mgrid[:480, :640] + 0.5
    found = np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum()
    np.testing.assert_allclose(found, crop_at().inverse_points(np.array([[55.0, 75.0]]))[0], atol=0.2)


def steps_over_the_edge(pasted: np.ndarray, picture: np.ndarray) -> float:
    """The largest change from one column to the next, of what was added to a picture."""
    added = pasted.astype(int) - picture
    return float(np.abs(np.diff(added, axis=1)).max())


def test_no_seam_is_seen_where_colours_differ() -> None:
    picture, crop = a_picture(), crop_at(size=200)
    darker = (crop.apply(picture).astype(int) - 12).clip(0).astype(np.uint8)
    hard = picture.copy()
    hard[131:331, 210:410] = darker
    pasted = Canvas.of(picture, crop, View("full")).paste(darker)
    assert steps_over_the_edge(hard, picture) >= 10 and steps_over_the_edge(pasted, picture) <= 2
    assert np.abs(pasted.astype(int) - picture).mean() < 0.5  # the offset is found and taken away


def test_a_shoulder_that_moved_does_not_stain_the_rest() -> None:
    picture, crop = np.full((480, 640, 3), 120, np.uint8), crop_at(size=200)
    frame = np.full((200, 200, 3), 120, np.uint8)
    frame[150:, 60:140] = 20
    pasted = Canvas.of(picture, crop, View("full")).paste(frame)
    assert np.abs(pasted[:270].astype(int) - 120).max() <= 1
    assert steps_over_the_edge(pasted[320:], picture[320:]) < 100 / 2


def test_a_crop_at_the_edge_of_the_picture_is_not_faded_there() -> None:
    picture = np.full((200, 300, 3), 120, np.uint8)
    frame = np.full((64, 64, 3), 120, np.uint8)
    frame[:, :3] = 250
    pasted = Canvas.of(picture, SquareCrop(100.0, 100.0, 200.0, 64), View("full")).paste(frame)
    assert (pasted[:, :8] > 240).all()
    beside = Canvas(picture, SquareCrop(-300.0, 100.0, 200.0, 64)).paste(frame)
    assert np.array_equal(beside, picture)


@pytest.mark.parametrize(("frame", "aspect"), [("crop", "16:9"), ("crop", "9:16"), ("full", "1:1"), ("full", "21:9")])
def test_a_shape_is_filled_from_the_picture(frame: str, aspect: str) -> None:
    picture, crop = a_picture(), crop_at()
    canvas = Canvas.of(picture, crop, View(frame, aspect))
    width, height = map(int, aspect.split(":"))
    assert canvas.width % 2 == canvas.height % 2 == 0
    assert canvas.width / canvas.height == pytest.approx(width / height, rel=0.02)
    place = canvas.place
    assert (place.origin >= -0.6).all()
    assert (place.origin + place.side <= np.array([canvas.width, canvas.height]) + 0.6).all()
    if frame == "crop":
        assert min(canvas.width, canvas.height) == 128 == place.side
    else:
        assert place.side == SIDE and max(canvas.width / 640, canvas.height / 480) == pytest.approx(1, abs=0.01)
    # the background is the picture, at the crop's place: whole pixels of the canvas there are those of the picture
    x, y = canvas.width // 4, canvas.height // 3
    there = crop.inverse_points(place.points(np.array([[x + 0.5, y + 0.5]])))[0] - 0.5
    expected = cv2.remap(picture, np.float32([[there[0]]]), np.float32([[there[1]]]), cv2.INTER_LINEAR)[0, 0]
    assert np.abs(canvas.background[y, x].astype(int) - expected).max() <= 3


def test_a_frame_in_a_wider_crop_is_unchanged_inside() -> None:
    picture, crop = a_picture(), crop_at()
    frame = crop.apply(picture)
    frame[40:90, 40:90] = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    canvas = Canvas.of(picture, crop, View("crop", "16:9"))
    left, top = canvas.place.origin.round().astype(int)
    pasted = canvas.paste(frame)[top : top + 128, left : left + 128]
    assert np.abs(pasted[40:90, 40:90].astype(int) - frame[40:90, 40:90]).max() <= 2


def test_beyond_the_picture_there_is_no_black_and_no_edge() -> None:
    picture = np.full((100, 100, 3), (200, 150, 100), np.uint8)
    canvas = Canvas.of(picture, SquareCrop(50.0, 50.0, 100.0, 64), View("full", "2:1"))
    assert (canvas.width, canvas.height) == (200, 100)
    assert np.abs(canvas.background.astype(int) - (200, 150, 100)).max() <= 1


def test_large_and_odd_pictures_become_even_ones_that_are_not_too_large() -> None:
    odd = Canvas.of(a_picture(301, 401), crop_at(200, 150), View("full"))
    assert (odd.width, odd.height) == (402, 302) and odd.paste(np.zeros((128, 128, 3), np.uint8)).shape == (302, 402, 3)
    large = Canvas.of(np.zeros((1000, 4000, 3), np.uint8), SquareCrop(3000.0, 500.0, 400.0, 128), View("full"))
    assert (large.width, large.height) == (MAX_SIDE, MAX_SIDE // 4)
    np.testing.assert_allclose(large.place.origin, np.array([2800, 300]) * MAX_SIDE / 4000)


def test_unknown_views_are_refused() -> None:
    for frame, aspect, problem in (
        ("whole", None, "frame whole: unknown"),
        ("crop", "16x9", "aspect 16x9: give WIDTH:HEIGHT"),
        ("crop", "0:1", "give WIDTH:HEIGHT"),
        ("crop", "nan:1", "give WIDTH:HEIGHT"),
        ("crop", "4:1", "too long a shape"),
        ("full", "1:9", "too long a shape"),
    ):
        with pytest.raises(InputError, match=problem):
            View(frame, aspect)
    assert View().square and not View("full").square and not View("crop", "1:1").square
    with pytest.raises(ValueError, match="must be"):
        Canvas.of(a_picture(), crop_at(), View("full")).paste(np.zeros((64, 64, 3), np.uint8))
