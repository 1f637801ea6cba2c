"""Gaze, head and mouth of a performance mean the same here as where faces are measured."""

from dataclasses import replace

import numpy as np

from svp.datasets.habits import Habits
from svp.datasets.performance import MAX_GAZE, perform_motion
from svp.face.gaze import pupil_offsets, units_of_offsets
from svp.face.model import FaceModel
from svp.face.motion import NECK
from svp.face.mouth import lip_gap


def test_gaze_becomes_units_and_comes_back() -> None:
    model = FaceModel.load()
    gaze = Habits.draw(np.random.default_rng(1)).gaze(200, np.random.default_rng(2))
    assert np.abs(gaze).max() > 0.05
    units = units_of_offsets(gaze, model)
    assert units.min() >= 0 and units.max() <= 1.2
    np.testing.assert_allclose(pupil_offsets(units, model), gaze, atol=1e-6)
    away = units_of_offsets(np.array([[0.1, 0.0]]), model)[0]  # to the right of the picture: the person's left
    assert {model.unit_names[k] for k in np.flatnonzero(away)} == {"eyeLookInRight", "eyeLookOutLeft"}
    # The model's own irises move by that much.
    moved = model.shape(np.zeros(len(model.identity)), away)[468, 0] - model.neutral[468, 0]
    assert abs(moved / np.linalg.norm(model.neutral[33] - model.neutral[133]) - 0.1) < 0.02


def test_a_repeated_clip_says_where_its_eyes_are_painted() -> None:
    """Real eyes diverge and look further than painted ones can: what is saved is what is shown."""
    model, rng = FaceModel.load(), np.random.default_rng(0)
    clip = rng.uniform(0, 1.2, (20, len(model.unit_names)))
    still = np.tile(np.eye(3), (20, 1, 1)), np.zeros((20, 3))
    shown = perform_motion(clip, *still, model, (-0.3, 0.3))
    assert (np.abs(pupil_offsets(clip, model)) > MAX_GAZE).any()
    np.testing.assert_allclose(pupil_offsets(shown.expression, model), shown.gaze, atol=1e-6)
    looks = np.array([name.startswith("eyeLook") for name in model.unit_names])
    np.testing.assert_array_equal(shown.expression[:, looks], units_of_offsets(shown.gaze, model)[:, looks])
    np.testing.assert_array_equal(shown.expression[:, ~looks], clip[:, ~looks].astype(np.float32))


def test_the_head_turns_about_the_neck() -> None:
    still = replace(Habits.draw(np.random.default_rng(3)), shift=np.zeros(3))
    rotation, translation = still.head(100, np.random.default_rng(4), np.zeros(100))
    assert np.abs(rotation - np.eye(3)).max() > 0.05
    np.testing.assert_allclose(rotation @ np.array(NECK) + translation, np.tile(NECK, (100, 1)), atol=1e-12)


def test_lip_gap_ignores_the_size_of_the_face_and_knows_where_there_is_none() -> None:
    model = FaceModel.load()
    jaw = np.zeros(len(model.unit_names))
    jaw[model.unit("jawOpen")] = 1
    faces = [model.shape(np.zeros(len(model.identity)), share * jaw) for share in (0.0, 0.5, 1.0)]
    gap = lip_gap(np.stack([*faces, 3 * faces[2], np.full((478, 3), np.nan)]))
    assert gap[0] < 0.5 * gap[1] < 0.5 * gap[2] and abs(gap[3] - gap[2]) < 1e-6 and np.isnan(gap[4])
