"""The fit recovers what is known, and says sensible things about real people."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from svp.face.fit import fit_clip, part_identity
from svp.face.landmarks import require_landmarks, require_track, track_landmarks
from svp.face.model import FaceModel
from svp.face.pose import Pose, rotation_from_angles, yaw_pitch_roll
from svp.media.image import read_image
from svp.media.video import read_frames

MODEL = FaceModel.load()
JAW = MODEL.unit("jawOpen")
SMILE = [MODEL.unit("mouthSmileLeft"), MODEL.unit("mouthSmileRight")]
BLINK = [MODEL.unit("eyeBlinkLeft"), MODEL.unit("eyeBlinkRight")]
NOISE = 0.004  # of a landmark, in distances between the eyes: about what a detector trembles on a sharp picture

WITH_SOUND = [
    "hdtf_vexpress/AOC_gt.mp4",
    "hdtf_sadtalker/WDA_EdMarkey0_000.mp4",
    "hdtf_sadtalker/RD_Radio34_000.mp4",
    "dfrf/cnn2_25fps.mp4",
    "mead_hyperlips/M003-002.mp4",
    "styletalk_talking/Obama_clip2.mp4",
    "styletalk_talking/andrew_clip_1.mp4",
    "lrs2_deepavsr/00001.mp4",
    "lrs3_spectre/PbgB2TaYhio_00007.mp4",
]


def partners() -> list[list[int]]:
    """Units that move together, left with right; eyeLook and tongueOut are not fitted."""
    groups = []
    for i, name in enumerate(MODEL.unit_names):
        if name.startswith("eyeLook") or name == "tongueOut" or name.endswith("Right"):
            continue
        both = name.endswith("Left")
        groups.append([i, MODEL.unit(name.removesuffix("Left") + "Right")] if both else [i])
    return groups


def random_performance(rng: np.random.Generator, groups: list[list[int]], n_frames: int) -> np.ndarray:
    """Expressions (N, E) in which the given units act at random, both sides of the face nearly alike."""
    expression = np.zeros((n_frames, 52))
    for group in groups:
        strength = rng.uniform(0, 1, n_frames)
        name = MODEL.unit_names[group[0]]
        if name in ("jawLeft", "mouthLeft"):  # opposite directions: one at a time
            expression[:, group[0]] = np.clip(2 * strength - 1, 0, 1)
            expression[:, group[1]] = np.clip(1 - 2 * strength, 0, 1)
        else:
            for unit in group:
                expression[:, unit] = np.clip(strength + rng.normal(0, 0.05, n_frames), 0, 1)
    if expression[:, MODEL.unit("mouthClose")].any():  # lips cannot close further than the jaw has opened
        expression[:, JAW] = np.maximum(expression[:, JAW], rng.uniform(0, 1, n_frames))
        expression[:, MODEL.unit("mouthClose")] *= expression[:, JAW]
    return expression


def perform(rng: np.random.Generator, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray, Pose]:
    """Landmarks of a random person in random poses, as a detector would see them; and the truth."""
    n = len(expression)
    identity = rng.normal(0, 0.7, len(MODEL.identity))
    rotation = rotation_from_angles(rng.normal(0, (0.15, 0.1, 0.08), (n, 3)))
    scale = rng.uniform(50, 150) * np.exp(rng.normal(0, 0.03, n))
    pose = Pose(rotation, rng.normal(200, 20, (n, 3)), scale)
    landmarks = pose.place(MODEL.shape(identity, expression))
    landmarks[..., :2] += rng.normal(0, NOISE, (n, 478, 2)) * scale[:, None, None]
    landmarks[..., 2] += rng.normal(0, 0.08, (n, 478)) * scale[:, None]  # the detector's depth is a guess
    return landmarks.astype(np.float32), identity, pose


def test_recovers_known_expressions() -> None:
    """Rank correlation >= 0.9 for each of the 20 units that move a frontal picture most."""
    rng, groups = np.random.default_rng(0), partners()
    truth: dict[int, list[float]] = {}
    quiet = []
    for _ in range(3):
        order = rng.permutation(len(groups))
        for acting in np.array_split(order, 3):  # three people share out all units
            expression = random_performance(rng, [groups[i] for i in acting], 50)
            landmarks, _, _ = perform(rng, expression)
            found = fit_clip(landmarks, MODEL).expression
            for unit in np.flatnonzero(expression.any(axis=0)):
                truth.setdefault(int(unit), []).append(spearmanr(expression[:, unit], found[:, unit]).statistic)
            quiet.append(found[:, ~expression.any(axis=0)].mean())
    fitted = [unit for group in groups for unit in group]
    strength = np.linalg.norm(MODEL.expression[:, :, :2].reshape(52, -1), axis=1)
    strongest = sorted(fitted, key=lambda unit: -strength[unit])[:20]
    correlations = {MODEL.unit_names[unit]: round(float(np.mean(truth[unit])), 3) for unit in strongest}
    assert min(correlations.values()) >= 0.9, correlations
    assert np.mean(quiet) < 0.06


def test_recovers_pose_identity_and_picture() -> None:
    rng = np.random.default_rng(1)
    expression = random_performance(rng, [[unit] for unit in (JAW, *SMILE)], 40)
    landmarks, identity, pose = perform(rng, expression)
    fit = fit_clip(landmarks, MODEL)
    angles = np.degrees(np.abs(yaw_pitch_roll(fit.rotation) - yaw_pitch_roll(pose.rotation)))
    assert np.median(angles) < 1.5
    assert np.abs(np.log(fit.scale / pose.scale)).max() < 0.1
    zero = np.zeros(52)
    face, neutral = MODEL.shape(fit.identity, zero), MODEL.neutral
    true_face = MODEL.shape(identity, zero)
    assert np.abs(face - true_face)[:, :2].mean() < 0.4 * np.abs(neutral - true_face)[:, :2].mean()
    error = np.linalg.norm((fit.project(MODEL) - landmarks)[:, :468, :2], axis=-1) / pose.scale[:, None]
    assert np.median(error) < 2 * NOISE


def test_the_identity_of_a_part_is_that_of_its_frames_alone() -> None:
    rng = np.random.default_rng(4)
    expression = random_performance(rng, [[unit] for unit in (JAW, *SMILE)], 25)
    first, second = (perform(rng, expression)[0] for _ in range(2))  # two persons in one clip
    both = np.concatenate([first, second])
    fit, flat = fit_clip(both, MODEL), np.zeros(52)
    for part, alone in ((slice(25), first), (slice(25, 50), second)):
        face = MODEL.shape(part_identity(both, fit, part, MODEL), flat)
        expected = MODEL.shape(fit_clip(alone, MODEL).identity, flat)
        whole = MODEL.shape(fit.identity, flat)
        assert np.abs(face - expected).mean() < 0.15 * np.abs(whole - expected).mean()


def test_what_a_face_always_does_is_kept() -> None:
    """A constant smile is style: it must not vanish into identity or a clip mean."""
    rng = np.random.default_rng(2)
    expression = np.zeros((30, 52))
    expression[:, SMILE] = 0.6
    expression[:, JAW] = 0.3 * rng.uniform(0, 1, 30)
    landmarks, _, _ = perform(rng, expression)
    assert fit_clip(landmarks, MODEL).expression[:, SMILE].mean() > 0.3


def test_gaze_comes_from_the_irises() -> None:
    rng = np.random.default_rng(3)
    expression = np.zeros((40, 52))
    right = np.linspace(-0.9, 0.9, 40)
    for name, weight in (("InRight", right), ("OutLeft", right), ("OutRight", -right), ("InLeft", -right)):
        expression[:, MODEL.unit(f"eyeLook{name}")] = np.clip(weight, 0, 1)
    landmarks, _, _ = perform(rng, expression)
    found = fit_clip(landmarks, MODEL).expression
    for name in ("InRight", "OutLeft", "OutRight", "InLeft"):
        unit = MODEL.unit(f"eyeLook{name}")
        assert np.abs(found[:, unit] - expression[:, unit]).mean() < 0.12


def test_bounds_one_frame_and_chunks() -> None:
    rng = np.random.default_rng(4)
    landmarks, _, _ = perform(rng, random_performance(rng, partners(), 300))
    fit = fit_clip(landmarks, MODEL)
    assert fit.expression.shape == (300, 52)
    assert fit.expression.dtype == np.float32
    assert fit.expression.min() >= 0
    assert fit.expression.max() <= 1.5
    assert (fit.expression[:, MODEL.unit("mouthClose")] <= fit.expression[:, JAW] + 1e-5).all()
    assert np.isfinite(fit.project(MODEL)).all()
    assert fit_clip(landmarks[:1], MODEL).expression.shape == (1, 52)


def test_the_picture_s_scale_and_place_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    landmarks, _, _ = perform(rng, random_performance(rng, partners()[:6], 20))
    there = landmarks * 3 + np.array([500, -200, 0], np.float32)
    np.testing.assert_allclose(fit_clip(there, MODEL).expression, fit_clip(landmarks, MODEL).expression, atol=0.02)


def test_gaps_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="gaps"):
        fit_clip(np.full((2, 478, 3), np.nan), MODEL)
    with pytest.raises(ValueError, match="at least one frame"):
        fit_clip(np.zeros((0, 478, 3)), MODEL)


def a_track(path: Path, seconds: float) -> np.ndarray:
    return require_track(track_landmarks(read_frames(path, seconds=seconds)), path)


def lip_gap(track: np.ndarray) -> np.ndarray:
    upper, lower = track[:, [82, 13, 312], :2].mean(axis=1), track[:, [87, 14, 317], :2].mean(axis=1)
    return np.linalg.norm(upper - lower, axis=1) / np.linalg.norm(track[:, 468, :2] - track[:, 473, :2], axis=1)


def test_jaw_follows_the_lips_of_real_speakers(shared: Path) -> None:
    correlations = {}
    for name in WITH_SOUND:
        track = a_track(shared / "data/clips" / name, 2.4)
        jaw = fit_clip(track, MODEL).expression[:, JAW]
        correlations[name] = round(float(np.corrcoef(jaw, lip_gap(track))[0, 1]), 2)
    assert np.median(list(correlations.values())) >= 0.8, correlations


@pytest.mark.parametrize("person", ["M030", "W009"])
def test_happy_people_smile_more(shared: Path, person: str) -> None:
    clips = shared / "data/clips/mead_dreamtalk"
    smile = {}
    for emotion in ("happy_level3", "neutral_level1"):
        track = a_track(clips / f"{person}_front_{emotion}_001.mp4", 2)
        smile[emotion] = fit_clip(track, MODEL).expression[:, SMILE].mean()
    assert smile["happy_level3"] > 2 * smile["neutral_level1"]


def test_smiling_portraits_smile(shared: Path) -> None:
    """Official portraits mostly smile with open lips; a closed, serious mouth is told apart from them."""
    files = sorted((shared / "data/portraits_official").glob("wiki_*.jpg"))[::8]
    smiles, gaps = [], []
    for file in files:
        landmarks = require_landmarks(read_image(file), file)[None]
        smiles.append(fit_clip(landmarks, MODEL).expression[0, SMILE].mean())
        gaps.append(lip_gap(landmarks)[0])
    smiling, serious = np.array(gaps) > 0.1, np.array(gaps) < 0.03
    assert smiling.sum() >= 3
    assert np.median(np.array(smiles)[smiling]) > 0.25
    if serious.any():
        assert np.median(np.array(smiles)[serious]) < np.median(np.array(smiles)[smiling])


def test_blinks_are_seen(shared: Path) -> None:
    track = a_track(shared / "data/clips/hdtf_vexpress/AOC_gt.mp4", 5)
    blink = fit_clip(track, MODEL).expression[:, BLINK].mean(axis=1)
    opening = np.linalg.norm(track[:, [159, 386], :2] - track[:, [145, 374], :2], axis=-1).mean(axis=1)
    opening /= np.linalg.norm(track[:, [33, 263], :2] - track[:, [133, 362], :2], axis=-1).mean(axis=1)
    assert np.corrcoef(blink, opening)[0, 1] < -0.8
    assert blink[opening.argmin()] > 0.4
    assert np.median(blink) < 0.2
