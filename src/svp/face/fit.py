"""beta: the coefficients of the face model that explain a clip's landmarks.

One identity per clip, one expression and one weak-perspective pose per frame, by alternating least squares with
priors. The clip's own mean is never taken off: what a face does all the time is part of its style. eyeLook units are
measured from the irises (`gaze.py`) and enter the fit as known motion of the lids.

A landmark is predicted as `scale * rotation @ shape + translation`; x and y are compared, z hardly (the detector's
depth is a guess). Shapes: N frames, K identity axes, E units, L = 468 surface landmarks (all 478 where it says so).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from svp.face.gaze import gaze_degrees, look_units
from svp.face.model import FaceModel
from svp.face.pose import Pose, procrustes_pose, refined_pose
from svp.face.prior import expression_prior, landmark_weights
from svp.face.topology import N_LANDMARKS, N_SURFACE

MAX_WEIGHT: Final = 1.5  # a unit stronger than this is no face
DEPTH_WEIGHT: Final = 0.05  # of a squared error in z against one in x or y
NOISE: Final = 0.02  # standard deviation of what the model cannot explain, in distances between the eyeballs
N_INDEPENDENT: Final = 40.0  # errors of neighbouring landmarks go together: 468 of them count as this many
IDENTITY_FRAMES: Final = 192  # frames of a clip, evenly spread, that decide about the identity
IDENTITY_ROUNDS: Final = 8
FRAME_ROUNDS: Final = 3
SWEEPS: Final = 12
CHUNK: Final = 256  # frames fitted at once; bounds memory


@dataclass(frozen=True)
class FaceFit:
    """What the fit of a clip found.

    Attributes:
        identity: (K,) in standard deviations.
        expression: (N, E) in ARKit's order, each in [0, 1.5].
        rotation: (N, 3, 3) from the model's frame to the picture's (x right, y down, z away from the viewer).
        translation: (N, 3) pixels, of the point between the eyeballs; z is relative.
        scale: (N,) pixels per distance between the eyeballs.
    """

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray

    @property
    def pose(self) -> Pose:
        return Pose(self.rotation, self.translation, self.scale)

    def project(self, model: FaceModel) -> np.ndarray:
        """Landmarks (N, 478, 3) in pixels that the fit predicts."""
        return self.pose.place(model.shape(self.identity, self.expression))


def fit_clip(landmarks: np.ndarray, model: FaceModel | None = None) -> FaceFit:
    """Fit the face model to a clip (or to one picture, N = 1).

    Args:
        landmarks: (N, 478, 3) pixels, N >= 1, without gaps (see `landmarks.require_track`).
        model: the shipped model by default.

    Raises:
        ValueError: if the array has another shape, no frame, or values that are not finite.
    """
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (N_LANDMARKS, 3) or len(landmarks) == 0:
        raise ValueError(f"expected landmarks (N, {N_LANDMARKS}, 3) of at least one frame, got {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise ValueError("the landmarks have gaps; fill them with require_track first")
    solver = _Solver(model or FaceModel.load())
    spread = np.linspace(0, len(landmarks) - 1, min(IDENTITY_FRAMES, len(landmarks)))
    identity = solver.fit_identity(landmarks[np.unique(spread.round().astype(int))])
    chunks = [
        solver.fit_frames(landmarks[start : start + CHUNK], identity) for start in range(0, len(landmarks), CHUNK)
    ]
    return FaceFit(
        identity=identity,
        expression=np.concatenate([expression for expression, _ in chunks]),
        rotation=np.concatenate([pose.rotation for _, pose in chunks]),
        translation=np.concatenate([pose.translation for _, pose in chunks]),
        scale=np.concatenate([pose.scale for _, pose in chunks]),
    )


class _Solver:
    """The alternating steps, with what depends on the model alone computed once."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.weights_L = landmark_weights()
        self.neutral = model.neutral[:N_SURFACE]
        self.identity = model.identity[:, :N_SURFACE].reshape(len(model.identity), -1)
        self.expression = model.expression[:, :N_SURFACE].reshape(len(model.expression), -1)
        weights = np.repeat(self.weights_L, 3)
        self.weighted_identity, self.weighted_expression = self.identity * weights, self.expression * weights
        self.identity_gram = _gram(self.identity, weights)
        self.expression_gram = _gram(self.expression, weights)
        self.precision_EE, self.slope_E = expression_prior(model)
        names = model.unit_names
        # eyeLook units are measured, tongueOut moves no landmark; all others are fitted.
        self.fitted = [i for i, n in enumerate(names) if not n.startswith("eyeLook") and n != "tongueOut"]
        self.evidence = N_INDEPENDENT / NOISE**2

    def fit_identity(self, landmarks: np.ndarray) -> np.ndarray:
        """Identity (K,) that explains frames (N, 478, 3) best, together with their expressions and poses."""
        identity = np.zeros(len(self.identity), np.float32)
        expression, pose = self._start(landmarks, identity)
        for _ in range(IDENTITY_ROUNDS):
            pose, expression = self._frame_step(landmarks, identity, expression, pose)
            identity = self._identity_step(landmarks, expression, pose)
        return identity

    def fit_frames(self, landmarks: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, Pose]:
        """Expressions (N, E) and poses of frames (N, 478, 3) whose identity is known."""
        expression, pose = self._start(landmarks, identity)
        for _ in range(FRAME_ROUNDS):
            pose, expression = self._frame_step(landmarks, identity, expression, pose)
        return expression, pose

    def _start(self, landmarks: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, Pose]:
        expression = np.zeros((len(landmarks), len(self.expression)), np.float32)
        shape = self._shape(identity, expression)
        pose = procrustes_pose(landmarks[:, :N_SURFACE], shape, self.weights_L)
        return expression, refined_pose(pose, landmarks[:, :N_SURFACE], shape, self.weights_L, DEPTH_WEIGHT)

    def _shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        moved = identity @ self.identity + expression @ self.expression
        return self.neutral + moved.reshape(-1, N_SURFACE, 3)

    def _frame_step(
        self, landmarks: np.ndarray, identity: np.ndarray, expression: np.ndarray, pose: Pose
    ) -> tuple[Pose, np.ndarray]:
        surface = landmarks[:, :N_SURFACE]
        shape = self._shape(identity, expression)
        pose = refined_pose(pose, surface, shape, self.weights_L, DEPTH_WEIGHT)
        look = look_units(gaze_degrees(landmarks, shape, pose, self.model), self.model)
        start = expression[:, self.fitted]
        evidence = self._pulled_back(surface, self._shape(identity, look), pose) @ self.weighted_expression.T
        linear = self.evidence * evidence[:, self.fitted] - self.slope_E[self.fitted]
        gram = self.expression_gram[:, :, self.fitted][..., self.fitted]
        quadratic = self.evidence * np.tensordot(_metric(pose.rotation), gram, axes=2)
        quadratic += self.precision_EE[np.ix_(self.fitted, self.fitted)]
        jaw = self.fitted.index(self.model.unit("jawOpen"))
        close = self.fitted.index(self.model.unit("mouthClose"))
        look[:, self.fitted] = bounded_least_squares(quadratic, linear, start, capped=(close, jaw))
        return pose, look

    def _identity_step(self, landmarks: np.ndarray, expression: np.ndarray, pose: Pose) -> np.ndarray:
        shape = self._shape(np.zeros(len(self.identity), np.float32), expression)
        pulled = self._pulled_back(landmarks[:, :N_SURFACE], shape, pose).mean(axis=0)
        linear = self.evidence * (self.weighted_identity @ pulled)
        quadratic = self.evidence * np.tensordot(_metric(pose.rotation).mean(axis=0), self.identity_gram, axes=2)
        return np.linalg.solve(quadratic + np.eye(len(linear)), linear).astype(np.float32)

    def _pulled_back(self, surface: np.ndarray, shape: np.ndarray, pose: Pose) -> np.ndarray:
        """What a shape leaves unexplained, weighted and turned back into the model's frame: (N, L * 3)."""
        residual = (surface - pose.place(shape)) * np.array([1, 1, DEPTH_WEIGHT], np.float32)
        pulled = np.matmul(residual, pose.rotation) / pose.scale[:, None, None]
        return pulled.reshape(len(pulled), -1)


