"""What decides whether a measured clip is taken: scores of its pictures, and the options that set the bars.

The scores stand in the manifest, so that a moved bar is applied without looking at the clip again.
"""

import cv2
import numpy as np

from svp.datasets.manifest import ClipRow
from svp.face.crop import CROP_SIDE
from svp.face.topology import N_SURFACE

FACE_PIXELS = 128  # side of the face on which sharpness is measured
ENLARGED = 4.0  # a face that is enlarged more shows nothing finer than an eyelid


def length_verdict(row: ClipRow, min_seconds: float) -> str:
    """Why a clip is too short, or nothing."""
    if row.seconds >= min_seconds:
        return ""
    noun = "frame" if row.frames == 1 else "frames"
    return f"has only {row.frames} {noun}; clips of at least {min_seconds} s are taken"


def sound_verdict(row: ClipRow, require_sound: bool) -> str:
    """Why a clip is refused for its sound, or nothing."""
    return "has no sound; give a clip with sound, or do not require it" if require_sound and not row.has_sound else ""


def offset_verdict(row: ClipRow, max_offset: float) -> str:
    """Why a clip is refused as its sound is early or late, or nothing."""
    if not (row.has_sound and row.offset_certain and abs(row.remaining_offset) > max_offset):
        return ""
    side = "early" if row.remaining_offset > 0 else "late"
    return f"its sound is {abs(row.remaining_offset):.2f} s {side}; move it by --correct-offset"


def face_verdict(row: ClipRow, *, max_missing: float, max_others: float, min_face: float, min_sharpness: float) -> str:
    """Why a clip is refused for its pictures, or nothing. The arguments are those of `extract.ExtractOptions`."""
    if row.missing > max_missing:
        found = round((1 - row.missing) * row.frames)
        return f"a face is found in {found} of {row.frames} frames; use a clip with one visible face"
    if row.others > max_others:
        return f"several faces are seen in {row.others:.0%} of its frames; use a clip of one person"
    if row.face_size < min_face:
        return f"its face is {row.face_size:.0f} pixels large, less than {min_face:.0f}; use a larger picture"
    if row.sharpness < min_sharpness:
        return f"its face is blurred (sharpness {row.sharpness:.4f}, less than {min_sharpness:.4f}); use a sharp clip"
    return ""


def least_face(size: int) -> float:
    """Side in pixels of the smallest face taken by default: ENLARGED times smaller than it is in a crop of `size`."""
    return round(size / CROP_SIDE / ENLARGED, 1)


def face_extent(landmarks_L3: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (2,) and larger side of the box around the landmarks (L,3) of a face, in pixels."""
    xy = landmarks_L3[:N_SURFACE, :2]
    low, high = xy.min(axis=0), xy.max(axis=0)
    return (low + high) / 2, float((high - low).max())


def sharpness(image: np.ndarray, landmarks_L3: np.ndarray) -> float:
    """How much fine detail the face has, at FACE_PIXELS and whatever the light: a pure number.

    It is the variance of the Laplacian over that of the grey values. Clips of eight data sets have 0.02 to 0.7; a
    Gaussian blur of 1, 2 and 4 pixels there leaves 0.015 to 0.1, 0.004 to 0.025 and 0.001 to 0.007.

    Args:
        image: uint8 RGB, (H, W, 3).
        landmarks_L3: of its face, in pixels.
    """
    center, side = face_extent(landmarks_L3)
    scale = FACE_PIXELS / max(side, 1.0)
    shrink = max(1, int(1 / scale))
    left, top = np.maximum(np.floor(center - 0.75 * side), 0).astype(int)
    right, bottom = np.ceil(center + 0.75 * side).astype(int)
    region = image[top:bottom, left:right]
    if not region.size:
        return 0.0
    bright = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.blur(bright, (shrink, shrink))  # an affine warp samples points
    shift = FACE_PIXELS / 2 - scale * (center - (left, top))
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    face = cv2.warpAffine(grey, matrix, (FACE_PIXELS, FACE_PIXELS), borderMode=cv2.BORDER_REFLECT)
    return float(cv2.Laplacian(face, cv2.CV_32F).var() / max(float(face.var()), 1.0))
