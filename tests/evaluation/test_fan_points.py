"""Our stand-ins for FAN's 68 points lie where that scheme has its points."""

import numpy as np

from svp.evaluation.fan_points import BROWS, EYES, FACE_68, JAW, LIPS, LIPS_INSIDE, MOUTH_20, NOSE
from svp.face.model import FaceModel
from svp.face.topology import CHIN, EYE_LEFT, EYE_RIGHT, LIPS_INNER, MOUTH_CORNERS, NOSE_TIP

FACE = FaceModel.load().neutral[:, :2]  # x right, y down, in the picture
# Which of the 68 lies on the other side of the face.
OTHER_SIDE = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
              45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
              54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip


def inside(point: np.ndarray, ring: np.ndarray) -> bool:
    """Whether a point lies within a convex ring that runs clockwise in the picture."""
    along, to = np.roll(ring, -1, axis=0) - ring, point - ring
    return bool((along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0] > 0).all())


def test_there_are_68_points_of_which_20_are_the_mouth() -> None:
    assert len(set(FACE_68)) == 68 and FACE_68[48:] == MOUTH_20


def test_both_sides_of_the_face_are_alike() -> None:
    mirror = FaceModel.load().mirror
    assert [int(mirror[point]) for point in FACE_68] == [FACE_68[k] for k in OTHER_SIDE]


def test_points_run_as_in_the_scheme() -> None:
    for name, points in {"jaw": JAW, "brows": BROWS, "wings of the nose": NOSE[4:]}.items():
        assert (np.diff(FACE[list(points), 0]) > 0).all(), f"{name}: not from left to right in the picture"
    assert (np.diff(FACE[list(NOSE[:4]), 1]) > 0).all(), "bridge of the nose: not downwards"
    assert JAW[8] == CHIN and NOSE[3] == NOSE_TIP
    assert FACE[list(JAW), 1].argmax() == 8 and (FACE[list(NOSE[4:]), 1] > FACE[NOSE_TIP, 1]).all()
    assert (LIPS[0], LIPS[6]) == MOUTH_CORNERS and set(LIPS_INSIDE) <= set(LIPS_INNER)
    assert set(EYES[:6]) <= set(EYE_RIGHT) and set(EYES[6:]) <= set(EYE_LEFT)
    for ring in (EYES[:6], EYES[6:], LIPS, LIPS_INSIDE):
        x, y = FACE[list(ring)].T
        assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0, "not clockwise in the picture"


def test_brows_lie_over_the_eyes_and_the_inner_lips_within_the_outer() -> None:
    assert FACE[list(BROWS), 1].max() < FACE[list(EYES), 1].min()
    corners = {LIPS_INSIDE[0], LIPS_INSIDE[4]}
    assert all(inside(FACE[p], FACE[list(LIPS)][[0, 2, 4, 6, 8, 9, 10]]) for p in set(LIPS_INSIDE) - corners)
