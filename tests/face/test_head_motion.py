"""Head motion: a portrait at rest stays itself, a turned head shows parallax, clips give their motion."""

from dataclasses import replace

import numpy as np
import pytest

from svp.face.fit import FaceFit, fit_clip
from svp.face.head_kps import HEAD_KPS, head_kps, seen_head_kps
from svp.face.model import FaceModel
from svp.face.motion import CLOSED, HeadMotion, apply_to_portrait, forth_and_back
from svp.face.pose import Pose, rotation_from_angles, yaw_pitch_roll

EDGES, PUPILS, BRIDGE = [0, 1, 2, 3], [4, 5], [6, 7]


@pytest.fixture(scope="module")
def portrait() -> tuple[np.ndarray, FaceFit]:
    """Landmarks of a made-up person, slightly turned, and their fit."""
    model, rng = FaceModel.load(), np.random.default_rng(3)
    expression = np.zeros(52)
    expression[model.unit("mouthSmileLeft")] = expression[model.unit("mouthSmileRight")] = 0.5
    shape = model.shape(rng.normal(0, 0.7, len(model.identity)), expression)
    pose = Pose(rotation_from_angles(np.array([[0.1, 0.05, -0.08]])), np.array([[128.0, 110, 0]]), np.array([50.0]))
    landmarks = pose.place(shape[None]).astype(np.float32)
    landmarks[..., :2] += rng.normal(0, 0.2, (1, 478, 2)).astype(np.float32)
    return landmarks[0], fit_clip(landmarks)


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> HeadMotion:
    rotation = rotation_from_angles(np.array([[yaw, pitch, roll]])).astype(np.float32)
    return replace(HeadMotion.still(1), rotation=rotation)


def test_still_leaves_the_detected_points_exactly(portrait: tuple[np.ndarray, FaceFit]) -> None:
    landmarks, fit = portrait
    points = apply_to_portrait(landmarks, fit, HeadMotion.still(5))
    assert points.shape == (5, 8, 2)
    np.testing.assert_array_equal(points, np.tile(head_kps(landmarks), (5, 1, 1)))


def test_yaw_shows_parallax(portrait: tuple[np.ndarray, FaceFit]) -> None:
    """Turning to the right of the picture moves near points right of far ones; turning left the other way round."""
    landmarks, fit = portrait
    rest = head_kps(landmarks)
    for yaw in (0.3, -0.3):
        shift = apply_to_portrait(landmarks, fit, turned(yaw=yaw))[0] - rest
        assert np.sign(yaw) * (shift[BRIDGE, 0].mean() - shift[EDGES, 0].mean()) > 0.1 * fit.scale[0]
        assert np.abs(shift[:, 1]).max() < 0.15 * fit.scale[0]


def test_pitch_and_roll_go_the_right_way(portrait: tuple[np.ndarray, FaceFit]) -> None:
    landmarks, fit = portrait
    rest = head_kps(landmarks)
    down = apply_to_portrait(landmarks, fit, turned(pitch=0.3))[0] - rest
    assert down[BRIDGE, 1].mean() > down[EDGES, 1].mean() + 0.1 * fit.scale[0]
    clockwise = apply_to_portrait(landmarks, fit, turned(roll=0.3))[0] - rest
    assert clockwise[4, 1] < 0 < clockwise[5, 1]


def test_translation_and_depth(portrait: tuple[np.ndarray, FaceFit]) -> None:
    landmarks, fit = portrait
    rest = head_kps(landmarks)
    eyes = np.linalg.norm(rest[4] - rest[5])
    still = HeadMotion.still(1)
    moved = apply_to_portrait(landmarks, fit, replace(still, translation=np.array([[0.5, -0.25, 0.0]])))[0]
    np.testing.assert_allclose(moved - rest, np.tile([0.5 * eyes, -0.25 * eyes], (8, 1)), rtol=0.12)
    near = apply_to_portrait(landmarks, fit, replace(still, translation=np.array([[0.0, 0.0, -2.0]])))[0]
    assert np.linalg.norm(near[4] - near[5]) == pytest.approx(eyes * 10 / 8, rel=0.02)


def test_gaze_moves_only_the_pupils_and_stays_in_the_eye(portrait: tuple[np.ndarray, FaceFit]) -> None:
    landmarks, fit = portrait
    still = HeadMotion.still(2)
    gaze = np.array([[0.1, 0.0], [5.0, 0.0]], np.float32)
    shift = apply_to_portrait(landmarks, fit, replace(still, gaze=gaze)) - head_kps(landmarks)
    assert np.abs(shift[:, EDGES + BRIDGE]).max() == 0
    width = np.linalg.norm(landmarks[33, :2] - landmarks[133, :2])
    np.testing.assert_allclose(shift[0, PUPILS, 0], 0.1 * width, rtol=0.2)
    assert shift[1, PUPILS, 0].max() < 0.4 * width


