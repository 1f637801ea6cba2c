"""Weak-perspective head pose: `pixels = scale * rotation @ shape + translation`, for many frames at once.

Shapes: N frames, L landmarks.
"""

from dataclasses import dataclass

import numpy as np

N_POSE = 7  # rotation, scale, translation


@dataclass(frozen=True)
class Pose:
    """Poses of N frames.

    Attributes:
        rotation: (N, 3, 3) from the model's frame to the picture's (x right, y down, z away from the viewer).
        translation: (N, 3) pixels of the model's origin; z is relative.
        scale: (N,) pixels per unit of the model.
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray

    def place(self, shape: np.ndarray) -> np.ndarray:
        """Shapes (N, L, 3) or (L, 3) of the model's frame in pixels (N, L, 3)."""
        turned = np.matmul(shape, np.swapaxes(self.rotation, -1, -2))
        return turned * self.scale[:, None, None] + self.translation[:, None]


def procrustes_pose(landmarks_NLC: np.ndarray, shape_NLC: np.ndarray, weights_L: np.ndarray) -> Pose:
    """Best similarity in 3-D (Umeyama 1991), which trusts the detector's depth: a first guess."""
    weights_L = weights_L / weights_L.sum()
    mean_landmarks, mean_shape = weights_L @ landmarks_NLC, weights_L @ shape_NLC
    landmarks, shape = landmarks_NLC - mean_landmarks[:, None], shape_NLC - mean_shape[:, None]
    u, s, vt = np.linalg.svd(np.swapaxes(landmarks, 1, 2) @ (weights_L[:, None] * shape))
    signs = np.ones_like(s)
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * signs[:, None]) @ vt
    scale = (s * signs).sum(axis=1) / ((shape**2).sum(axis=2) @ weights_L)
    translation = mean_landmarks - scale[:, None] * np.einsum("nab,nb->na", rotation, mean_shape)
    return _float32(rotation, translation, scale)


def pose_jacobian(turned: np.ndarray) -> np.ndarray:
    """How small changes of the pose move points (N, L, 3) that are already turned, in units of the model.

    Returns:
        (N, 7, L, 3): rotation about x, y, z; logarithm of the scale; translation (in units of the model).
    """
    x, y, z = turned[..., 0], turned[..., 1], turned[..., 2]
    jacobian = np.zeros((len(turned), N_POSE, turned.shape[1], 3), np.float32)
    jacobian[:, 0, :, 1], jacobian[:, 0, :, 2] = -z, y
    jacobian[:, 1, :, 0], jacobian[:, 1, :, 2] = z, -x
    jacobian[:, 2, :, 0], jacobian[:, 2, :, 1] = -y, x
    jacobian[:, 3] = turned
    for axis in range(3):
        jacobian[:, 4 + axis, :, axis] = 1
    return jacobian


def moved_pose(pose: Pose, step: np.ndarray) -> Pose:
    """Poses after steps (N, 7) along the columns of `pose_jacobian`, each kept within reason."""
    turn = step[:, :3] * np.minimum(1, 0.5 / np.maximum(np.linalg.norm(step[:, :3], axis=1, keepdims=True), 1e-9))
    return _float32(
        rotation_from_vector(turn) @ pose.rotation,
        pose.translation + pose.scale[:, None] * step[:, 4:7],
        pose.scale * np.exp(np.clip(step[:, 3], -0.3, 0.3)),
    )


def rotation_from_vector(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape[:-1], 3, 3)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3, dtype=vectors.dtype) + first * cross + second * (cross @ cross)


def yaw_pitch_roll(rotation: np.ndarray) -> np.ndarray:
    """Angles (..., 3) in radians of rotations (..., 3, 3) = roll about z @ pitch about x @ yaw about y.

    Yaw is positive when the face turns to the right of the picture, pitch when it looks down, roll clockwise.
    """
    yaw = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    pitch = np.arcsin(np.clip(rotation[..., 2, 1], -1, 1))
    roll = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    return np.stack([-yaw, pitch, roll], axis=-1)


def rotation_from_angles(yaw_pitch_roll: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) of angles (..., 3); the inverse of `yaw_pitch_roll`."""
    yaw, pitch, roll = np.moveaxis(yaw_pitch_roll, -1, 0)
    zero = np.zeros_like(yaw)
    about_y = rotation_from_vector(np.stack([zero, -yaw, zero], axis=-1))
    about_x = rotation_from_vector(np.stack([pitch, zero, zero], axis=-1))
    about_z = rotation_from_vector(np.stack([zero, zero, roll], axis=-1))
    return about_z @ about_x @ about_y


def _float32(rotation: np.ndarray, translation: np.ndarray, scale: np.ndarray) -> Pose:
    return Pose(rotation.astype(np.float32), translation.astype(np.float32), scale.astype(np.float32))
