"""The person and the background behind: together they are the picture, apart each is whole."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from svp.datasets.cutout import cut_out, filled, person_alpha
from svp.face.crop import portrait_crop
from svp.face.landmarks import require_landmarks
from svp.media.image import read_image

SIZE, MARGIN = 160, 20


@pytest.mark.parametrize(
    "name",
    [
        "portraits/anitalker_monalisa.jpg",
        "portraits/anitalker_statue.jpg",
        "portraits/liveportrait_s6.jpg",
        "portraits_official/wiki_021979.jpg",  # curly hair before a flag
        "portraits_official/bio_029123.jpg",  # glasses, a picture frame
    ],
)
def test_head_and_shoulders_are_the_person_and_the_corners_are_not(shared: Path, name: str) -> None:
    path = shared / "data" / name
    image = read_image(path)
    landmarks = require_landmarks(image, path)
    crop = portrait_crop(landmarks, SIZE, image.shape[:2]).widened(MARGIN / SIZE)
    picture, points = crop.apply(image, cv2.BORDER_REPLICATE), crop.points(landmarks)
    alpha = person_alpha(picture, points[:, :2])
    chin, forehead = points[152, :2], points[10, :2]
    for height, least in ((-0.08, 0.9), (0.5, 1.0), (1.25, 0.9)):  # hair, face, neck
        x, y = (forehead + height * (chin - forehead)).astype(int)
        assert alpha[y - 2 : y + 3, x - 2 : x + 3].mean() >= least, height
    assert alpha[MARGIN : MARGIN + 8, [MARGIN + 4, -MARGIN - 4]].mean() < 0.1
    assert 0.3 < alpha.mean() < 0.9

    cutout = cut_out(picture, points, MARGIN, crop.covered(image.shape[:2]))
    assert cutout.person.shape == (SIZE + 2 * MARGIN, SIZE + 2 * MARGIN, 4)
    assert (cutout.person[..., :3] <= cutout.person[..., 3:]).all(), "colours are multiplied by alpha"
    frame = slice(MARGIN, MARGIN + SIZE)
    same = np.abs(cutout.composed().astype(int) - picture[frame, frame]).mean(2)
    assert same[cutout.person[frame, frame, 3] == 255].max() <= 2
    assert same.mean() < 4


def test_filling_keeps_what_is_known_and_continues_it() -> None:
    ramp = np.repeat(np.linspace(0, 200, 64, dtype=np.float32)[None, :, None], 64, 0).repeat(3, 2)
    known = np.ones((64, 64), np.float32)
    known[20:44, 20:44] = 0
    hidden = np.where(known[..., None] > 0, ramp, 255)
    result = filled(hidden.astype(np.float32), known)
    assert np.abs(result - ramp)[known > 0].max() < 1e-3
    assert np.abs(result - ramp)[known == 0].mean() < 12, "nothing of the hidden part is left"
