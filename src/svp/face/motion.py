"""Head motion: a track of head poses, gaze and blinks, free of anybody's face shape, and how a portrait performs it.

Poses are relative to the clip's most frontal frame: a motion that stays there leaves the portrait's own points where
they are. Distances are in units of the distance between the person's own pupils. Shapes: N frames at 25 fps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from svp.face.fit import FaceFit
from svp.face.gaze import eye_width, offsets_of_angles, pupil_offsets
from svp.face.head_kps import HEAD_KPS
from svp.face.model import FaceModel
from svp.face.pose import rotation_from_angles, yaw_pitch_roll
from svp.face.topology import PUPIL_LEFT, PUPIL_RIGHT

VIEW_DISTANCE: Final = 10.0  # of the viewer, in pupil distances (about 63 cm); turns size into depth
MAX_GAZE: Final = (0.3, 0.15)  # how far a pupil may leave its place, in eye widths: right and down
NEAR_FRONTAL: Final = 10.0  # degrees from the most frontal frame within which the resting gaze is measured
JITTER_SIGMA: Final = 1.0  # frames; a detector trembles, a head does not

NECK: Final = (0.0, 1.5, 1.4)  # pivot of the head, from the point between the eyes, in distances between the eyes
BLINK_COURSE: Final = (0.4, 1.0, 1.0, 0.7, 0.35, 0.1)  # how far the lids are closed, frame by frame
CLOSED: Final = 0.45  # from here on the lids hide the pupil: fitted blinks of real clips reach 0.35 to 0.8
BLINK_PLACES: Final = (0.15, 0.85)  # where in its share of a minute a blink may lie, so that no two run together


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A track of head poses.

    Attributes:
        rotation: (N, 3, 3) in the picture's frame (x right, y down, z away), identity at the most frontal frame.
        translation: (N, 3) of the point between the eyes, in pupil distances, zero at the most frontal frame.
        gaze: (N, 2) offset of the pupils in eye widths, right and down along the head, zero at the resting gaze.
        blink: (N,) how far the lids are closed beyond their usual opening, 0 to 1.
    """

    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    blink: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.rotation)
        shapes = (self.rotation.shape, self.translation.shape, self.gaze.shape, self.blink.shape)
        if n == 0 or shapes != ((n, 3, 3), (n, 3), (n, 2), (n,)):
            raise ValueError(f"expected (N, 3, 3), (N, 3), (N, 2) and (N,) of at least one frame, got {shapes}")

    def __len__(self) -> int:
        return len(self.rotation)

    @classmethod
    def from_fit(cls, fit: FaceFit, model: FaceModel | None = None) -> Self:
        """The motion of a fitted clip. Its face shape and expression are left behind."""
        model = model or FaceModel.load()
        angles = _smooth(np.unwrap(yaw_pitch_roll(fit.rotation.astype(np.float64)), axis=0))
        # A camera above or below the eyes tilts all frames alike: pitch is judged against the clip's usual one.
        off_front = np.linalg.norm(angles - [0, np.median(angles[:, 1]), 0], axis=1)
        frontal = int(off_front.argmin())
        rotation = rotation_from_angles(angles)
        scale = np.exp(_smooth(np.log(fit.scale.astype(np.float64))))
        place = _smooth(fit.translation.astype(np.float64))
        translation = (place - place[frontal]) / (scale[frontal] * _pupil_distance(fit, model))
        translation[:, 2] = VIEW_DISTANCE * (scale[frontal] / scale - 1)
        gaze = pupil_offsets(fit.expression, model)
        near = off_front <= off_front[frontal] + np.radians(NEAR_FRONTAL)
        gaze = gaze - np.median(gaze[near], axis=0)
        lids = fit.expression[:, [model.unit("eyeBlinkRight"), model.unit("eyeBlinkLeft")]].mean(axis=1)
        usual = min(float(np.median(lids)), 1 - CLOSED)  # narrow eyes are no blink
        blink = np.clip((lids - usual) / (1 - usual), 0, 1)
        return cls(*_float32(rotation @ rotation[frontal].T, translation, gaze, blink))

    @classmethod
    def still(cls, n_frames: int) -> Self:
        """No motion at all."""
        shapes = ((n_frames, 3), (n_frames, 2), (n_frames,))
        return cls(*_float32(np.tile(np.eye(3), (n_frames, 1, 1)), *map(np.zeros, shapes)))

    def resized(self, n_frames: int) -> Self:
        """The same motion for another number of frames: longer ones are cut, shorter ones play forth and back."""
        frames = forth_and_back(len(self), n_frames)
        return type(self)(self.rotation[frames], self.translation[frames], self.gaze[frames], self.blink[frames])

    def amplified(self, amplitude: float) -> Self:
        """The head goes `amplitude` times as far from its rest: 0 keeps it there, 1 changes no bit."""
        if amplitude == 1.0:
            return self
        rotation = Rotation.from_rotvec(amplitude * Rotation.from_matrix(self.rotation).as_rotvec()).as_matrix()
        return replace(self, rotation=rotation.astype(np.float32), translation=np.float32(amplitude) * self.translation)

    def blinking(self, rate: float, fps: float, rng: np.random.Generator) -> Self:
        """Other blinks in place of its own: `rate` per minute, one somewhere in each of as many equal parts of it.

        Their places are drawn from `rng`. A longer motion begins with the blinks of a shorter one. 0 is no blink.
        """
        blink = np.zeros(len(self) + len(BLINK_COURSE), np.float32)
        if rate > 0:
            share = 60 * fps / rate
            parts = np.arange(int(np.ceil(len(self) / share)))
            starts = (parts + rng.uniform(*BLINK_PLACES, len(parts))) * share
            for start in starts[starts < len(self)].astype(int):
                blink[start : start + len(BLINK_COURSE)] = BLINK_COURSE
        return replace(self, blink=blink[: len(self)])

    def looking(self, right: float, up: float, model: FaceModel | None = None) -> Self:
        """The eyes turned by so many degrees more, to the right of the picture and up along the head."""
        if right == up == 0:
            return self
        turn = offsets_of_angles(np.radians([right, -up]), model or FaceModel.load())
        return replace(self, gaze=self.gaze + turn.astype(np.float32))


