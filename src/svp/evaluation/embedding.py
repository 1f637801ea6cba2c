"""A face embedding: dlib's ResNet, 128 numbers per picture, where the package is installed.

The network and its weights are in the public domain (dlib-models; the PyPI package `face_recognition_models` carries
them). dlib loads its own file format, which holds numbers only. Of that package's other models none is used.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from svp.errors import install

HOW_TO_GET: Final = f"needs dlib and its weights; {install('identity')}"
SAME_PERSON: Final = 0.6  # dlib's own threshold: pictures closer than this show one person
EVERY: Final = 100  # frames; an embedding takes as long as finding the face in 25 frames
# Landmarks in the order of dlib's five points: eye corners of the person's left and right eye, base of the nose.
POINTS: Final = (263, 362, 33, 133, 2)
WEIGHTS: Final = "dlib_face_recognition_resnet_model_v1.dat"


class FaceEmbedder:
    """dlib's face recognition network, shown a face through our own landmarks."""

    def __init__(self, weights: Path) -> None:
        import dlib

        self.dlib: Any = dlib
        self.network = dlib.face_recognition_model_v1(str(weights))

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Embedding (128,) float32 of a frame (H, W, 3) uint8 RGB whose landmarks (478, 3) are known, in its pixels."""
        points = [self.dlib.point(round(float(x)), round(float(y))) for x, y, _ in landmarks[list(POINTS)]]
        (left, top), (right, bottom) = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        around = self.dlib.rectangle(int(left), int(top), int(right), int(bottom))
        shape = self.dlib.full_object_detection(around, points)
        return np.array(self.network.compute_face_descriptor(frame, shape), np.float32)


def weights_file() -> Path | None:
    """dlib's weights; None where they or dlib itself are not installed. Imports neither."""
    found = importlib.util.find_spec("face_recognition_models")
    if importlib.util.find_spec("dlib") is None or found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "models" / WEIGHTS
    return path if path.is_file() else None


@lru_cache(maxsize=1)
def installed_embedder() -> FaceEmbedder | None:
    """The embedder, loaded once per process; None where it is not installed."""
    path = weights_file()
    return None if path is None else FaceEmbedder(path)
