"""Photo puppet: a portrait whose landmarks are moved by ARKit units and head pose, rendered as a warped picture.

Only the person moves: the background is a picture of its own behind it (cutout.py), and the shoulders hardly follow.
The portrait's own expression is measured by its face fit and taken away first, so that zero coefficients mean a
neutral face with closed lips. All frames of a puppet have ground truth: the landmarks they were drawn from.

Shapes: N frames, E expression units, T triangles, S side of the picture. Pixels: x right, y down, z away from the
viewer; the centre of the first pixel is 0.5, 0.5.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from svp.datasets import face_mesh as mesh
from svp.datasets.cutout import Cutout, cut_out
from svp.datasets.puppet_eyes import Eye
from svp.datasets.puppet_mouth import Mouth
from svp.datasets.puppet_wrinkles import Wrinkles
from svp.face import topology
from svp.face.fit import fit_clip
from svp.face.model import FaceModel
from svp.face.topology import N_SURFACE

# The share of the measured expression that is taken away: all of the mouth, less where wrinkles, lids and brows are as
# much identity as expression.
NEUTRALISED = {"mouth": 1.0, "jaw": 1.0, "cheek": 0.6, "nose": 0.6, "brow": 0.5, "eye": 0.4, "tongue": 0.0}
MIN_YAW = np.radians(4.0)
SUBPIXEL_BITS = 4
SHOULDERS_FOLLOW = 0.12  # of the head's shift
MARGIN = 1 / 8  # of the frame's side; what a moving head brings into the frame from beyond its border
MAX_YAW = np.radians(24.0)  # of the frame, whatever the portrait's own is
MAX_STRETCH = 3.0  # portrait pixels per frame pixel
JAW_PULL = (0.8, 0.5, 0.2, 0.05, 0.0)  # how far each ring follows the edge of the face when the expression moves it
BROWS = (([70, 63, 105, 66, 107], [46, 53, 52, 65, 55]), ([300, 293, 334, 296, 336], [276, 283, 282, 295, 285]))
# The other rows of each lip, which move with its inner edge; all run from the person's right to the left.
_UPPER_ROWS = tuple(np.array(topology.LIP_UPPER).reshape(4, 9)[:3])
_LOWER_ROWS = tuple(np.array(topology.LIP_LOWER).reshape(4, 9)[:3])


@dataclass(frozen=True)
class MovedMesh:
    """Where everything is in one frame, in pixels.

    Attributes:
        landmarks: (478,3) true landmarks.
        still: (478,3) the portrait's own landmarks in the frame's head pose, without its expression and gaze.
        rings: (180,2) points around the head.
        expression: (E,) what they show, which decides about wrinkles.
    """

    landmarks: np.ndarray
    still: np.ndarray
    rings: np.ndarray
    expression: np.ndarray


class Puppet:
    """One portrait that can be moved.

    Args:
        portrait: crop (S,S,3) uint8 RGB, framed as by svp.face.crop.
        landmarks: (478,3) pixels of the crop.
        model: the face model whose units `expression` is in.
        cutout: the person and the background of this portrait; by default it is cut out here.

    Attributes:
        neutral: (478,3) landmarks at zero expression and the portrait's own pose.
        pupil_distance: of the portrait, in pixels.
        yaw_range: how far the head may turn about the vertical, in radians, before a photo shows that it is flat.
    """

    def __init__(
        self, portrait: np.ndarray, landmarks: np.ndarray, model: FaceModel, cutout: Cutout | None = None
    ) -> None:
        if portrait.ndim != 3 or portrait.shape[0] != portrait.shape[1] or portrait.dtype != np.uint8:
            raise ValueError(f"portrait must be a square uint8 RGB crop, not {portrait.dtype} {portrait.shape}")
        if landmarks.shape != (478, 3):
            raise ValueError(f"landmarks must be (478, 3), not {landmarks.shape}")
        self.portrait = portrait
        self.size = portrait.shape[0]
        self.unit_names = tuple(model.unit_names)
        source = landmarks.astype(np.float64)
        fit = fit_clip(landmarks[None], model)
        self.pivot = np.zeros(3)
        translation = np.asarray(fit.translation[0], np.float64)
        self.pivot[: len(translation)] = translation
        self._to_portrait = float(fit.scale[0]) * np.asarray(fit.rotation[0], np.float64).T
        own_yaw = float(np.arcsin(np.clip(fit.rotation[0][0, 2], -1, 1)))
        self.yaw_range = (min(-MAX_YAW - own_yaw, -MIN_YAW), max(MAX_YAW - own_yaw, MIN_YAW))
        self.pupil_distance = float(np.linalg.norm(source[468, :2] - source[473, :2]))
        # Depth comes from the fitted model: the detector's own depth is noisy and differs between portraits.
        shape = np.asarray(model.shape(fit.identity, fit.expression[0]), np.float64) @ self._to_portrait
        source[:, 2] = shape[:, 2] - shape[:, 2].mean()
        self.pivot[2] = -shape[:, 2].mean()
        self.source = source

        self._units = np.asarray(model.expression, np.float64) @ self._to_portrait  # (E,478,3) in pixels
        self._units[:, N_SURFACE:] = 0  # irises go with the gaze
        _keep_brows_thick(self._units)
        share = np.array([_share(name) for name in self.unit_names])
        own = np.asarray(fit.expression[0], np.float64) * share
        self._own_lids(source)
        self.neutral = self._close_lips(source - np.tensordot(own, self._units, 1))
        self._own_lids(self.neutral)

        face = mesh.face_triangles(model.triangles)
        self._triangles = np.concatenate([mesh.hole_triangles(), mesh.ring_triangles(), face])
        self._n_behind = len(self._triangles) - len(face)
        self._rings = mesh.ring_points(source, self.size)
        self._head_share = mesh.head_share(source, self._rings)[:, None]
        self._vertices = np.concatenate([self._lips_apart(source)[:N_SURFACE, :2], self._rings[:, :2]])
        self._orientation = np.sign(_areas(self._vertices, self._triangles[self._n_behind :]).sum())
        self._seen = (_areas(self._vertices, self._triangles) * self._orientation > 0)[:, None]
        self._eyes = tuple(
            Eye(portrait, source, opening, iris)
            for opening, iris in ((topology.EYE_RIGHT, topology.IRIS_RIGHT), (topology.EYE_LEFT, topology.IRIS_LEFT))
        )
        self._mouth = Mouth(portrait, source, self.neutral)
        self.cutout = cutout or _cut_out_whole(portrait, source)
        place, side = source[:, :2] + self.cutout.margin, len(self.cutout.person)
        self._wrinkles = Wrinkles(place, side, self.pupil_distance, self.unit_names)

    def landmarks(
        self,
        expression: np.ndarray,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
        gaze: np.ndarray | None = None,
    ) -> np.ndarray:
        """True landmarks (478,3) of the frame that `render` draws from the same arguments, in pixels."""
        return self.move(expression, rotation, translation, gaze).landmarks

    def render(
        self,
        expression: np.ndarray,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
        gaze: np.ndarray | None = None,
    ) -> np.ndarray:
        """One frame (S,S,3) uint8 RGB; the arguments are those of `move`."""
        return self.draw(self.move(expression, rotation, translation, gaze))

    def move(
        self,
        expression: np.ndarray,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
        gaze: np.ndarray | None = None,
    ) -> "MovedMesh":
        """Where everything is in one frame.

        Args:
            expression: (E,) coefficients on top of the neutral face.
            rotation: (3,3) of the head relative to the portrait, in picture axes; None is the portrait's own pose.
            translation: (2,) or (3,) of the point between the eyes, in pupil distances.
            gaze: (2,) pupil offset in eye widths, right and down positive.
        """
        turn = np.eye(3) if rotation is None else np.asarray(rotation, np.float64)
        shift = np.zeros(3)
        if translation is not None:
            shift[: len(translation)] = np.asarray(translation, np.float64) * self.pupil_distance
        expression = np.asarray(expression, np.float64)
        face = self.neutral + np.tensordot(expression, self._units, 1)
        face = _without_crossing(face)
        if gaze is not None:
            self._look(face, np.asarray(gaze, np.float64))

        def pose(points: np.ndarray) -> np.ndarray:
            return (points - self.pivot) @ turn.T + self.pivot + shift

        rings = pose(self._rings)[:, :2] - self._rings[:, :2]
        # The jaw pulls the skin of the neck a little.
        pull = (face - self.neutral)[list(topology.FACE_OVAL), :2]
        rest = SHOULDERS_FOLLOW * (pose(self._rings.mean(0)) - self._rings.mean(0))[:2]
        rings = rest + self._head_share * (rings - rest) + np.concatenate([pull * follow for follow in JAW_PULL])
        return MovedMesh(pose(face).astype(np.float32), pose(self.source), self._rings[:, :2] + rings, expression)

    def draw(self, moved: "MovedMesh") -> np.ndarray:
        """The frame (S,S,3) uint8 RGB of a moved mesh."""
        target = np.concatenate([moved.landmarks[:N_SURFACE, :2], moved.rings])
        map_x, map_y = self._inverse_map(target, moved.landmarks[:, 2])
        margin = self.cutout.margin
        person = self._wrinkles.shade(self.cutout.person, moved.expression)
        person = cv2.remap(person, map_x + margin, map_y + margin, cv2.INTER_LINEAR)
        frame = self.cutout.composed(person)
        for eye in self._eyes:
            eye.paint(frame, moved.landmarks, moved.still)
        self._mouth.paint(frame, moved.landmarks, moved.still)
        return frame

    def _look(self, face: np.ndarray, gaze: np.ndarray) -> None:
        for iris, corners in ((topology.IRIS_RIGHT, (33, 133)), (topology.IRIS_LEFT, (362, 263))):
            across = face[corners[1]] - face[corners[0]]
            down = np.array([-across[1], across[0], 0.0])
            face[list(iris)] += gaze[0] * across + gaze[1] * down

    def _inverse_map(self, target: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For every pixel of the frame the place in the portrait it shows: x (S,S) and y (S,S) float32.

        Pixels that show no part of the person point far outside.
        """
        triangles = self._triangles
        a, b, c = (target[triangles[:, k]] for k in range(3))
        area = _areas(target, triangles)
        visible = area * self._orientation > 1e-3
        face_depth = depth[triangles[self._n_behind :]].mean(1)
        # Affine target -> portrait: columns of the inverse edge matrix times the portrait's edges.
        sa, sb, sc = (self._vertices[triangles[:, k]] for k in range(3))
        safe = np.where(visible, area, 1.0)[:, None]
        ab, ac, sab, sac = b - a, c - a, sb - sa, sc - sa
        by_x = (sab * ac[:, 1:] - sac * ab[:, 1:]) / safe
        by_y = (sac * ab[:, :1] - sab * ac[:, :1]) / safe
        # What is seen almost from its edge shows its middle: beyond its own pixels an exact map runs wild. So does what
        # is turned away in the portrait: it would show the cheek in front of it, mirrored.
        stretch = np.maximum(np.abs(by_x).max(1), np.abs(by_y).max(1))[:, None]
        tame = self._seen * np.minimum(1, MAX_STRETCH / np.maximum(stretch, 1e-9))
        by_x, by_y = by_x * tame, by_y * tame
        middle = (a + b + c) / 3
        offset = (sa + sb + sc) / 3 - by_x * middle[:, :1] - by_y * middle[:, 1:]
        affine = np.stack([by_x, by_y, offset], 2).astype(np.float32)  # (T,2,3)
        nowhere = np.array([[[0, 0, -self.size], [0, 0, -self.size]]], np.float32)  # beyond the last ring
        affine = np.concatenate([affine, nowhere])

        # Behind the face come holes and rings, then the face from far to near.
        order = np.concatenate([np.arange(self._n_behind), self._n_behind + np.argsort(-face_depth)])
        order = order[visible[order]]
        labels = np.full((self.size, self.size), len(triangles), np.int32)
        corners = np.rint((target[triangles] - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        for index in order.tolist():  # far to near
            cv2.fillConvexPoly(labels, corners[index], index, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
        per_pixel = affine.reshape(-1, 6)[labels]
        x = np.arange(self.size, dtype=np.float32) + 0.5
        y = x[:, None]
        map_x = per_pixel[..., 0] * x + per_pixel[..., 1] * y + per_pixel[..., 2]
        map_y = per_pixel[..., 3] * x + per_pixel[..., 4] * y + per_pixel[..., 5]
        return map_x - 0.5, map_y - 0.5  # OpenCV's pixel centres are whole numbers

    def _own_lids(self, face: np.ndarray) -> None:
        """Scale the blinks so that 1 closes the eyes of this face (478,3), whose opening is not the model's."""
        for side, upper, lower in (("Right", *topology.LID_RIGHT), ("Left", *topology.LID_LEFT)):
            blink = self._units[self.unit_names.index(f"eyeBlink{side}")]
            opening = face[lower, :2] - face[upper, :2]
            closing = float((blink[upper, :2] - blink[lower, :2]) @ opening)
            if closing > 0:
                blink *= np.clip(float(opening @ opening) / closing, 0.3, 2.5)

    def _close_lips(self, face: np.ndarray) -> np.ndarray:
        """Bring the inner lips together; both lips keep their thickness and the skin around follows smoothly."""
        across, down = _mouth_axes(face)
        x, y = face[:, :2] @ across, face[:, :2] @ down
        upper, lower = mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP
        middle = (y[upper] + y[lower]) / 2
        where = (x[upper] + x[lower]) / 2
        gap = y[lower] - y[upper]
        order = np.argsort(where)
        line = np.interp(x, where[order], (middle - 0.05 * gap)[order])
        gap_at = np.interp(x, where[order], gap[order], left=0.0, right=0.0)
        ipd = self.pupil_distance
        below = y > line
        below[list(topology.LIP_LOWER)] = True
        below[list(topology.LIP_UPPER)] = False
        reach = np.exp(-((np.maximum(np.abs(y - line) - 0.25 * ipd, 0) / (0.3 * ipd)) ** 2))
        step = np.where(below, -0.55, 0.45) * gap_at * reach
        closed = face.copy()
        closed[:, :2] += step[:, None] * down
        middles = (closed[upper] + closed[lower]) / 2
        closed[upper] = closed[lower] = middles
        return closed

    def _lips_apart(self, source: np.ndarray) -> np.ndarray:
        """Texture coordinates of the inner lips moved into the lips where teeth show, so that teeth stay out."""
        _, down = _mouth_axes(source)
        gap = (source[mesh.INNER_LOWER_LIP, :2] - source[mesh.INNER_UPPER_LIP, :2]) @ down
        inward = np.clip(gap, 0, 0.025 * self.pupil_distance)[:, None] * down
        apart = source.copy()
        apart[mesh.INNER_UPPER_LIP[1:-1], :2] -= inward[1:-1]
        apart[mesh.INNER_LOWER_LIP[1:-1], :2] += inward[1:-1]
        return apart


def _cut_out_whole(portrait: np.ndarray, landmarks: np.ndarray) -> Cutout:
    """Cut out of a portrait of which nothing beyond the frame is known; its last rows and columns go on."""
    margin = round(MARGIN * len(portrait))
    wide = cv2.copyMakeBorder(portrait, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    frame = slice(margin, margin + len(portrait))
    return cut_out(wide, landmarks + np.array([margin, margin, 0]), margin, (frame, frame))


def _keep_brows_thick(units: np.ndarray) -> None:
    """Both edges of a brow move like the one that moves more: hair does not shrink. (E,478,3), changed in place."""
    for upper, lower in BROWS:
        first, second = units[:, upper], units[:, lower]
        more = np.linalg.norm(first, axis=2, keepdims=True) >= np.linalg.norm(second, axis=2, keepdims=True)
        units[:, upper] = units[:, lower] = np.where(more, first, second)


def _share(unit_name: str) -> float:
    for prefix, share in NEUTRALISED.items():
        if unit_name.startswith(prefix):
            return share
    raise ValueError(f"unit {unit_name!r} belongs to no known part of the face")


def _mouth_axes(face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (2,) along the line of the lips and down the face."""
    across = face[308, :2] - face[78, :2]
    across = across / np.linalg.norm(across)
    return across, np.array([-across[1], across[0]])


def _without_crossing(face: np.ndarray) -> np.ndarray:
    """Lips and lids that would pass through each other meet in between; (478,3), changed in place."""
    down = _mouth_axes(face)[1]
    openings = (
        ((mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP), 0.5, (_UPPER_ROWS, _LOWER_ROWS)),
        (mesh.RIGHT_EYE, 0.9, ((), ())),  # the upper lid gives way more than the lower one
        (mesh.LEFT_EYE, 0.9, ((), ())),
    )
    for (uppers, lowers), share, (upper_rows, lower_rows) in openings:
        overlap = np.minimum((face[lowers[1:-1], :2] - face[uppers[1:-1], :2]) @ down, 0)[:, None] * down
        for row in (uppers[1:-1], *upper_rows):
            face[row, :2] += share * overlap
        for row in (lowers[1:-1], *lower_rows):
            face[row, :2] -= (1 - share) * overlap
    return face


def _areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the signed area of each triangle (T,)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    return ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
