"""What a puppet does in one clip: a track of expression, head pose and gaze, from speech or from a real clip.

Shapes: N frames, E units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from svp.datasets.emotions import EMOTIONS, emotion_track
from svp.datasets.habits import Habits, smooth_noise
from svp.datasets.phones import Phone
from svp.datasets.visemes import closed, expand, speech_track
from svp.face.fit import fit_clip
from svp.face.gaze import pupil_offsets, units_of_offsets
from svp.face.model import FaceModel
from svp.face.motion_library import MotionLibrary
from svp.face.pose import rotation_from_angles, yaw_pitch_roll
from svp.face.topology import PUPIL_LEFT, PUPIL_RIGHT
from svp.speech.loudness import loudness

MAX_TURN = np.radians(20.0)  # a photo has no other side: heads turn no further than this from the portrait
MAX_SHIFT = 0.15  # pupil distances
MAX_UNIT = 1.3
MAX_GAZE = np.array([0.25, 0.1])  # eye widths: further than this the painted eyes look wrong
REAL_HEADS = 0.5  # share of the spoken clips in which head, eyes and brows move as those of real speakers
LEAD_IN = 50  # frames; motion of the library begins at rest, a clip does not


@dataclass(frozen=True)
class Performance:
    """Expression (N,E), rotation (N,3,3), translation (N,3) and gaze (N,2) as Puppet.move takes them."""

    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray

    def __len__(self) -> int:
        return len(self.expression)

    def part(self, start: int, stop: int) -> "Performance":
        """Frames start:stop."""
        span = slice(start, stop)
        return Performance(self.expression[span], self.rotation[span], self.translation[span], self.gaze[span])


def perform_speech(
    phones: Sequence[Phone],
    audio: np.ndarray,
    start: int,
    stop: int,
    emotion: str,
    intensity: int,
    model: FaceModel,
    identity_seed: Sequence[int],
    clip_seed: Sequence[int],
    yaw_range: tuple[float, float],
) -> Performance:
    """Speak frames start:stop of a recording with an emotion.

    Args:
        phones, audio: of the whole recording; audio (samples,) at 16 kHz.
        emotion, intensity: a key of EMOTIONS and 0 to 3.
        identity_seed: decides the person's habits and how the person shows the emotion.
        clip_seed: decides everything else.
        yaw_range: of the puppet.
    """
    n_frames = stop - start
    habits = Habits.draw(np.random.default_rng([*identity_seed, 0]))
    mood_rng = np.random.default_rng([*identity_seed, 1, sorted(EMOTIONS).index(emotion)])
    mood_seed, blink_seed, gaze_seed, head_seed, rest_seed, real_seed = np.random.SeedSequence(list(clip_seed)).spawn(6)
    mood = EMOTIONS[emotion]
    strength = intensity / 3

    amplitude = habits.speaking * (1 + strength * (mood.speaking - 1))
    units = model.unit_names
    spoken, shut = speech_track(phones, audio, stop, units, amplitude)
    expression = spoken[start:] + emotion_track(
        emotion, intensity, n_frames, units, mood_rng, np.random.default_rng(mood_seed)
    )
    rng = np.random.default_rng(rest_seed)
    stirs = ((("browInnerUp", "browOuterUp"), 0.12 * habits.brows), (("browDown",), 0.10 * habits.brows))
    for names, size in (*stirs, (("mouthSmile",), 0.06)):
        stir = np.clip(smooth_noise(n_frames, 1, 0.6, rng), 0, 2.5)
        for name in names:
            expression += size * stir * expand({name: 1.0}, units)
    expression = closed(expression * habits.personal(units), shut[start:], units)
    blink_factor = 1 + strength * (mood.blinking - 1)
    blinks = habits.blinks(n_frames, np.random.default_rng(blink_seed), blink_factor)
    open_share = 1 - blinks[:, None] * expand({"eyeWide": 1.0, "eyeSquint": 1.0}, units)
    expression = expression * open_share
    lids = expand({"eyeBlink": 1.0}, units)
    expression = expression * (1 - lids) + np.maximum(expression * lids, blinks[:, None] * lids)

    heard = loudness(audio, stop)
    bias = (strength * mood.head[0], strength * mood.head[1])
    liveliness = 1 + strength * (mood.liveliness - 1)
    if np.random.default_rng(real_seed).random() < REAL_HEADS:
        rotation, translation, gaze, brows = _real_head(heard, start, clip_seed, bias, liveliness, yaw_range, model)
        expression = expression + habits.brows * brows
    else:
        gaze = habits.gaze(n_frames, np.random.default_rng(gaze_seed))
        rotation, translation = habits.head(
            n_frames, np.random.default_rng(head_seed), heard[start:], bias, liveliness, yaw_range
        )
    expression = np.clip(expression, 0, MAX_UNIT)
    return Performance(_with_gaze(expression, gaze, model), rotation, translation, gaze)


def perform_motion(
    expression: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    model: FaceModel,
    yaw_range: tuple[float, float],
) -> Performance:
    """Repeat the motion of a real clip, or of some of its frames.

    The clip's expression is taken as it is (it holds the style), but for the eyes, which both look where the mean of
    the two looked; head and gaze are kept within what a photo can show.

    Args:
        expression: (N,E) of the clip, in the model's units.
        rotation, translation: (N,3,3) and (N,3), as `measure_head` gives them.
        yaw_range: of the puppet.
    """
    gaze = np.clip(pupil_offsets(expression, model), -MAX_GAZE, MAX_GAZE)
    shown = _with_gaze(np.clip(expression, 0, 1.5), gaze, model)
    return Performance(shown, _limited(rotation, yaw_range), _limited_shift(translation), gaze)


def measure_head(landmarks: np.ndarray, model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Head motion of a real clip, from its landmarks (N,478,3) in pixels.

    Returns:
        Rotation (N,3,3) relative to the clip's mean direction, and translation (N,3) from its median place in pupil
        distances; no depth.
    """
    fit = fit_clip(landmarks, model)
    rotation = np.asarray(fit.rotation, np.float64)
    u, _, vt = np.linalg.svd(rotation.mean(0))
    middle = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    pupils = np.linalg.norm(landmarks[:, PUPIL_RIGHT, :2] - landmarks[:, PUPIL_LEFT, :2], axis=1)
    place = np.zeros((len(landmarks), 3))
    place[:, :2] = np.asarray(fit.translation, np.float64)[:, :2] / np.median(pupils)
    return rotation @ middle.T, place - np.median(place, axis=0)


