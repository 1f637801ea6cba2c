"""What is known of the face in a video, and what follows from it.

Shapes: N frames, K identity axes, E units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from svp.face.fit import FaceFit, fit_clip
from svp.face.gaze import eye_width, lid_opening, pupil_offsets
from svp.face.landmarks import require_track
from svp.face.model import FaceModel
from svp.face.mouth import lip_gap
from svp.face.topology import PUPIL_LEFT, PUPIL_RIGHT


@dataclass(frozen=True, eq=False)
class FaceFacts:
    """A face over the frames of a video, gaps filled.

    Attributes:
        landmarks: (N, 478, 3) pixels.
        found: (N,) where the detector saw it; elsewhere the landmarks are interpolated.
        fit: of the face model.
    """

    landmarks: np.ndarray
    found: np.ndarray
    fit: FaceFit

    @classmethod
    def of_track(cls, track: np.ndarray, name: str) -> FaceFacts:
        """The facts of a track (N, 478, 3), NaN where no face was found.

        Raises:
            InputError: a face is found in fewer than half of the frames.
        """
        filled = require_track(track, name)
        return cls(filled, np.isfinite(track).all(axis=(1, 2)), fit_clip(filled, FaceModel.load()))

    def __len__(self) -> int:
        return len(self.landmarks)

    @cached_property
    def pupil_distance(self) -> float:
        """Median over the frames, in pixels."""
        between = self.landmarks[:, PUPIL_RIGHT, :2] - self.landmarks[:, PUPIL_LEFT, :2]
        return float(np.median(np.linalg.norm(between, axis=1)))

    @cached_property
    def lip_gap(self) -> np.ndarray:
        """(N,), see `face.mouth.lip_gap`; NaN where the face was not seen."""
        return np.where(self.found, lip_gap(self.landmarks), np.nan)

    @cached_property
    def lid_opening(self) -> np.ndarray:
        """(N,) mean of both eyes, in widths of the eye."""
        return np.asarray(lid_opening(self.landmarks).mean(axis=1))

    @cached_property
    def gaze(self) -> np.ndarray:
        """(N, 2) degrees right and down, relative to the head, mean of both eyes."""
        model = FaceModel.load()
        sine = pupil_offsets(self.fit.expression, model) * eye_width(model) / model.eye_radius
        return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1, 1))))

    @cached_property
    def shape(self) -> np.ndarray:
        """(478, 3) of the person's face at rest, centred, in distances between the person's own pupils."""
        return rest_shape(self.fit.identity)


def rest_shape(identity: np.ndarray) -> np.ndarray:
    """The face (478, 3) of an identity (K,) at rest, centred, in distances between its own pupils."""
    model = FaceModel.load()
    shape = model.shape(identity, np.zeros(len(model.unit_names), np.float32)).astype(np.float64)
    shape = shape - shape.mean(axis=0)
    return np.asarray(shape / np.linalg.norm(shape[PUPIL_RIGHT] - shape[PUPIL_LEFT]))
