"""The detector finds faces where they are and says so when there are none."""

from pathlib import Path

import numpy as np
import pytest

from svp.errors import InputError
from svp.face.landmarks import LandmarkDetector, require_landmarks, require_track, track_landmarks
from svp.face.topology import CHIN, NOSE_TIP, PUPIL_LEFT, PUPIL_RIGHT
from svp.media.image import read_image

PORTRAIT = "data/portraits_official/wiki_099912.jpg"


def test_a_portrait_has_landmarks_in_its_pixels(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    landmarks = require_landmarks(picture, PORTRAIT)
    assert landmarks.shape == (478, 3)
    assert landmarks.dtype == np.float32
    assert landmarks[PUPIL_RIGHT, 0] < landmarks[NOSE_TIP, 0] < landmarks[PUPIL_LEFT, 0]
    assert landmarks[PUPIL_RIGHT, 1] < landmarks[NOSE_TIP, 1] < landmarks[CHIN, 1] < picture.shape[0]


def test_a_mirrored_picture_gives_mirrored_landmarks(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    straight = require_landmarks(picture, PORTRAIT)
    mirrored = require_landmarks(picture[:, ::-1], PORTRAIT)
    eyes = np.linalg.norm(straight[PUPIL_RIGHT, :2] - straight[PUPIL_LEFT, :2])
    back = np.array([picture.shape[1], 0]) + mirrored[[PUPIL_LEFT, PUPIL_RIGHT, NOSE_TIP], :2] * [-1, 1]
    assert np.abs(back - straight[[PUPIL_RIGHT, PUPIL_LEFT, NOSE_TIP], :2]).max() < 0.06 * eyes


def test_a_small_face_in_a_large_picture_is_found(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    there = require_landmarks(picture, PORTRAIT)
    wide = np.full((1800, 2600, 3), 128, np.uint8)
    top, left = 900, 1700
    wide[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    found = require_landmarks(wide, "wide.png")
    eyes = np.linalg.norm(there[PUPIL_RIGHT, :2] - there[PUPIL_LEFT, :2])
    assert np.abs(found[:468, :2] - [left, top] - there[:468, :2]).mean() < 0.06 * eyes


def test_the_largest_of_several_faces_counts(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    height, width = picture.shape[:2]
    both = np.full((height, width + width // 2, 3), 128, np.uint8)
    both[:, :width] = picture
    both[: height // 2, width : width + width // 2] = picture[::2, ::2][: height // 2, : width // 2]
    assert require_landmarks(both, "both.png")[NOSE_TIP, 0] < width


def test_faceless_input_is_an_error_that_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"sky\.png: no face found; use a picture with one visible face"):
        require_landmarks(np.full((256, 256, 3), 200, np.uint8), "sky.png")
    assert capfd.readouterr().err == ""  # the detector's own chatter would bury the message


def test_video_tracks_and_marks_lost_frames(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    nothing = np.zeros_like(picture)
    moving = [np.roll(picture, 3 * step, axis=1) for step in range(4)]
    track = track_landmarks(iter([*moving, nothing, nothing, moving[3]]))
    assert track.shape == (7, 478, 3)
    found = np.isfinite(track).all(axis=(1, 2))
    np.testing.assert_array_equal(found, [True, True, True, True, False, False, True])
    steps = np.diff(track[:4, NOSE_TIP, 0])
    assert (np.abs(steps - 3) < 2).all()


def test_gaps_are_filled_linearly_and_ends_held() -> None:
    track = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (1, 478, 3))
    broken = track.copy()
    broken[[0, 3, 4, 7]] = np.nan
    filled = require_track(broken, "clip.mp4")
    np.testing.assert_allclose(filled[3:5], track[3:5], atol=1e-6)
    assert filled[0, 0, 0] == 1
    assert filled[7, 0, 0] == 6
    assert require_track(track, "clip.mp4") is track


def test_clips_without_a_face_are_refused() -> None:
    lost = np.full((10, 478, 3), np.nan, np.float32)
    lost[0] = 1
    with pytest.raises(InputError, match=r"clip\.mp4: a face is found in 1 of 10 frames"):
        require_track(lost, "clip.mp4")
    with pytest.raises(InputError, match=r"clip\.mp4: has no video frame"):
        require_track(lost[:0], "clip.mp4")


def test_a_closed_detector_starts_again_and_wrong_arrays_are_refused(shared: Path) -> None:
    picture = read_image(shared / PORTRAIT)
    detector = LandmarkDetector(static=True)
    first = detector.detect(picture)
    detector.close()
    second = detector.detect(picture)
    detector.close()
    assert first is not None
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="uint8 RGB"):
        detector.detect(picture.astype(np.float32))
