"""The inside of the puppet's mouth: a dark cavity, teeth that stay with the skull and the jaw, a tongue, soft shading.

Everything is painted: the portrait's own teeth are seen under one smile only. Lengths are in pupil distances (about
63 mm), so an upper incisor of 10 mm is 0.16. Pixels: continuous, the centre of the first pixel is 0.5, 0.5.
"""

import cv2
import numpy as np

from svp.face import topology

FINE = 4  # the outline of the lips is drawn this much larger
TEXELS = 160  # texture pixels per pupil distance
TEETH_WIDTH = 0.74  # of the visible arch
UPPER_TEETH = (-0.12, 0.055)  # top and edge of the upper teeth, from the line where the lips meet
LOWER_TEETH = (-0.005, 0.12)  # edge and root of the lower teeth, from the same line moved with the jaw
INCISOR = 0.115  # width of the middle tooth; the others get narrower towards the sides
CHEEKS = (50, 280, 205, 425)  # landmarks whose colour tells the light


class Mouth:
    """The mouth of one portrait.

    Args:
        portrait: (S,S,3) uint8 RGB.
        source: (478,3) landmarks of the portrait.
        neutral: (478,3) the same with a neutral expression and closed lips.
    """

    def __init__(self, portrait: np.ndarray, source: np.ndarray, neutral: np.ndarray) -> None:
        self._unit = float(np.linalg.norm(source[468, :2] - source[473, :2]))
        self._offset = _lip_line(neutral) - source[[*topology.MOUTH_CORNERS, 4, 168], :2].mean(0)
        self._jaw_rest = _jaw(neutral) - _lip_line(neutral)
        light, lips = _colours(portrait, source)
        self._cavity = lips * 0.16
        self._tongue = lips * 0.62
        self._upper = _teeth(light, *UPPER_TEETH, edge_down=True)
        self._lower = _teeth(light * 0.82, *LOWER_TEETH, edge_down=False)

    def paint(self, frame: np.ndarray, landmarks: np.ndarray, still: np.ndarray) -> None:
        """Draw what the open lips show.

        Args:
            frame: (S,S,3) uint8, changed in place.
            landmarks: (478,3) of the frame.
            still: (478,3) the portrait's own landmarks in the head pose of the frame, without expression and gaze.
        """
        ring = landmarks[list(topology.LIPS_INNER), :2].astype(np.float64)
        low = np.maximum(np.floor(ring.min(0)).astype(int) - 3, 0)
        high = np.minimum(np.ceil(ring.max(0)).astype(int) + 4, frame.shape[0])
        if (high <= low).any():
            return
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        # OpenCV draws half a pixel of outline; at four times the size it does not open closed lips.
        fine = np.zeros((size[1] * FINE, size[0] * FINE), np.uint8)
        cv2.fillPoly(fine, [np.rint(((ring - low) * FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
        soft = cv2.resize(fine, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        soft = np.clip(soft * 1.5 - 0.5, 0, 1)
        if not soft.any():
            return
        across = still[454, :2].astype(np.float64) - still[234, :2]
        across = landmarks[308, :2].astype(np.float64) - landmarks[78, :2] if not across.any() else across
        across /= np.linalg.norm(across)
        down = np.array([-across[1], across[0]])
        # Turning the head narrows the arch as it narrows the face.
        eyes = float(np.linalg.norm(still[468, :2] - still[473, :2]))
        skull = still[[*topology.MOUTH_CORNERS, 4, 168], :2].mean(0) + self._offset
        jaw = _jaw(landmarks) - self._jaw_rest
        drop = float((jaw - skull) @ down)
        upper = _place(self._upper, skull, across * eyes, down * self._unit, low, size, UPPER_TEETH[0])
        lower_at = skull + down * drop + across * float((jaw - skull) @ across)
        lower = _place(self._lower, lower_at, across * eyes, down * self._unit, low, size, LOWER_TEETH[0])

        x = np.arange(size[0]) + low[0] + 0.5
        y = (np.arange(size[1]) + low[1] + 0.5)[:, None]
        aside = ((x - lower_at[0]) * across[0] + (y - lower_at[1]) * across[1]) / self._unit
        beneath = ((x - lower_at[0]) * down[0] + (y - lower_at[1]) * down[1]) / self._unit
        tongue = np.exp(-((aside / 0.22) ** 2) - ((beneath - 0.02) / 0.11) ** 2)[..., None] * min(
            1.0, drop / (0.2 * self._unit) + 0.2
        )
        picture = self._cavity + np.clip(tongue, 0, 1) * (self._tongue - self._cavity)
        blur = max(0.05 * self._unit, 1.0)
        depth = cv2.GaussianBlur(soft, (0, 0), blur, borderType=cv2.BORDER_CONSTANT)
        shade = np.clip(0.25 + 0.95 * depth, 0, 1)[..., None]  # light does not reach what is close to the lips
        picture = picture * shade
        picture = picture + lower[..., 3:] * (lower[..., :3] * (0.55 + 0.45 * shade) - picture)
        picture = picture + upper[..., 3:] * (upper[..., :3] * (0.65 + 0.35 * shade) - picture)
        sides = np.clip(1.15 - (np.abs(aside) / 0.42) ** 2, 0.15, 1)[..., None]
        weight = cv2.GaussianBlur(soft, (3, 3), 0)[..., None]
        region = frame[low[1] : high[1], low[0] : high[0]]
        region[:] = np.clip(np.rint(region + weight * (picture * sides - region)), 0, 255).astype(np.uint8)


def _lip_line(landmarks: np.ndarray) -> np.ndarray:
    """Middle (2,) of the line between the lips."""
    return landmarks[list(topology.LIPS_MIDDLE), :2].mean(0).astype(np.float64)


def _jaw(landmarks: np.ndarray) -> np.ndarray:
    """A point (2,) that moves with the jaw: between the chin and the gum below the lower lip."""
    return landmarks[[topology.CHIN, 18, 200], :2].mean(0).astype(np.float64)


def _colours(portrait: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour of lit teeth and of the lips in this picture's light; both RGB (3,) float."""

    def patch(points: tuple[int, ...]) -> np.ndarray:
        picture = cv2.GaussianBlur(portrait, (7, 7), 0)
        xy = np.clip(source[list(points), :2].astype(int), 0, portrait.shape[0] - 1)
        return picture[xy[:, 1], xy[:, 0]].astype(np.float64)

    skin = patch(CHEEKS)
    bright = np.percentile(skin.mean(1), 80)
    tint = skin.mean(0) / max(skin.mean(), 1.0)
    level = np.clip(0.55 * bright + 85, 60, 225)
    # Teeth take little of the skin's hue, but a grey or sepia picture has no white teeth.
    teeth = level * (1 + 0.35 * (tint - 1)) * np.array([1.0, 0.985, 0.94] if np.ptp(tint) > 0.12 else [1.0, 1.0, 1.0])
    lips = patch((*topology.LIP_UPPER[9:18:2], *topology.LIP_LOWER[9:18:2])).mean(0)
    return np.clip(teeth, 0, 240), lips


def _teeth(colour: np.ndarray, top: float, bottom: float, *, edge_down: bool) -> np.ndarray:
    """A row of teeth with gums, RGBA float32 (h,w,4), alpha 0 to 1; its biting edge is slightly curved."""
    width, height = round(TEETH_WIDTH * TEXELS), round((bottom - top) * TEXELS)
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = ((np.arange(height) + 0.5) / height)[:, None]
    along = y if edge_down else 1 - y  # 0 at the root, 1 at the edge
    borders = np.cumsum(INCISOR * np.array([1.0, 0.8, 0.85, 0.7, 0.6])) / (TEETH_WIDTH / 2)
    lines = np.concatenate([[0.0], borders, -borders])
    distance = np.abs(x[:, None] - lines).min(1) * TEETH_WIDTH / 2
    gap = 1 - 0.38 * np.exp(-((distance / 0.012) ** 2)) * (0.35 + 0.65 * along)
    edge = 1 - 0.22 * x**2 - 0.06 * np.exp(-((distance / 0.014) ** 2))
    alpha = np.clip((edge - along) * height / 2 + 0.5, 0, 1) * np.clip((1 - np.abs(x)) * 6, 0, 1)
    gum = np.clip((0.30 + 0.05 * np.cos(x * 20) - along) * 6, 0, 1)[..., None]
    round_off = 1 - 0.5 * np.abs(x) ** 2
    shade = (gap * round_off * (0.86 + 0.14 * along))[..., None]
    enamel = colour * shade
    flesh = np.array([0.72, 0.40, 0.40]) * colour.mean() * round_off[None, :, None]
    if np.ptp(colour) < 0.03 * colour.mean():
        flesh = np.full(3, 0.5 * colour.mean()) * round_off[None, :, None]
    rgb = enamel + gum * (flesh - enamel)
    return np.concatenate([rgb, np.broadcast_to(alpha, (height, width))[..., None]], 2).astype(np.float32)


def _place(
    texture: np.ndarray,
    at: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    low: np.ndarray,
    size: tuple[int, int],
    top: float,
) -> np.ndarray:
    """A texture warped into a region: `at` is the middle of the lip line, `across` and `down` one pupil distance."""
    width = texture.shape[1]
    matrix = np.stack([across / TEXELS, down / TEXELS], 1)
    origin = at - low - 0.5 + top * down - matrix @ np.array([width / 2 - 0.5, -0.5])
    premultiplied = texture.copy()
    premultiplied[..., :3] *= texture[..., 3:]
    warped = cv2.warpAffine(premultiplied, np.column_stack([matrix, origin]), size, flags=cv2.INTER_LINEAR)
    warped[..., :3] = warped[..., :3] / np.maximum(warped[..., 3:], 1e-3)
    return warped
