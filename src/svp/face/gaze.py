"""Where the eyes look, measured from the irises: the eyeLook units of the expression.

An iris sits on its eyeball; how far its centre lies from the eyeball's, seen in the picture, gives the angle.
"""

from typing import Final

import numpy as np

from svp.face.model import FaceModel
from svp.face.pose import Pose
from svp.face.topology import (
    EYE_CORNERS_LEFT,
    EYE_CORNERS_RIGHT,
    LID_LEFT,
    LID_RIGHT,
    PUPIL_LEFT,
    PUPIL_RIGHT,
)

# Angle of the eyeball at weight 1. `scripts/make_face_model.py` turns the irises of the model by the same angles.
LOOK_DEGREES: Final = {"In": 30.0, "Out": 30.0, "Down": 25.0, "Up": 20.0}
MAX_LOOK = 1.2
MAX_SINE = 0.9
# Opening of the lids, in widths of the eye, below which (fully: at which) the iris is hidden and the gaze is not known.
APERTURE_SEEN, APERTURE_HIDDEN = 0.16, 0.08

_EYES = (
    ("Right", EYE_CORNERS_RIGHT, PUPIL_RIGHT, LID_RIGHT, 1.0),
    ("Left", EYE_CORNERS_LEFT, PUPIL_LEFT, LID_LEFT, -1.0),
)


def lid_opening(landmarks: np.ndarray) -> np.ndarray:
    """How far right and left eye are open (N, 2), in widths of the eye, from landmarks (N, 478, 2 or 3) in pixels."""
    openings = []
    for _, corners, _, lids, _ in _EYES:
        width, height = (
            np.linalg.norm(landmarks[:, first, :2] - landmarks[:, second, :2], axis=-1)
            for first, second in (corners, lids)
        )
        openings.append(height / np.maximum(width, 1e-6))
    return np.stack(openings, axis=1)


def gaze_degrees(landmarks: np.ndarray, shape: np.ndarray, pose: Pose, model: FaceModel) -> np.ndarray:
    """Direction of both eyes relative to the head.

    Args:
        landmarks: (N, 478, 3) pixels.
        shape: (N, L, 3) fitted faces, in the model's frame; only the eye corners are used.
        pose: of the N frames.
        model: the face model.

    Returns:
        (N, 2, 2): right and left eye; degrees to the right of the picture and down. While the lids hide the iris it is
        interpolated from the frames around; zero for eyes that are never open.
    """
    result = np.zeros((len(landmarks), 2, 2), np.float32)
    opening = lid_opening(landmarks)
    for eye, (_, corners, pupil, _, _) in enumerate(_EYES):
        seen = np.clip((opening[:, eye] - APERTURE_HIDDEN) / (APERTURE_SEEN - APERTURE_HIDDEN), 0, 1)
        # The eyeball is found from the corners of the eye, which hardly move, not from the lids.
        to_center = model.eye_centers[eye] - model.neutral[list(corners)].mean(axis=0)
        center = landmarks[:, list(corners), :2].mean(axis=1)
        center = center + pose.scale[:, None] * (pose.rotation @ to_center)[:, :2]
        off_axis = (landmarks[:, pupil, :2] - center) / (pose.scale[:, None] * model.eye_radius)
        length = np.linalg.norm(off_axis, axis=-1, keepdims=True)
        off_axis = off_axis * np.minimum(1, MAX_SINE / np.maximum(length, 1e-6))
        towards_viewer = -np.sqrt(1 - (off_axis**2).sum(axis=-1, keepdims=True))
        direction = np.concatenate([off_axis, towards_viewer], axis=-1)
        direction = np.einsum("nba,nb->na", pose.rotation, direction)  # into the head's frame
        right = np.degrees(np.arctan2(direction[:, 0], -direction[:, 2]))
        down = np.degrees(np.arcsin(np.clip(direction[:, 1], -1, 1)))
        for axis, angle in enumerate((right, down)):
            result[:, eye, axis] = seen * angle + (1 - seen) * _held(angle, seen >= 1)
    return result


def _held(angle: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Angles (N,) with the unknown ones interpolated from the known ones."""
    frames = np.arange(len(angle))
    return np.interp(frames, frames[known], angle[known]) if known.any() else np.zeros_like(angle)


def look_units(degrees: np.ndarray, model: FaceModel) -> np.ndarray:
    """Expressions (N, E) that hold only the eyeLook units of gaze directions (N, 2, 2)."""
    expression = np.zeros((len(degrees), len(model.unit_names)), np.float32)
    for eye, (side, _, _, _, inward) in enumerate(_EYES):
        right, down = degrees[:, eye, 0], degrees[:, eye, 1]
        for name, angle in (("In", inward * right), ("Out", -inward * right), ("Down", down), ("Up", -down)):
            weight = np.clip(angle / LOOK_DEGREES[name], 0, MAX_LOOK)
            expression[:, model.unit(f"eyeLook{name}{side}")] = weight
    return expression


def eye_width(model: FaceModel) -> float:
    """Mean distance between the corners of an eye, in the model's unit."""
    right, left = model.neutral[list(EYE_CORNERS_RIGHT)], model.neutral[list(EYE_CORNERS_LEFT)]
    return float(np.linalg.norm(right[0] - right[1]) + np.linalg.norm(left[0] - left[1])) / 2


def pupil_offsets(expression: np.ndarray, model: FaceModel) -> np.ndarray:
    """Offsets of the pupils (N, 2) in eye widths, right and down, mean of both eyes, from the eyeLook units (N, E)."""

    def angle(name: str, side: str) -> np.ndarray:
        return np.radians(LOOK_DEGREES[name]) * expression[:, model.unit(f"eyeLook{name}{side}")].astype(np.float64)

    right_eye = angle("In", "Right") - angle("Out", "Right"), angle("Down", "Right") - angle("Up", "Right")
    left_eye = angle("Out", "Left") - angle("In", "Left"), angle("Down", "Left") - angle("Up", "Left")
    return offsets_of_angles((np.stack(right_eye, axis=1) + np.stack(left_eye, axis=1)) / 2, model)


def offsets_of_angles(angles: np.ndarray, model: FaceModel) -> np.ndarray:
    """Offsets of the pupils (..., 2) in eye widths of eyes turned by angles (..., 2) in radians, right and down."""
    return np.asarray(np.sin(angles) * model.eye_radius / eye_width(model))


def units_of_offsets(offsets: np.ndarray, model: FaceModel) -> np.ndarray:
    """The inverse of `pupil_offsets`: expressions (N, E) that hold only eyeLook units, equal for both eyes."""
    sine = np.asarray(offsets, np.float64) * eye_width(model) / model.eye_radius
    degrees = np.degrees(np.arcsin(np.clip(sine, -MAX_SINE, MAX_SINE)))
    return look_units(np.stack([degrees, degrees], axis=1), model)
