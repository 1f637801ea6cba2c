"""The shipped face model: ARKit's units do what their names say, left and right mirror each other."""

import numpy as np
import pytest

from svp.face.model import ARKIT_UNITS, FaceModel
from svp.face.topology import (
    EYE_LEFT,
    EYE_RIGHT,
    LID_LEFT,
    LID_RIGHT,
    LIP_LOWER,
    LIP_UPPER,
    LIPS_MIDDLE,
    MOUTH_CORNERS,
    N_SURFACE,
    PUPIL_LEFT,
    PUPIL_RIGHT,
)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel.load()


def moved(model: FaceModel, **weights: float) -> np.ndarray:
    expression = np.zeros(len(model.unit_names))
    for name, weight in weights.items():
        expression[model.unit(name)] = weight
    return model.shape(np.zeros(len(model.identity)), expression)


def test_shapes_and_order(model: FaceModel) -> None:
    assert model.unit_names == ARKIT_UNITS
    assert len(ARKIT_UNITS) == len(set(ARKIT_UNITS)) == 52
    assert model.expression.shape == (52, 478, 3)
    assert model.identity.shape[1:] == (478, 3)
    assert 20 <= len(model.identity) <= 40
    assert model.triangles.max() == N_SURFACE - 1
    assert set(model.triangles.ravel()) == set(range(N_SURFACE))


def test_frame_is_the_pictures(model: FaceModel) -> None:
    right, left = model.neutral[PUPIL_RIGHT], model.neutral[PUPIL_LEFT]
    np.testing.assert_allclose(left - right, (1, 0, 0), atol=1e-3)  # unit length, person's left on the right
    assert model.neutral[152, 1] > model.neutral[10, 1]  # chin under forehead
    assert model.neutral[4, 2] < model.neutral[234, 2]  # nose before ears


def test_neutral_face_is_at_rest(model: FaceModel) -> None:
    upper, lower = model.neutral[list(LIPS_MIDDLE)]
    assert abs(lower[1] - upper[1]) < 0.03
    opening = model.neutral[LID_RIGHT[1], 1] - model.neutral[LID_RIGHT[0], 1]
    assert 0.1 < opening < 0.25


def test_left_and_right_mirror(model: FaceModel) -> None:
    flip = np.array([-1, 1, 1])
    np.testing.assert_array_equal(model.mirror[model.mirror], np.arange(478))
    np.testing.assert_allclose(model.neutral[model.mirror] * flip, model.neutral, atol=1e-3)
    for left, right in (
        ("mouthSmileLeft", "mouthSmileRight"),
        ("eyeLookInLeft", "eyeLookInRight"),
        ("jawLeft", "jawRight"),
    ):
        a, b = model.expression[model.unit(left)], model.expression[model.unit(right)]
        np.testing.assert_allclose(a[model.mirror] * flip, b, atol=2e-3)
    np.testing.assert_allclose(model.identity[:, model.mirror] * flip, model.identity, atol=2e-3)


def test_lips_belong_to_their_own_jaw(model: FaceModel) -> None:
    down = model.expression[model.unit("jawOpen"), :, 1]
    assert down[list(LIP_LOWER)].min() > 0.25
    assert np.abs(down[list(LIP_UPPER)]).max() < 0.25
    assert np.median(np.abs(down[list(LIP_UPPER)])) < 0.1


def test_units_do_what_they_say(model: FaceModel) -> None:
    corner_right, corner_left = MOUTH_CORNERS
    smile = moved(model, mouthSmileLeft=1, mouthSmileRight=1) - model.neutral
    assert smile[corner_right, 0] < 0 < smile[corner_left, 0]  # wider
    assert smile[[corner_right, corner_left], 1].max() < 0  # and up
    blink = moved(model, eyeBlinkLeft=1, eyeBlinkRight=1)
    for lids in (LID_LEFT, LID_RIGHT):
        assert abs(blink[lids[1], 1] - blink[lids[0], 1]) < 0.03
    look = moved(model, eyeLookInRight=1, eyeLookDownLeft=1) - model.neutral
    assert look[PUPIL_RIGHT, 0] > 0.08  # towards the nose
    assert look[PUPIL_LEFT, 1] > 0.08
    brows = moved(model, browInnerUp=1) - model.neutral
    assert brows[[107, 336], 1].max() < -0.02
    closed = moved(model, jawOpen=0.6, mouthClose=0.6)
    assert abs(closed[14, 1] - closed[13, 1]) < 0.08


def test_sides_stay_apart(model: FaceModel) -> None:
    left = np.abs(model.expression[model.unit("eyeBlinkLeft")]).max(axis=1)
    assert left[list(EYE_LEFT)].max() > 0.1
    assert left[list(EYE_RIGHT)].max() < 0.005


def test_identity_is_shape_not_pose(model: FaceModel) -> None:
    """No axis shifts, scales or turns the head; those belong to the pose."""
    np.testing.assert_allclose(model.identity.mean(axis=1), 0, atol=1e-3)
    size = np.einsum("klc,lc->k", model.identity, model.neutral - model.neutral.mean(axis=0))
    np.testing.assert_allclose(size, 0, atol=0.05)


def test_tongue_is_not_seen(model: FaceModel) -> None:
    assert np.abs(model.expression[model.unit("tongueOut")]).max() == 0
