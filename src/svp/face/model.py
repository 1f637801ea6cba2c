"""Linear face model on the landmark topology: neutral shape, identity axes, ARKit expression units.

Frame: that of a picture of a frontal face. x to the right of the picture, y down, z away from the viewer; the origin
lies between the eyeballs and the distance between the eyeballs is 1.

Shapes: K identity axes, E expression units, 478 landmarks.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from svp.face.topology import N_LANDMARKS

FACE_MODEL_FILE = Path(__file__).parents[1] / "assets" / "face_model.npz"

# ARKit's order. It is part of the encoder id: coefficients of another order are another encoder.
ARKIT_UNITS: Final = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel"),
    *("mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft"),
    *("browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft"),
    *("cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)


@dataclass(frozen=True, eq=False)
class FaceModel:
    """The face model.

    Attributes:
        neutral: (478, 3) mean face without expression, looking straight ahead.
        identity: (K, 478, 3) displacement of one standard deviation along each identity axis.
        expression: (E, 478, 3) displacement of each unit at weight 1.
        unit_names: the E units, in ARKit's order. `tongueOut` moves no landmark and stays 0.
        triangles: (T, 3) surface of the face over the 468 surface landmarks, eyes and mouth closed over.
        mirror: (478,) the landmark on the other side of the face.
        eye_centers: (2, 3) centres of the right and left eyeball.
        eye_radius: radius of the eyeballs.
        encoder_id: names what these coefficients mean; saved with everything that was trained on them.
    """

    neutral: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    unit_names: tuple[str, ...]
    triangles: np.ndarray
    mirror: np.ndarray
    eye_centers: np.ndarray
    eye_radius: float
    encoder_id: str = "arkit-52/1"

    def __post_init__(self) -> None:
        if self.unit_names != ARKIT_UNITS:
            raise ValueError("the units of the face model are not ARKit's, or not in ARKit's order")
        if self.neutral.shape != (N_LANDMARKS, 3):
            raise ValueError(f"expected a neutral face ({N_LANDMARKS}, 3), got {self.neutral.shape}")

    @staticmethod
    @cache
    def load(path: Path = FACE_MODEL_FILE) -> "FaceModel":
        """The shipped model, or one made by `scripts/make_face_model.py`. Loaded once; do not change its arrays."""
        with np.load(path, allow_pickle=False) as file:
            return FaceModel(
                neutral=file["neutral"].astype(np.float32),
                identity=file["identity"].astype(np.float32),
                expression=file["expression"].astype(np.float32),
                unit_names=tuple(str(name) for name in file["unit_names"]),
                triangles=file["triangles"].astype(np.int64),
                mirror=file["mirror"].astype(np.int64),
                eye_centers=file["eye_centers"].astype(np.float32),
                eye_radius=float(file["eye_radius"]),
            )

    def unit(self, name: str) -> int:
        """Position of a unit by its ARKit name."""
        return self.unit_names.index(name)

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Faces (..., 478, 3) of coefficients (..., K) and (..., E), in the model's frame."""
        moved = np.tensordot(identity, self.identity, axes=1) + np.tensordot(expression, self.expression, axes=1)
        return (self.neutral + moved).astype(np.float32)
