"""Deep3DFaceRecon's picture: the five points come to lie where its standard face has them, whatever the picture."""

import cv2
import numpy as np
import pytest

from svp.face.deep3d_alignment import SCALE, SIZE, STANDARD_POINTS, aligned, five_points
from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, MOUTH_CORNERS, N_LANDMARKS, NOSE_TIP

WANTED = np.array([1, -1]) * SCALE * STANDARD_POINTS[:, :2] + SIZE / 2


def face(scale: float, place: tuple[float, float]) -> np.ndarray:
    """Landmarks (478, 3) of the standard face seen from the front: pixels per unit, and where its origin lies."""
    points = np.array([1, -1]) * scale * STANDARD_POINTS[:, :2] + place
    landmarks = np.zeros((N_LANDMARKS, 3), np.float32)
    for corners, eye in ((EYE_CORNERS_RIGHT, points[0]), (EYE_CORNERS_LEFT, points[1])):
        landmarks[list(corners), :2] = eye + np.array([[-0.1, 0.02], [0.1, -0.02]]) * scale
    landmarks[NOSE_TIP, :2] = points[2]
    landmarks[list(MOUTH_CORNERS), :2] = points[3:]
    return landmarks


@pytest.mark.parametrize(("scale", "place"), [(60.0, (130.0, 120.0)), (204.0, (400.0, 330.0)), (150.0, (40.0, 200.0))])
def test_the_five_points_come_to_their_standard_places(scale: float, place: tuple[float, float]) -> None:
    landmarks = face(scale, place)
    image = np.zeros((600, 700, 3), np.uint8)
    for x, y in five_points(landmarks):
        cv2.circle(
            image,
            (round(16 * (x - 0.5)), round(16 * (y - 0.5))),
            round(16 * 0.06 * scale),
            (255, 255, 255),
            -1,
            shift=4,
        )
    seen = aligned(image, landmarks)
    assert seen.shape == (SIZE, SIZE, 3)
    off = 2 + SCALE / scale / 2  # the published steps cut to whole pixels and take a pixel's corner for its centre
    for x, y in WANTED:
        if place[0] + (x - SIZE / 2) / SCALE * scale > 0.1 * scale:  # the others lie outside the picture
            rows, columns = np.nonzero(seen[round(y) - 9 : round(y) + 9, round(x) - 9 : round(x) + 9, 0] > 127)
            assert abs(rows.mean() - 8.5) < off and abs(columns.mean() - 8.5) < off


def test_what_lies_outside_is_black() -> None:
    seen = aligned(np.full((300, 300, 3), 200, np.uint8), face(100.0, (20.0, 150.0)))
    assert (seen[:, :80] == 0).all() and (seen[100:120, 110:] == 200).all()
