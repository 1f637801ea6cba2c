"""Looks: many people from one portrait, each the same whenever it is made again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svp.datasets.backdrop import BACKDROPS, paint_backdrop
from svp.datasets.corpus import load_puppet
from svp.datasets.look import TO_YIQ, Look, look_of
from svp.face.model import FaceModel
from svp.face.topology import MOUTH_CORNERS

SIZE = 96
STILL = np.zeros(len(FaceModel.load().unit_names))


@pytest.fixture(scope="module")
def portrait(shared: Path) -> Path:
    return shared / "data/portraits_official/wiki_021941.jpg"


@pytest.fixture(scope="module")
def plain(portrait: Path) -> np.ndarray:
    return load_puppet(portrait, SIZE).render(STILL)


def test_looks_follow_from_the_identity_and_differ(portrait: Path, plain: np.ndarray) -> None:
    looks = [look_of((0, identity), number) for identity, number in ((5, 1), (6, 1), (5, 1))]
    first, other, again = (load_puppet(portrait, SIZE, look).render(STILL) for look in looks)
    assert np.array_equal(first, again)
    for a, b in ((first, other), (first, plain), (other, plain)):
        assert np.abs(a.astype(int) - b).mean() > 8
    as_it_is = load_puppet(portrait, SIZE, look_of((0, 5), 0)).render(STILL)
    assert np.array_equal(as_it_is, plain)


def test_a_mirrored_person_is_the_mirror_image(portrait: Path, plain: np.ndarray) -> None:
    mirrored = load_puppet(portrait, SIZE, Look(mirror=True)).render(STILL)
    assert np.abs(mirrored[:, ::-1].astype(int) - plain).mean() < 0.4 * np.abs(mirrored.astype(int) - plain).mean()


def test_light_comes_from_its_side_and_colours_turn(portrait: Path) -> None:
    def face(**look: float) -> np.ndarray:
        puppet = load_puppet(portrait, SIZE, Look(**look))
        x, y = puppet.source[list(MOUTH_CORNERS), :2].mean(0).astype(int)
        return puppet.portrait[y - 30 : y, x - 15 : x + 15].astype(float)

    left, right = face(light=0.8, light_angle=np.pi), face(light=0.8)
    assert left[:, :10].mean() > right[:, :10].mean() + 10 and left[:, 20:].mean() < right[:, 20:].mean() - 10
    assert face(exposure=-1).mean() < 0.8 * face().mean()
    assert np.ptp(face(saturation=1e-6).mean((0, 1))) < 1 < np.ptp(face().mean((0, 1)))
    assert face(warmth=0.2)[..., 0].mean() > face()[..., 0].mean() > face(warmth=-0.2)[..., 0].mean()


def test_hues_turn_by_their_angle_and_contrast_stretches_from_grey() -> None:
    """In the plane of YIQ's colours hue is an angle; brightness stays."""
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 166, (32, 32, 3)).astype(np.uint8)  # nothing is clipped
    face = rng.uniform(4, 28, (478, 3))
    own = picture.astype(float) @ TO_YIQ.T
    for angle in (-0.5, 0.3):
        turned = Look(hue=angle).lit(picture, face).astype(float) @ TO_YIQ.T
        assert np.abs(turned[..., 0] - own[..., 0]).max() < 1
        ratio = (turned[..., 1] + 1j * turned[..., 2]) / (own[..., 1] + 1j * own[..., 2])
        strong = np.hypot(own[..., 1], own[..., 2]) > 15
        assert np.abs(ratio[strong] - np.exp(1j * angle)).max() < 0.1
    grey = 127.5
    for factor in (0.5, 1.5):
        harder = Look(contrast=factor).lit(picture, face).astype(float)
        assert np.abs(harder - (grey + factor * (picture.astype(float) - grey))).max() < 1.5


def test_a_painted_background_is_behind_the_person(portrait: Path) -> None:
    own = load_puppet(portrait, SIZE)
    person = own.cutout.person[own.cutout.margin :, own.cutout.margin :, 3][:SIZE, :SIZE]
    for kind in BACKDROPS:
        painted = load_puppet(portrait, SIZE, Look(backdrop=kind, seed=3))
        change = np.abs(painted.portrait.astype(int) - own.portrait).mean(2)
        assert change[person == 255].max() == 0
        assert change[person == 0].mean() > 10
        assert np.array_equal(painted.portrait[person == 0], painted.cutout.background[person == 0])
        first, again, other = (paint_backdrop(kind, SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(first, again) and np.abs(first.astype(int) - other).mean() > 3


def test_another_face_shape_moves_landmarks_and_picture_together(portrait: Path) -> None:
    """A picture of its own coordinates says where each place came from: at a new landmark, from the old one."""
    wide = np.zeros(len(FaceModel.load().identity))
    wide[:4] = 1.0
    own, side = load_puppet(portrait, 256).source.astype(np.float32), 256
    ramp = np.arange(side, dtype=np.uint8)
    for axis, picture in enumerate((np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)))):
        warped, target = Look(shape=wide).reshaped(np.repeat(picture[..., None], 3, 2), own)
        x, y = np.rint(target[:468, :2] - 0.5).astype(int).T
        rounded = target[:468, axis] - np.rint(target[:468, axis] - 0.5) - 0.5
        came_from = warped[y, x, 0] + 0.5 + rounded
        error = np.abs(came_from - own[:468, axis])
        assert np.percentile(error, 95) < 2.0 and error.mean() < 0.7  # lids and lips that meet move as one
    moved = np.linalg.norm(target - own, axis=1)
    assert 3 < moved.max() < 40 and np.linalg.norm((target - own)[:, :2].mean(0)) < 1, "the face stays where it is"


def test_blur_and_grain_are_what_they_say(portrait: Path, plain: np.ndarray) -> None:
    def detail(look: Look) -> float:
        return float(np.abs(np.diff(load_puppet(portrait, SIZE, look).portrait.astype(int), axis=1)).mean())

    assert detail(Look(blur=0.01)) < 0.9 * detail(Look()) < detail(Look()) < detail(Look(noise=6.0, seed=1))
    drawn = Look.draw(np.random.default_rng(0))
    assert detail(replace(drawn, noise=0.0)) <= detail(replace(drawn, noise=8.0))
