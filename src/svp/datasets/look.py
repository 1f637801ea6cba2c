"""Looks: one portrait becomes several people by other light, colours, background, sharpness, face shape and side.

A look belongs to an identity: all its clips share it, or a reference frame would not show what a frame shows.

Shapes: S side of the frame, L side of the picture with its rim (cutout.py), K identity axes of the face model.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from svp.datasets.backdrop import BACKDROPS, Backdrop, paint_backdrop
from svp.datasets.cutout import Cutout
from svp.face.fit import fit_clip
from svp.face.model import FaceModel
from svp.face.topology import N_SURFACE

OWN_BACKGROUND = 0.4  # share of the looks that keep the portrait's background
SHAPE_SPREAD = 0.4  # standard deviation of a changed face along each identity axis, in those of the population
GRID = 8  # the smooth warp is evaluated every so many pixels and interpolated between
GAMMA = 2.2
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True, eq=False)
class Look:
    """How a portrait is changed. The default changes nothing.

    Attributes:
        mirror: left and right are exchanged.
        shape: (K,) what is added to the face's identity, in standard deviations; None leaves it.
        exposure: brightness in stops.
        light: how many stops brighter the face is on the side the light comes from than in the middle.
        light_angle: where it comes from, in radians from the right, clockwise.
        warmth: gain of red over blue.
        hue: turn of all hues in radians.
        saturation, contrast: factors.
        backdrop: the painted background; None keeps the portrait's.
        blur: sigma in sides of the frame.
        noise: standard deviation of the grain in grey levels.
        seed: of backdrop and grain.
    """

    mirror: bool = False
    shape: np.ndarray | None = None
    exposure: float = 0.0
    light: float = 0.0
    light_angle: float = 0.0
    warmth: float = 0.0
    hue: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    backdrop: Backdrop | None = None
    blur: float = 0.0
    noise: float = 0.0
    seed: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Look":
        """A random look."""
        kept = rng.random() < OWN_BACKGROUND
        return cls(
            mirror=bool(rng.random() < 0.5),
            shape=rng.normal(0, SHAPE_SPREAD, len(FaceModel.load().identity)),
            exposure=rng.uniform(-0.5, 0.35),
            light=rng.uniform(0, 0.6),
            light_angle=rng.uniform(0, 2 * np.pi),
            warmth=rng.normal(0, 0.06),
            hue=rng.normal(0, 0.08),
            saturation=rng.uniform(0.65, 1.25),
            contrast=rng.uniform(0.85, 1.15),
            backdrop=None if kept else BACKDROPS[int(rng.integers(len(BACKDROPS)))],
            blur=max(0.0, rng.uniform(-0.004, 0.004)),
            noise=max(0.0, rng.uniform(-4, 4)),
            seed=int(rng.integers(1 << 31)),
        )

    def reshaped(self, picture: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The picture (L,L,3) of a face of another shape, with its landmarks (478,3); head and hair go along."""
        if self.shape is None:
            return picture, landmarks
        model = FaceModel.load()
        fit = fit_clip(landmarks[None], model)
        axes = np.tensordot(self.shape, model.identity.astype(np.float64), 1)
        axes = _without_similarity(axes, model.neutral.astype(np.float64))
        target = landmarks + float(fit.scale[0]) * axes @ np.asarray(fit.rotation[0], np.float64).T
        ticks = np.linspace(0, len(picture), 4)
        rim = [(x, y) for x in ticks for y in ticks if {x, y} & {ticks[0], ticks[-1]}]
        where = RBFInterpolator(
            np.vstack([target[:N_SURFACE, :2], rim]), np.vstack([landmarks[:N_SURFACE, :2], rim]), smoothing=1.0
        )
        grid = np.arange(0, len(picture) + GRID, GRID, dtype=np.float64)
        coarse = where(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)).reshape(len(grid), len(grid), 2)
        place = np.arange(len(picture), dtype=np.float32) + 0.5
        fine = np.meshgrid(place / GRID, place / GRID)
        x, y = cv2.split(cv2.remap(coarse.astype(np.float32), *fine, cv2.INTER_LINEAR) - np.float32(0.5))
        return cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), target

    def lit(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """The picture (L,L,3) uint8 in other light and colours."""
        if (self.exposure, self.light, self.warmth, self.hue, self.saturation, self.contrast) == (0, 0, 0, 0, 1, 1):
            return picture
        face = landmarks[:N_SURFACE, :2]
        centre, radius = (face.min(0) + face.max(0)) / 2, np.ptp(face, axis=0).max() / 2
        y, x = np.mgrid[0 : len(picture), 0 : len(picture)].astype(np.float32) + 0.5
        towards = (x - centre[0]) * np.cos(self.light_angle) + (y - centre[1]) * np.sin(self.light_angle)
        stops = self.exposure + self.light * np.tanh(towards / radius)
        linear = (picture / np.float32(255)) ** GAMMA * np.exp2(stops)[..., None]
        linear *= np.array([1 + self.warmth, 1, 1 - self.warmth], np.float32)
        seen = np.clip(linear, 0, None) ** (1 / GAMMA)
        turn = self.saturation * np.array(
            [
                [1 / self.saturation, 0, 0],
                [0, np.cos(self.hue), -np.sin(self.hue)],
                [0, np.sin(self.hue), np.cos(self.hue)],
            ]
        )
        seen = seen @ (np.linalg.inv(TO_YIQ) @ turn @ TO_YIQ).T.astype(np.float32)
        seen = 0.5 + self.contrast * (seen - 0.5)
        return np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8)

    def dressed(self, cutout: Cutout) -> Cutout:
        """The two layers with another background, less sharp, with grain."""
        rng, size = np.random.default_rng(self.seed), len(cutout.background)
        person, background = cutout.person, cutout.background
        if self.backdrop is not None:
            background = paint_backdrop(self.backdrop, size, rng)
        if self.blur * size > 0.2:
            person = cv2.GaussianBlur(person, (0, 0), self.blur * size)
            background = cv2.GaussianBlur(background, (0, 0), self.blur * size)
        if self.noise:
            person, background = person.copy(), _grainy(background, self.noise, rng)
            alpha = person[..., 3:]
            person[..., :3] = np.minimum(_grainy(person[..., :3], self.noise * (alpha / 255), rng), alpha)
        return Cutout(person, background, cutout.margin)


def look_of(identity_seed: tuple[int, ...], number: int) -> Look:
    """The look of an identity: number 0 is the portrait as it is."""
    return Look.draw(np.random.default_rng([*identity_seed, 4])) if number else Look()


def _grainy(picture: np.ndarray, sigma: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = cv2.GaussianBlur(rng.normal(0, 1.6, picture.shape[:2]), (0, 0), 0.6)
    return np.clip(np.rint(picture + sigma * grain[..., None]), 0, 255).astype(np.uint8)


def _without_similarity(change: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A displacement (478,3) of a shape without what moves and scales all of it."""
    change = change - change.mean(0)
    centred = shape - shape.mean(0)
    return change - centred * float((change * centred).sum() / (centred**2).sum())
