"""Rotations, angles and the weak-perspective pose."""

import numpy as np

from svp.face.model import FaceModel
from svp.face.pose import Pose, procrustes_pose, rotation_from_angles, rotation_from_vector, yaw_pitch_roll


def test_angles_round_trip() -> None:
    angles = np.random.default_rng(0).uniform(-0.9, 0.9, (100, 3))
    rotation = rotation_from_angles(angles)
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, 1, 2), np.tile(np.eye(3), (100, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(yaw_pitch_roll(rotation), angles, atol=1e-12)


def test_angles_have_the_promised_signs() -> None:
    nose = np.array([0.0, 0.0, -1.0])
    assert (rotation_from_angles(np.array([0.3, 0, 0])) @ nose)[0] > 0.2  # yaw: to the right of the picture
    assert (rotation_from_angles(np.array([0, 0.3, 0])) @ nose)[1] > 0.2  # pitch: down
    assert (rotation_from_angles(np.array([0, 0, 0.3])) @ np.array([1.0, 0, 0]))[1] > 0.2  # roll: clockwise


def test_small_rotations_are_exact() -> None:
    np.testing.assert_allclose(rotation_from_vector(np.zeros((2, 3))), np.tile(np.eye(3), (2, 1, 1)))
    vector = np.array([[1e-4, -2e-4, 3e-4]])
    cross = rotation_from_vector(vector)[0] - np.eye(3)
    np.testing.assert_allclose([cross[2, 1], cross[0, 2], cross[1, 0]], vector[0], rtol=1e-3)


def test_procrustes_finds_a_known_pose() -> None:
    model, rng = FaceModel.load(), np.random.default_rng(1)
    rotation = rotation_from_angles(rng.normal(0, 0.3, (20, 3)))
    pose = Pose(rotation, rng.normal(200, 50, (20, 3)), rng.uniform(30, 200, 20))
    shape = np.tile(model.neutral, (20, 1, 1))
    found = procrustes_pose(pose.place(shape), shape, np.full(478, 1 / 478))
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-4)
    np.testing.assert_allclose(found.scale, pose.scale, rtol=1e-4)
    np.testing.assert_allclose(found.translation, pose.translation, atol=0.02)
