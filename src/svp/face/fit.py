"""beta: the coefficients of the face model that explain a clip's landmarks.

One identity per clip, one expression and one weak-perspective pose per frame, by Gauss-Newton steps that solve for all
of them jointly, with priors. The clip's own mean is never taken off: what a face always does is part of its style.
The eyeLook units are measured from the irises (`gaze.py`) and enter the fit as known motion of the lids.

A landmark is predicted as `scale * rotation @ shape + translation`; x and y are compared, z hardly (the detector's
depth is a guess). Shapes: N frames, K identity axes, E units, L = 468 surface landmarks (all 478 where it says so).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from svp.face.box_qp import reduced_solve, solve_box_qp
from svp.face.gaze import gaze_degrees, look_units
from svp.face.model import FaceModel
from svp.face.pose import N_POSE, Pose, moved_pose, pose_jacobian, procrustes_pose
from svp.face.prior import expression_prior, landmark_weights
from svp.face.topology import N_LANDMARKS, N_SURFACE

MAX_WEIGHT: Final = 1.5  # a unit stronger than this is no face
DEPTH_WEIGHT: Final = 0.01  # of a squared error in z against one in x or y
NOISE: Final = 0.02  # standard deviation of what the model cannot explain, in distances between the eyeballs
N_INDEPENDENT: Final = 250.0  # errors of neighbouring landmarks go together: 468 of them count as this many
IDENTITY_FRAMES: Final = 48  # frames of a clip, evenly spread, that decide about the identity
IDENTITY_ROUNDS: Final = 4
PART_ROUNDS: Final = 2  # of the identity of a part, which starts from the fit of the whole
FRAME_ROUNDS: Final = 3
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


def part_identity(landmarks: np.ndarray, fit: FaceFit, part: slice, model: FaceModel) -> np.ndarray:
    """Identity (K,) that the frames of a part of a clip alone would give.

    Args:
        landmarks: (N, 478, 3) of the whole clip, as given to `fit_clip`.
        fit: of the whole clip, from which a few steps lead there.
        part: its frames.
        model: that was fitted.
    """
    pose = Pose(fit.rotation[part], fit.translation[part], fit.scale[part])
    frames = _Frames(np.asarray(landmarks[part], np.float32), fit.expression[part].copy(), pose)
    solver, identity = _Solver(model), fit.identity
    for _ in range(PART_ROUNDS):
        identity = solver.step(frames, identity, with_identity=True)
    return identity


@dataclass
class _Frames:
    """What is being fitted: the landmarks of some frames and the current guess."""

    landmarks: np.ndarray
    expression: np.ndarray
    pose: Pose


class _Solver:
    """The Gauss-Newton steps, with what depends on the model alone computed once.

    Unknowns of a frame: the fitted units, then seven numbers of the pose. `M` stands for both together.
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.weights_L = landmark_weights(model)
        weights = np.repeat(self.weights_L, 3)
        names = model.unit_names
        # eyeLook units are measured, tongueOut moves no landmark; all others are fitted.
        self.fitted = [i for i, n in enumerate(names) if not n.startswith("eyeLook") and n != "tongueOut"]
        self.neutral = model.neutral[:N_SURFACE]
        self.identity = model.identity[:, :N_SURFACE].reshape(len(model.identity), -1)
        self.expression = model.expression[:, :N_SURFACE].reshape(len(model.expression), -1)
        basis = np.concatenate([self.identity, self.expression[self.fitted]])
        self.weighted_basis = basis * weights
        self.gram = _gram(basis, weights)
        self.n_identity, self.n_fitted = len(self.identity), len(self.fitted)
        precision, slope = expression_prior(model)
        self.precision, self.slope = precision[np.ix_(self.fitted, self.fitted)], slope[self.fitted]
        self.upper = np.full(self.n_fitted, MAX_WEIGHT, np.float32)
        self.capped = (self.fitted.index(model.unit("mouthClose")), self.fitted.index(model.unit("jawOpen")))
        self.evidence = np.float32(N_INDEPENDENT / NOISE**2)

    def fit_identity(self, landmarks: np.ndarray) -> np.ndarray:
        """Identity (K,) that explains frames (N, 478, 3) best, together with their expressions and poses."""
        identity = np.zeros(self.n_identity, np.float32)
        frames = self._start(landmarks, identity)
        for _ in range(IDENTITY_ROUNDS):
            identity = self.step(frames, identity, with_identity=True)
        return identity

    def fit_frames(self, landmarks: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, Pose]:
        """Expressions (N, E) and poses of frames (N, 478, 3) whose identity is known."""
        frames = self._start(landmarks, identity)
        for _ in range(FRAME_ROUNDS):
            self.step(frames, identity, with_identity=False)
        return frames.expression, frames.pose

    def _start(self, landmarks: np.ndarray, identity: np.ndarray) -> _Frames:
        expression = np.zeros((len(landmarks), len(self.expression)), np.float32)
        shape = self._shape(identity, expression)
        return _Frames(landmarks, expression, procrustes_pose(landmarks[:, :N_SURFACE], shape, self.weights_L))

    def _shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        moved = identity @ self.identity + expression @ self.expression
        return self.neutral + moved.reshape(-1, N_SURFACE, 3)

    def step(self, frames: _Frames, identity: np.ndarray, with_identity: bool) -> np.ndarray:
        """One Gauss-Newton step on all unknowns; changes the frames and returns the identity."""
        k, e = self.n_identity, self.n_fitted
        pose, landmarks = frames.pose, frames.landmarks
        shape = self._shape(identity, frames.expression)
        look = look_units(gaze_degrees(landmarks, shape, pose, self.model), self.model)
        look[:, self.fitted] = frames.expression[:, self.fitted]
        frames.expression, shape = look, self._shape(identity, look)

        metric = np.array([1, 1, DEPTH_WEIGHT], np.float32)
        turned = np.matmul(shape, np.swapaxes(pose.rotation, 1, 2))
        residual = (landmarks[:, :N_SURFACE] - pose.translation[:, None]) / pose.scale[:, None, None] - turned
        jacobian = pose_jacobian(turned)
        # In the model's frame the displacements of identity and expression do not depend on the pose.
        pulled = np.matmul(np.concatenate([residual[:, None], jacobian], axis=1) * metric, pose.rotation[:, None])
        on_basis = pulled.reshape(len(pulled), 1 + N_POSE, -1) @ self.weighted_basis.T
        weighted = (jacobian * (self.weights_L[:, None] * metric)).reshape(len(pulled), N_POSE, -1)

        hessian = np.empty((len(pulled), k + e + N_POSE, k + e + N_POSE), np.float32)
        hessian[:, : k + e, : k + e] = np.tensordot(_metric(pose.rotation), self.gram, axes=2)
        hessian[:, k + e :, : k + e] = on_basis[:, 1:]
        hessian[:, : k + e, k + e :] = np.swapaxes(on_basis[:, 1:], 1, 2)
        hessian[:, k + e :, k + e :] = weighted @ np.swapaxes(jacobian.reshape(len(pulled), N_POSE, -1), 1, 2)
        descent = np.concatenate([on_basis[:, 0], (weighted @ residual.reshape(len(pulled), -1, 1))[..., 0]], axis=1)
        hessian *= self.evidence
        descent *= self.evidence
        hessian[:, k : k + e, k : k + e] += self.precision
        pose_diagonal = np.arange(k + e, k + e + N_POSE)
        hessian[:, pose_diagonal, pose_diagonal] += 1.0

        # Units and pose first; the identity then moves all frames together, and they follow it.
        start = np.concatenate([look[:, self.fitted], np.zeros((len(pulled), N_POSE), np.float32)], axis=1)
        frame_hessian = hessian[:, k:, k:]
        descent[:, k : k + e] -= self.slope + start[:, :e] @ self.precision
        linear = descent[:, k:] + np.einsum("nij,nj->ni", frame_hessian, start)
        solution, resting = solve_box_qp(frame_hessian, linear, start, self.upper, e, self.capped)
        if with_identity:
            follow = reduced_solve(frame_hessian, hessian[:, k:, :k], resting)
            change = solution - start
            left = descent[:, :k] - np.einsum("nij,nj->ni", hessian[:, :k, k:], change)
            reduced = hessian[:, :k, :k] - hessian[:, :k, k:] @ follow
            step = np.linalg.solve(reduced.mean(axis=0) + np.eye(k), left.mean(axis=0) - identity).astype(np.float32)
            identity = identity + step
            solution = solution - follow @ step
            solution[:, :e] = np.clip(solution[:, :e], 0, self.upper)
        frames.expression[:, self.fitted] = solution[:, :e]
        frames.pose = moved_pose(pose, solution[:, e:])
        return identity


def _metric(rotation: np.ndarray) -> np.ndarray:
    """(N, 3, 3): how much a displacement in the model's frame counts once a head is turned and seen from the front."""
    return np.swapaxes(rotation, 1, 2) @ (np.array([1, 1, DEPTH_WEIGHT], np.float32)[:, None] * rotation)


def _gram(fields: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products (3, 3, B, B) of displacement fields (B, L * 3), per pair of axes, so that any pose can mix them."""
    axes = (fields * np.sqrt(weights)).reshape(len(fields), -1, 3).transpose(2, 0, 1)
    return np.einsum("ael,bfl->abef", axes, axes, optimize=True)