def _real_head(
    heard: np.ndarray,
    start: int,
    seed: Sequence[int],
    bias: tuple[float, float],
    liveliness: float,
    yaw_range: tuple[float, float],
    model: FaceModel,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rotation, translation, gaze and brows (N,E) of real speakers, chosen by the loudness of the whole recording.

    The arguments are those of `Habits.head`, but for `heard`, of which the frames from `start` on are performed.
    """
    library, led = MotionLibrary.shipped(), np.pad(heard, (LEAD_IN, 0))
    motion, now = library.motion(led, seed), slice(LEAD_IN + start, None)
    angles = liveliness * yaw_pitch_roll(motion.rotation[now].astype(np.float64)) + [0.0, *bias]
    is_brow = np.array([name.startswith("brow") for name in model.unit_names])
    brows = is_brow * library.expression(led, seed)[now]
    return (
        _limited(rotation_from_angles(angles), yaw_range),
        _limited_shift(motion.translation[now].astype(np.float64)),
        np.clip(motion.gaze[now].astype(np.float64), -MAX_GAZE, MAX_GAZE),
        brows,
    )


def _limited_shift(translation: np.ndarray) -> np.ndarray:
    """Translations (N,3) that stay below MAX_SHIFT, without depth, which weak perspective does not show."""
    return MAX_SHIFT * np.tanh(translation * [1.0, 1.0, 0.0] / MAX_SHIFT)


def _limited(rotation: np.ndarray, yaw_range: tuple[float, float]) -> np.ndarray:
    """Rotations (N,3,3) whose angle stays below MAX_TURN and whose yaw stays in the range."""
    vectors = Rotation.from_matrix(rotation).as_rotvec()
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors * MAX_TURN * np.tanh(angle / MAX_TURN) / np.maximum(angle, 1e-9)
    vectors[:, 1] = np.clip(vectors[:, 1], *yaw_range)
    return Rotation.from_rotvec(vectors).as_matrix()


def _with_gaze(expression: np.ndarray, gaze: np.ndarray, model: FaceModel) -> np.ndarray:
    """Set the eyeLook units (N,E) to those of a gaze (N,2)."""
    looks = np.array([name.startswith("eyeLook") for name in model.unit_names])
    return np.where(looks, units_of_offsets(gaze, model), expression).astype(np.float32)
