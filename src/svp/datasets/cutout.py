"""A portrait cut in two: the person, who moves, and the background, which stays and is whole behind the person.

Shapes: S side of the frame, L = S + 2 * margin side of the picture it is cut from, whose rim lies outside the frame.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from svp.face import topology
from svp.face.person import person_mask

SURE = 0.5  # least mean probability of the face for the mask to be trusted
FINE_EPSILON = 20.0  # grey levels; fainter edges do not draw the outline
HALO = 0.02  # this far from the person, in sides, the background shows some of the hair


@dataclass(frozen=True, eq=False)
class Cutout:
    """The two layers.

    Attributes:
        person: (L,L,4) uint8 RGBA, colours already multiplied by alpha.
        background: (S,S,3) uint8 RGB.
        margin: how far the person's layer reaches beyond the frame, in pixels.
    """

    person: np.ndarray
    background: np.ndarray
    margin: int

    def composed(self, person: np.ndarray | None = None) -> np.ndarray:
        """The frame (S,S,3) with the person as it is, or as a moved layer (S,S,4) shows it."""
        if person is None:
            frame = slice(self.margin, self.margin + len(self.background))
            person = self.person[frame, frame]
        see_through = cv2.cvtColor(255 - person[..., 3], cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(self.background, see_through, None, 1 / 255)
        return cv2.add(np.ascontiguousarray(person[..., :3]), behind)


def cut_out(
    picture: np.ndarray, landmarks: np.ndarray, margin: int, inside: tuple[slice, slice] = (slice(None), slice(None))
) -> Cutout:
    """Cut a person out of a picture.

    Args:
        picture: (L,L,3) uint8 RGB.
        landmarks: (478,3) in its pixels.
        margin: width of the rim outside the frame.
        inside: rows and columns that show something real; what lies beyond is no background.
    """
    side = len(picture)
    rows, columns = (range(side)[span] for span in inside)
    alpha = person_alpha(picture[inside], landmarks[:, :2] - [columns[0], rows[0]])
    # Where the picture cuts a person off, the person goes on.
    alpha = cv2.copyMakeBorder(alpha, rows[0], side - 1 - rows[-1], columns[0], side - 1 - columns[-1],
                               cv2.BORDER_REPLICATE)  # fmt: skip
    known = np.zeros((side, side), np.float32)
    known[inside] = 1
    reach = 2 * round(HALO * side) + 1
    known[cv2.dilate(alpha, np.ones((reach, reach), np.uint8)) > 0.05] = 0
    behind = filled(picture.astype(np.float32), known) if known.any() else picture.astype(np.float32)
    person = _own_colours(picture.astype(np.float32), alpha, reach) * alpha[..., None]
    layers = np.rint(np.dstack([person, 255 * alpha])).astype(np.uint8)
    frame = slice(margin, side - margin)
    return Cutout(layers, np.clip(np.rint(behind[frame, frame]), 0, 255).astype(np.uint8), margin)


def person_alpha(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much of each pixel of a picture (H,W,3) is the person whose landmarks (478,2) are given, (H,W) 0 to 1.

    Where the face itself is not taken for a person's (strange paintings), a head on shoulders is assumed.
    """
    size = picture.shape[:2]
    oval = landmarks[list(topology.FACE_OVAL)]
    face = cv2.fillConvexPoly(np.zeros(size, np.uint8), np.rint(oval).astype(np.int32), 1)
    found = person_mask(picture)
    if found[face > 0].mean() < SURE:
        found = _usual_outline(oval, size)
    # The network sees 256 pixels; the picture itself says where exactly hair ends.
    fine = cv2.ximgproc.guidedFilter(picture, found, max(2, max(size) // 64), FINE_EPSILON**2)
    alpha = np.clip((fine - 0.2) / 0.6, 0, 1)
    _, pieces = cv2.connectedComponents(((alpha > 0.5) | (face > 0)).astype(np.uint8))
    own = pieces == np.bincount(pieces[face > 0]).argmax()  # other people, flags and furniture stay behind
    near = cv2.dilate(own.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.maximum(alpha * near, face.astype(np.float32)).astype(np.float32)


def filled(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Unknown places continue the known ones around them smoothly (push-pull over a pyramid).

    Args:
        picture: (H,W,3) float32.
        known: (H,W) float32, 0 to 1, 1 where the picture is kept; not zero everywhere.
    """
    if min(known.shape) <= 2:
        mean = (picture * known[..., None]).sum((0, 1)) / max(float(known.sum()), 1e-6)
        return np.broadcast_to(mean, picture.shape).astype(np.float32)
    less = cv2.pyrDown(known)
    coarse = cv2.pyrDown(picture * known[..., None]) / np.maximum(less, 1e-6)[..., None]
    below = filled(coarse, np.minimum(2 * less, 1))
    up = cv2.pyrUp(below, dstsize=(known.shape[1], known.shape[0]))
    return up + known[..., None] * (picture - up)


def _own_colours(picture: np.ndarray, alpha: np.ndarray, reach: int) -> np.ndarray:
    """The person's colours without those of the background that shine through at the edge (blur fusion, Forte 2021)."""

    def blurred(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (reach, reach))

    share, near = alpha[..., None], blurred(alpha)[..., None]
    person = blurred(picture * share) / (near + 1e-5)
    behind = blurred(picture * (1 - share)) / (1 - near + 1e-5)
    return np.clip(person + share * (picture - share * person - (1 - share) * behind), 0, 255)


def _usual_outline(oval: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A head with hair on shoulders (H,W) around the oval of a face (36,2)."""
    low, high = oval.min(0), oval.max(0)
    centre, half = (low + high) / 2, (high - low) / 2
    outline = np.zeros(size, np.float32)
    head = centre - [0, 0.15 * half[1]]
    cv2.ellipse(outline, np.rint(head).astype(int).tolist(), np.rint(half * [1.35, 1.3]).astype(int).tolist(),
                0, 0, 360, 1, -1)  # fmt: skip
    shoulders = np.array([centre[0], high[1] + 1.3 * half[1]])
    cv2.ellipse(outline, np.rint(shoulders).astype(int).tolist(), np.rint(half * [2.4, 1.2]).astype(int).tolist(),
                0, 0, 360, 1, -1)  # fmt: skip
    return cv2.GaussianBlur(outline, (0, 0), max(size) / 80)
