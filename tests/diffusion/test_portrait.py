"""Portraits and head motions from real pictures and clips."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svp.diffusion.portrait import Portrait, head_points, prepare_portrait, read_picture
from svp.errors import InputError
from svp.face.head_kps import head_kps
from svp.face.landmarks import track_landmarks
from svp.face.motion import HeadMotion
from svp.face.motion_library import SHIPPED, MotionLibrary
from svp.media.image import read_image
from svp.media.video import read_frames

SIZE = 128


@pytest.fixture(scope="module")
def picture(shared: Path) -> Path:
    return shared / "data/portraits/anitalker_monalisa.jpg"


@pytest.fixture(scope="module")
def clip(shared: Path) -> Path:
    return next(iter(sorted((shared / "data/clips/lrs3_spectre").glob("*.mp4"))))


@pytest.fixture(scope="module")
def portrait(picture: Path) -> Portrait:
    return prepare_portrait(picture, SIZE)


def test_a_portrait_is_the_same_from_a_file_an_array_and_a_picture(portrait: Portrait, picture: Path) -> None:
    assert portrait.image.shape == (SIZE, SIZE, 3) and portrait.image.dtype == np.uint8
    inside = (portrait.landmarks[:, :2] > 0) & (portrait.landmarks[:, :2] < SIZE)
    assert inside.all()
    for other in (read_image(picture), Image.open(picture)):
        again = prepare_portrait(other, SIZE)
        assert np.array_equal(again.image, portrait.image)
        assert np.array_equal(again.landmarks, portrait.landmarks)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "I;16", "CMYK"])
def test_an_opened_picture_is_read_as_its_file(mode: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    if mode == "I;16":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(path, exif=exif)
    elif mode == "P":
        Image.fromarray(values[..., :3]).quantize(8).save(path, transparency=0, exif=exif)
    else:
        Image.fromarray(values).convert(mode).save(path, exif=exif)
    read = read_image(path)
    assert read.shape == (20, 12, 3)
    with Image.open(path) as picture:
        assert np.array_equal(read_picture(picture), read)


def test_an_opened_picture_that_is_cut_is_an_input_error(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:3000])
    with Image.open(tmp_path / "cut.png") as picture, pytest.raises(InputError, match="damaged or truncated"):
        read_picture(picture)


VOICE = np.abs(np.sin(np.arange(400) / 7))


def test_a_still_head_keeps_the_points_and_a_natural_one_moves_them(portrait: Portrait) -> None:
    own = head_kps(portrait.landmarks)
    still = head_points("still", portrait, VOICE[:5], "pose", seed=0)
    np.testing.assert_allclose(still, np.repeat(own[None], 5, axis=0), atol=1e-3)
    natural = head_points("natural", portrait, VOICE[:50], "pose", seed=0)
    assert natural.shape == (50, 8, 2) and np.nanstd(natural, axis=0).max() > 0.5
    np.testing.assert_allclose(natural[0], own, atol=1e-3)
    for library in (SHIPPED, MotionLibrary.shipped()):
        again = head_points(library, portrait, VOICE[:50], "pose", seed=0)
        assert np.array_equal(again, natural, equal_nan=True)
    assert not np.array_equal(head_points("natural", portrait, VOICE[:50], "pose", seed=1), natural)
    assert np.array_equal(head_points(HeadMotion.still(2), portrait, VOICE[:5], "pose", seed=0), still)


def test_a_clip_gives_its_motion_or_its_points(portrait: Portrait, clip: Path) -> None:
    moved = head_points(clip, portrait, VOICE[:30], "pose", seed=0)
    assert moved.shape == (30, 8, 2)
    own = head_kps(portrait.landmarks)
    assert np.nanmax(np.abs(moved - own), axis=(1, 2)).min() < 0.05 * SIZE  # at the frontal frame
    points = head_points(clip, portrait, VOICE[:30], "none", seed=0)
    eyes = points[:, 4:6]
    track = head_kps(track_landmarks(read_frames(clip, seconds=1.2)))[:, 4:6]
    ratio = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1) / np.linalg.norm(track[:, 0] - track[:, 1], axis=-1)
    seen = np.isfinite(ratio)
    assert 0.7 < seen.mean() < 1  # the clip holds a blink
    np.testing.assert_allclose(ratio[seen], ratio[0], rtol=1e-3)  # only cropped and scaled


def test_points_are_taken_as_they_are_on_a_crop_that_is_taken_as_it_is(portrait: Portrait) -> None:
    same = Portrait.of_crop(portrait.image, portrait.landmarks)
    np.testing.assert_array_equal(same.crop.points(portrait.landmarks), portrait.landmarks)
    np.testing.assert_allclose(same.fit.expression, portrait.fit.expression)
    points = np.random.default_rng(0).uniform(0, SIZE, (3, 8, 2))
    np.testing.assert_array_equal(head_points(points, same, VOICE[:5], "none", seed=0), points[[0, 1, 2, 1, 0]])


def test_a_clip_shorter_than_the_video_plays_forth_and_back(portrait: Portrait, clip: Path) -> None:
    length = len(track_landmarks(read_frames(clip, seconds=20)))
    for retarget in ("pose", "none"):
        points = head_points(clip, portrait, np.zeros(2 * length + 3), retarget, seed=0)
        assert len(points) == 2 * length + 3
        np.testing.assert_allclose(points[length : 2 * length - 2], points[1 : length - 1][::-1], atol=1e-3)
