"""Make the sample portraits: faces of nobody, each composed of several official portraits.

usage: make_portraits.py PORTRAITS_DIR OUT_DIR

Portraits of similar people are warped to their mean landmarks and averaged, and the head is set before a plain
background. No one person is recognisable in a mean. Most of the pictures are works of the US government (public
domain); a few of those named wiki_* are CC BY or CC BY-SA.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from svp.face.crop import portrait_crop
from svp.face.landmarks import require_landmarks
from svp.face.person import person_mask
from svp.media.image import read_image, write_png

SIZE = 256  # pixels of a sample portrait
PUPILS = 0.24  # distance of the pupils in sides of the portrait
GRID = 8  # the smooth warp is evaluated every GRID pixels and interpolated between

PEOPLE: dict[str, tuple[tuple[str, ...], tuple[int, int, int]]] = {  # name -> (pictures, background RGB)
    "ada": (
        ("wiki_021501.jpg", "wiki_021902.jpg", "wiki_021964.jpg", "wiki_021972.jpg"),
        (176, 190, 205),
    ),
    "bianca": (
        ("bio_041904.jpg", "wiki_022107.jpg", "wiki_022124.jpg", "wiki_022138.jpg"),
        (205, 196, 186),
    ),
    "celeste": (
        ("bio_029733.jpg", "wiki_020106.jpg", "wiki_021530.jpg", "wiki_021764.jpg"),
        (190, 200, 180),
    ),
    "dorian": (
        ("wiki_021900.jpg", "wiki_021916.jpg", "bio_041308.jpg", "bio_020302.jpg"),
        (170, 180, 196),
    ),
    "edgar": (
        ("bio_020109.jpg", "bio_029541.jpg", "bio_029925.jpg", "wiki_020909.jpg", "wiki_021377.jpg"),
        (188, 184, 196),
    ),
    "felix": (
        ("wiki_020962.jpg", "wiki_021104.jpg", "wiki_021525.jpg", "wiki_021720.jpg", "wiki_021154.jpg"),
        (200, 205, 200),
    ),
    # these two come with the package: only pictures of the biographical directory, works of the US government
    "grace": (
        ("bio_020141.jpg", "bio_020314.jpg", "bio_021192.jpg", "bio_029709.jpg", "bio_041904.jpg"),
        (196, 192, 204),
    ),
    "henry": (
        ("bio_020112.jpg", "bio_020127.jpg", "bio_020131.jpg", "bio_020341.jpg", "bio_020523.jpg"),
        (182, 194, 196),
    ),
}


def compose(paths: list[Path], background: tuple[int, int, int]) -> np.ndarray:
    """The mean face of some portraits as (SIZE, SIZE, 3) uint8."""
    pictures, points = [], []
    for path in paths:
        image = read_image(path)
        landmarks = require_landmarks(image, path)
        crop = portrait_crop(landmarks, SIZE, image.shape[:2])
        picture = crop.apply(image)
        person = cv2.GaussianBlur(person_mask(picture), (0, 0), 1.5)
        rgba, moved = upright(np.dstack([picture, 255 * person]).astype(np.float32), crop.points(landmarks)[:, :2])
        pictures.append(rgba)
        points.append(moved)
    mean = np.mean(points, axis=0)
    layers = np.stack([warp(picture, source, mean) for picture, source in zip(pictures, points, strict=True)])
    colour, alpha = layers[..., :3], layers[..., 3:] / 255
    # a common exposure first: means of skin colour agree, so that the average does not look patched
    face = cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.uint8), cv2.convexHull(mean.astype(np.int32)), 1) > 0
    skin = np.stack([picture[face].mean(0) for picture in colour])
    colour = colour * (skin.mean(0) / skin)[:, None, None]
    blended = (colour * alpha).sum(0) / np.maximum(alpha.sum(0), 1e-3)
    blended += 0.8 * (blended - cv2.GaussianBlur(blended, (0, 0), 1.5))  # a mean is soft; give back some contrast
    share = np.clip((alpha.mean(0) - 0.35) / 0.4, 0, 1)
    mask = cv2.GaussianBlur(share * share * (3 - 2 * share), (0, 0), 1.0)[..., None]  # a soft outline of the person
    return np.clip(blended * mask + np.array(background, np.float32) * shade() * (1 - mask), 0, 255).astype(np.uint8)


def upright(picture: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn and scale a picture and its points so that the pupils are level, at a common distance and place."""
    left, right = points[468], points[473]
    angle = np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))
    middle = ((left + right) / 2).tolist()
    matrix = cv2.getRotationMatrix2D(middle, angle, PUPILS * SIZE / np.linalg.norm(right - left))
    matrix[:, 2] += np.array([0.5 * SIZE, 0.44 * SIZE]) - middle
    moved = cv2.warpAffine(picture, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    return moved, points @ matrix[:, :2].T + matrix[:, 2]


def warp(picture: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move the source points of a picture onto the target points, smoothly in between."""
    ticks = (0, SIZE / 2, SIZE)
    frame = np.array([(x, y) for x in ticks for y in ticks if (x, y) != (SIZE / 2, SIZE / 2)])
    where = RBFInterpolator(np.vstack([target, frame]), np.vstack([source, frame]), smoothing=1.0)
    ticks = np.arange(0, SIZE + GRID, GRID, dtype=np.float64)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    coarse = where(grid.reshape(-1, 2)).reshape(grid.shape).astype(np.float32)
    fine = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).astype(np.float32) / GRID
    maps = cv2.remap(coarse, fine, None, cv2.INTER_LINEAR)
    return cv2.remap(picture, maps, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def shade() -> np.ndarray:
    """A plain studio background is a little brighter in the middle."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    return (1.08 - 0.5 * (x**2 + y**2))[..., None]


def main(portraits: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, (files, background) in PEOPLE.items():
        write_png(out / f"{name}.png", compose([portraits / file for file in files], background))
        print(out / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