def _metric(rotation: np.ndarray) -> np.ndarray:
    """(N, 3, 3): how much a displacement in the model's frame counts once a head is turned and seen from the front."""
    return np.swapaxes(rotation, 1, 2) @ (np.array([1, 1, DEPTH_WEIGHT], np.float32)[:, None] * rotation)


def _gram(fields: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products (3, 3, E, E) of displacement fields (E, L * 3), per pair of axes, so that any pose can mix them."""
    axes = (fields * np.sqrt(weights)).reshape(len(fields), -1, 3).transpose(2, 0, 1)
    return np.einsum("ael,bfl->abef", axes, axes, optimize=True)


def bounded_least_squares(
    quadratic: np.ndarray, linear: np.ndarray, start: np.ndarray, capped: tuple[int, int], sweeps: int = SWEEPS
) -> np.ndarray:
    """Minimise x' Q x / 2 - l' x over 0 <= x <= MAX_WEIGHT by coordinate descent, for many problems at once.

    Args:
        quadratic: (N, E, E) positive definite.
        linear: (N, E).
        start: (N, E).
        capped: (a, b): x[a] may not exceed x[b] either. (Lips cannot close further than the jaw has opened.)
        sweeps: rounds over all coordinates.
    """
    x = start.copy()
    diagonal = np.einsum("nee->ne", quadratic)
    gradient = np.einsum("nef,nf->ne", quadratic, x) - linear
    for _ in range(sweeps):
        for i in range(x.shape[1]):
            limit = np.minimum(x[:, capped[1]], MAX_WEIGHT) if i == capped[0] else MAX_WEIGHT
            new = np.clip(x[:, i] - gradient[:, i] / diagonal[:, i], 0, limit)
            gradient += (new - x[:, i])[:, None] * quadratic[:, i]
            x[:, i] = new
    return x
