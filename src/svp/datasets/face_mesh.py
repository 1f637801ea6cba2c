"""The triangle mesh of a portrait: the face's own landmarks, rings of points around it for hair and shoulders.

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

# How far each ring lies on the way from the face oval to the border of the frame. The last one lies outside it.
RING_PLACES = (0.12, 0.3, 0.55, 0.85, 1.4)
# Hair lies further back than the face it frames: from here on as far back as the ears.
BACK_PLACE = 0.55
# Heights (0 forehead, 1 chin) between which what follows the head passes into what rests on the shoulders.
NECK_TOP, NECK_BOTTOM = 0.7, 1.5
EARS = (127, 356, 234, 454)


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
    """Rings around the face oval (5 rings x 36 points, 3), from its own depth back to that of the ears."""
    oval = landmarks[_OVAL].astype(np.float64)
    centre = (oval[:, :2].min(0) + oval[:, :2].max(0)) / 2
    direction = oval[:, :2] - centre
    high, low = size - centre, -centre
    with np.errstate(divide="ignore"):
        reach = np.where(direction > 0, high / direction, low / direction)
    border = centre + direction * np.maximum(reach.min(1), 1.0)[:, None]
    for corner in ((0, 0), (0, size), (size, 0), (size, size)):
        towards = np.array(corner) - centre
        cosine = direction @ towards / np.linalg.norm(direction, axis=1)
        border[cosine.argmax()] = corner
    outward = np.column_stack([border - oval[:, :2], np.zeros(len(oval))])
    back = landmarks[list(EARS), 2].mean()
    rings = []
    for place in RING_PLACES:
        ring = oval + place * outward
        ring[:, 2] += _smoothstep(place / BACK_PLACE) * (back - oval[:, 2])
        rings.append(ring)
    return np.concatenate(rings)


def head_share(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How much of the head's motion points (P,2 or 3) around it follow: hair fully, shoulders not at all; (P,)."""
    chin, forehead = landmarks[topology.CHIN, :2], landmarks[10, :2]
    height = (points[:, :2] - forehead) @ (chin - forehead) / ((chin - forehead) ** 2).sum()
    return 1 - _smoothstep((height - NECK_TOP) / (NECK_BOTTOM - NECK_TOP))


def _smoothstep(x: np.ndarray | float) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def ring_triangles() -> np.ndarray:
    """Triangles (T,3) of the strips between the oval and its rings; ring points are numbered from N_SURFACE on."""
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