def test_motion_of_a_clip_comes_back_on_its_own_face() -> None:
    """Fit a moving head, give its motion to its own frontal frame: the clip's points come back."""
    model, rng = FaceModel.load(), np.random.default_rng(5)
    n = 60
    time = np.linspace(0, 2 * np.pi, n)
    angles = np.stack([0.25 * np.sin(time), 0.1 * np.sin(2 * time), 0.1 * np.cos(time)], axis=1)
    place = np.stack([128 + 10 * np.sin(time), 120 + 5 * np.cos(time), 0 * time], axis=1)
    pose = Pose(rotation_from_angles(angles), place, 50 * np.exp(0.05 * np.sin(time)))
    expression = np.zeros((n, 52))
    expression[:, model.unit("eyeLookOutLeft")] = expression[:, model.unit("eyeLookInRight")] = np.clip(
        time - 4, 0, 0.6
    )
    expression[:, model.unit("jawOpen")] = 0.2 * (1 + np.sin(5 * time))
    track = pose.place(model.shape(rng.normal(0, 0.5, len(model.identity)), expression)).astype(np.float32)
    motion = HeadMotion.from_fit(fit_clip(track))
    frontal = int(np.abs(motion.rotation - np.eye(3)).sum(axis=(1, 2)).argmin())
    points = apply_to_portrait(track[frontal], fit_clip(track[frontal : frontal + 1]), motion)
    error = np.linalg.norm(points - head_kps(track), axis=-1) / 50
    assert np.median(error) < 0.02
    assert np.median(error[:, PUPILS]) < 0.03
    assert np.degrees(np.abs(yaw_pitch_roll(motion.rotation)[:, 0]).max()) > 12


def test_a_blink_hides_the_pupils_and_nothing_else(portrait: tuple[np.ndarray, FaceFit]) -> None:
    landmarks, fit = portrait
    motion = replace(HeadMotion.still(3), blink=np.array([0.0, 1.0, 0.3], np.float32))
    points = apply_to_portrait(landmarks, fit, motion)
    assert np.isnan(points[1, PUPILS]).all()
    points[1, PUPILS] = points[0, PUPILS]
    np.testing.assert_array_equal(points, np.tile(head_kps(landmarks), (3, 1, 1)))


@pytest.mark.parametrize("narrow", [0.0, 0.35])
def test_blinks_of_a_clip_are_found_in_wide_and_in_narrow_eyes(narrow: float) -> None:
    model, n = FaceModel.load(), 60
    lids = np.full(n, narrow)
    lids[30:33] = 1.0
    expression = np.zeros((n, 52))
    for side in ("Left", "Right"):
        expression[:, model.unit(f"eyeBlink{side}")] = lids
    pose = Pose(np.tile(np.eye(3), (n, 1, 1)), np.tile([128.0, 120, 0], (n, 1)), np.full(n, 50.0))
    track = pose.place(model.shape(np.zeros(len(model.identity)), expression)).astype(np.float32)
    closed = HeadMotion.from_fit(fit_clip(track)).blink >= CLOSED
    assert closed[30:33].all() and not np.delete(closed, range(29, 34)).any()
    hidden = np.isnan(seen_head_kps(track)[:, PUPILS]).all(axis=(1, 2))
    np.testing.assert_array_equal(hidden, lids == 1)


def test_shorter_clips_play_forth_and_back() -> None:
    assert forth_and_back(3, 7).tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert forth_and_back(1, 3).tolist() == [0, 0, 0]


def test_resizing_plays_forth_and_back() -> None:
    motion = replace(HeadMotion.still(4), rotation=rotation_from_angles(np.arange(12.0).reshape(4, 3) / 30))
    motion = replace(motion, gaze=np.arange(8.0).reshape(4, 2))
    order = [0, 1, 2, 3, 2, 1, 0, 1, 2]
    np.testing.assert_array_equal(motion.resized(9).rotation, motion.rotation[order])
    np.testing.assert_array_equal(motion.resized(2).gaze, motion.gaze[:2])
    assert len(HeadMotion.still(1).resized(7)) == 7


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        HeadMotion(np.zeros((2, 3, 3)), np.zeros((3, 3)), np.zeros((2, 2)), np.zeros(2))
    assert len(HEAD_KPS) == 8