def forth_and_back(length: int, n_frames: int) -> np.ndarray:
    """Which of `length` frames each of n_frames shows: 0 1 2 1 0 1 …"""
    period = max(1, 2 * (length - 1))
    position = np.arange(n_frames) % period
    return np.minimum(position, period - position)


def apply_to_portrait(
    landmarks: np.ndarray, fit: FaceFit, motion: HeadMotion, model: FaceModel | None = None
) -> np.ndarray:
    """The portrait's own eight Head-Kps, performing a motion.

    The points are lifted to 3-D by the depth of the face model fitted to the portrait, so the motion never changes the
    face's shape. Where the motion rests they are exactly the detected points.

    Args:
        landmarks: (478, 3) of the portrait, pixels.
        fit: of these landmarks, one frame.
        motion: N frames.
        model: the shipped model by default.

    Returns:
        (N, 8, 2) pixels of the same picture; the pupils are NaN while a blink hides them.
    """
    model = model or FaceModel.load()
    points = list(HEAD_KPS)
    scale, nearness = _scale(fit, model), _nearness(motion)
    moved = _rigid(landmarks, fit, motion, points, model)
    gaze = np.clip(motion.gaze, -np.array(MAX_GAZE), MAX_GAZE) * (scale * eye_width(model))
    along_head = np.einsum("nab,nb->na", motion.rotation @ fit.rotation[0], np.pad(gaze, ((0, 0), (0, 1))))
    for pupil in (PUPIL_RIGHT, PUPIL_LEFT):
        moved[:, points.index(pupil)] += along_head * nearness[:, None]
        moved[motion.blink >= CLOSED, points.index(pupil)] = np.nan
    return (landmarks[points, :2].astype(np.float64) + moved[..., :2]).astype(np.float32)


def move_landmarks(
    landmarks: np.ndarray, fit: FaceFit, motion: HeadMotion, points: Sequence[int], model: FaceModel | None = None
) -> np.ndarray:
    """Other landmarks of a portrait under a motion of its head alone; arguments as in `apply_to_portrait`.

    Args:
        points: which landmarks; none of them moves with gaze or blinks.

    Returns:
        (N, points, 2) pixels of the same picture.
    """
    moved = _rigid(landmarks, fit, motion, list(points), model or FaceModel.load())
    return (landmarks[list(points), :2].astype(np.float64) + moved[..., :2]).astype(np.float32)


def _rigid(landmarks: np.ndarray, fit: FaceFit, motion: HeadMotion, points: list[int], model: FaceModel) -> np.ndarray:
    """How far the head's motion carries landmarks, (N, points, 3) pixels."""
    lifted = landmarks[points].astype(np.float64)
    lifted[:, 2] = fit.project(model)[0, points, 2]
    change = _nearness(motion)[:, None, None] * motion.rotation - np.eye(3)
    moved = np.einsum("nab,pb->npa", change, lifted - fit.translation[0].astype(np.float64))
    moved[..., :2] += _scale(fit, model) * motion.translation[:, None, :2]
    return np.asarray(moved)


def _scale(fit: FaceFit, model: FaceModel) -> float:
    """Pixels between the pupils of the fitted person, seen from the front."""
    return float(fit.scale[0]) * _pupil_distance(fit, model)


def _nearness(motion: HeadMotion) -> np.ndarray:
    """How much larger the head appears, (N,)."""
    return np.asarray(VIEW_DISTANCE / (VIEW_DISTANCE + np.maximum(motion.translation[:, 2], -0.5 * VIEW_DISTANCE)))


def _pupil_distance(fit: FaceFit, model: FaceModel) -> float:
    """Between the pupils of the fitted person, in the model's unit (which is the mean person's)."""
    pupils = model.shape(fit.identity, np.zeros(len(model.unit_names)))[[PUPIL_RIGHT, PUPIL_LEFT]]
    return float(np.linalg.norm(pupils[0] - pupils[1]))


def _smooth(values: np.ndarray) -> np.ndarray:
    """(N, ...) over time without the detector's tremble, ends held."""
    return gaussian_filter1d(values, JITTER_SIGMA, axis=0, mode="nearest", truncate=3.0)


def _float32(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.float32) for array in arrays]
