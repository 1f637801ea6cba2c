"""A face told by a box: the landmarks around it where there are some, else the mean face; several faces are told."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from svp.diffusion.portrait import prepare_portrait
from svp.errors import InputError, InputWarning
from svp.face.face_box import FaceBox, find_face
from svp.face.head_kps import head_kps
from svp.media.image import read_image

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "portraits"
PLAIN = np.full((300, 400, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def two() -> np.ndarray:
    """A large face on the left, a smaller one on the right."""
    picture = np.full((256, 400, 3), 120, np.uint8)
    picture[:, :256] = read_image(SAMPLES / "ada.png")
    picture[40:168, 264:392] = read_image(SAMPLES / "felix.png")[::2, ::2]
    return picture


def test_of_two_faces_the_largest_is_taken_and_the_box_of_the_other_is_told(two: np.ndarray) -> None:
    with pytest.warns(InputWarning, match=r"pair\.png: 2 faces, the largest is taken .* --face-box ") as told:
        largest = find_face(two, "pair.png")
    assert largest[:468, 0].max() < 256
    other = FaceBox.parse(str(told[0].message).rsplit(" ", 1)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_face(two, "pair.png", other)
        alone = find_face(two[40:168, 264:392].copy(), "felix.png")
    assert found[:468, 0].min() > 264
    assert np.abs(found[:468, :2] - [264, 40] - alone[:468, :2]).max() < 0.05 * other.width


def test_where_no_face_is_seen_the_mean_face_lies_in_the_box() -> None:
    with pytest.raises(InputError, match=r"sky\.png: no face found; .*X,Y,W,H \(--face-box\)"):
        find_face(PLAIN, "sky.png")
    box = FaceBox(100, 60, 120, 140)
    said: list[str] = []
    face = find_face(PLAIN, "sky.png", box, said.append)
    assert said == [f"sky.png: no face is seen in the face box {box}; a mean face that looks to the front is taken"]
    x, y = face[:468, 0], face[:468, 1]
    assert (x.min() + x.max()) / 2 == pytest.approx(160, abs=0.1)
    assert (y.min() + y.max()) / 2 == pytest.approx(130, abs=0.1)
    assert np.ptp(x) * np.ptp(y) == pytest.approx(120 * 140, rel=0.01)


def test_the_crop_and_the_points_follow_from_the_box() -> None:
    small, large = (prepare_portrait(PLAIN, 64, FaceBox(100, 60, side, side)) for side in (60.0, 120.0))
    assert large.crop.side == pytest.approx(2 * small.crop.side)
    np.testing.assert_allclose(head_kps(large.landmarks), head_kps(small.landmarks), atol=4)  # in pixels of the crop
    assert np.abs(small.fit.rotation[0] - np.eye(3)).max() < 0.1  # a frontal face


def test_the_mean_face_is_near_a_true_one(two: np.ndarray) -> None:
    true = find_face(two[:, :256].copy(), "ada.png")
    box = FaceBox.around(true, (256, 256))
    assert np.abs(head_kps(box.mean_face()) - head_kps(true)).max() < 0.08 * box.width


def test_boxes_that_are_none_or_lie_outside_are_refused() -> None:
    assert FaceBox.parse("10,20.5,30,40") == FaceBox(10, 20.5, 30, 40)
    for text, problem in {
        "10,20,30": "give X,Y,W,H",
        "a,b,c,d": "give X,Y,W,H",
        "10,20,30,4": "too small",
        "10,20,-30,40": "too small",
        "10,20,nan,40": "not finite",
    }.items():
        with pytest.raises(InputError, match=problem):
            FaceBox.parse(text)
    for box in ("-5,10,50,50", "380,10,50,50", "10,280,50,50", "900,900,50,50"):
        with pytest.raises(InputError, match=r"sky\.png: face box .* reaches out of the picture of 400 x 300 pixels"):
            find_face(PLAIN, "sky.png", FaceBox.parse(box))
