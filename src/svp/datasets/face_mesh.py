"""The triangle mesh of a portrait: the face's own landmarks, rings of points around the head, the picture's border.

Coordinates are continuous pixels (the centre of the first pixel is 0.5, 0.5).
"""

from itertools import pairwise

import numpy as np

from svp.face import topology
from svp.face.topology import N_SURFACE

_OVAL = np.array(topology.FACE_OVAL)


def _edges(opening: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower edge of a ring around an opening; both run from its first corner to the other one."""
    half = len(opening) // 2
    return np.array(opening[: half + 1]), np.array([opening[0], *opening[: half - 1 : -1]])


INNER_UPPER_LIP, INNER_LOWER_LIP = _edges(topology.LIPS_INNER)
RIGHT_EYE = _edges(topology.EYE_RIGHT)
LEFT_EYE = _edges(topology.EYE_LEFT)

# How far each ring lies from the face oval to the border, and how much of the head's motion it follows at the top and
# sides (hair, ears) and below the chin (neck, which stays on the shoulders).
RING_PLACES = (0.3, 0.62, 1.0)
RING_FOLLOWS_HEAD = (1.0, 0.7, 0.0)
RING_FOLLOWS_NECK = (0.5, 0.12, 0.0)


def strip(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Triangles (T,3) between two polylines of equal length; triangles with a repeated point are left out."""
    a, b, c, d = first[:-1], first[1:], second[:-1], second[1:]
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    distinct = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2])
    return triangles[distinct & (triangles[:, 0] != triangles[:, 2])]


def face_triangles(surface: np.ndarray) -> np.ndarray:
    """The triangles (T,3) of a face model's surface without those that close eyes and mouth."""
    rings = (topology.LIPS_INNER, topology.EYE_RIGHT, topology.EYE_LEFT)
    closing = np.stack([np.isin(surface, ring).all(1) for ring in rings]).any(0)
    return np.asarray(surface[~closing], np.int64)


def ring_points(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Rings from the face oval to the picture's border (3 rings x 36 points, 2); the last ring covers the corners."""
    oval = landmarks[_OVAL, :2].astype(np.float64)
    centre = (oval.min(0) + oval.max(0)) / 2
    direction = oval - centre
    high, low = size - centre, -centre
    with np.errstate(divide="ignore"):
        reach = np.where(direction > 0, high / direction, low / direction)
    border = centre + direction * np.maximum(reach.min(1), 1.0)[:, None]
    for corner in ((0, 0), (0, size), (size, 0), (size, size)):
        towards = np.array(corner) - centre
        cosine = direction @ towards / np.linalg.norm(direction, axis=1)
        border[cosine.argmax()] = corner
    return np.concatenate([oval + place * (border - oval) for place in RING_PLACES])


def ring_weights(landmarks: np.ndarray) -> np.ndarray:
    """How much of the head's motion each ring point follows (3 x 36,): hair fully, neck and border less."""
    oval = landmarks[_OVAL, :2].astype(np.float64)
    chin, forehead = landmarks[152, :2], landmarks[10, :2]
    height = (oval - forehead) @ (chin - forehead) / ((chin - forehead) ** 2).sum()
    neck = np.clip((height - 0.6) / 0.3, 0, 1)
    return np.concatenate([h + (n - h) * neck for h, n in zip(RING_FOLLOWS_HEAD, RING_FOLLOWS_NECK, strict=True)])


def ring_triangles() -> np.ndarray:
    """Triangles (T,3) of the strips oval - ring - ring - border; ring points are numbered from N_SURFACE on."""
    n = len(_OVAL)
    loops = [_OVAL, *(N_SURFACE + n * k + np.arange(n) for k in range(len(RING_PLACES)))]
    closed = [np.append(loop, loop[0]) for loop in loops]
    return np.concatenate([strip(inner, outer) for inner, outer in pairwise(closed)])


def hole_triangles() -> np.ndarray:
    """Triangles (T,3) over the mouth and the two eyes."""
    return np.concatenate(
        [
            strip(INNER_UPPER_LIP, INNER_LOWER_LIP),
            strip(*RIGHT_EYE),
            strip(*LEFT_EYE),
        ]
    )
