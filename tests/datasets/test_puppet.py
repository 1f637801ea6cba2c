"""The photo puppet: what is asked of it is seen in its frames, by the landmark detector and by its own ground truth."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from svp.datasets.corpus import load_puppet
from svp.datasets.cutout import Cutout
from svp.datasets.puppet import Puppet
from svp.datasets.visemes import expand
from svp.face import topology
from svp.face.landmarks import LandmarkDetector
from svp.face.model import FaceModel

SIZE = 256
UNITS = FaceModel.load().unit_names
STILL = np.zeros(len(UNITS))


@pytest.fixture(scope="module")
def puppet(shared: Path) -> Puppet:
    return load_puppet(shared / "data/portraits/anitalker_aiface2.png", SIZE)


@pytest.fixture(scope="module")
def smiling(shared: Path) -> Puppet:
    """A portrait with teeth."""
    return load_puppet(shared / "data/portraits_official/wiki_021538.jpg", SIZE)


@pytest.fixture(scope="module")
def detector() -> Iterator[LandmarkDetector]:
    with LandmarkDetector(static=True) as detector:
        yield detector


def yaw(degrees: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([0.0, np.radians(degrees), 0.0]))[0]


def gap(landmarks: np.ndarray, upper: int, lower: int) -> float:
    """Distance of two points in pupil distances."""
    pupils = np.linalg.norm(landmarks[468, :2] - landmarks[473, :2])
    return float(np.linalg.norm(landmarks[upper, :2] - landmarks[lower, :2]) / pupils)


def test_neutral_frame_is_reproduced_by_its_own_puppet(puppet: Puppet) -> None:
    frame = puppet.render(STILL)
    again = Puppet(frame, puppet.landmarks(STILL), FaceModel.load())
    assert np.abs(again.render(STILL).astype(int) - frame).mean() < 2.0
    face = again.neutral[:468, :2] - puppet.neutral[:468, :2]
    assert np.median(np.linalg.norm(face, axis=1)) < 0.02 * puppet.pupil_distance


def test_neutral_closes_a_smile(smiling: Puppet, detector: LandmarkDetector) -> None:
    assert gap(smiling.source, 13, 14) > 0.04, "the portrait was meant to show its teeth"
    assert gap(smiling.landmarks(STILL), 13, 14) < 0.002
    found = detector.detect(smiling.render(STILL))
    assert found is not None
    assert gap(found, 13, 14) < 0.04
    assert gap(found, 61, 291) < gap(smiling.source, 61, 291), "the corners of the mouth come back in"


def test_jaw_opens_the_mouth_as_the_detector_sees_it(puppet: Puppet, detector: LandmarkDetector) -> None:
    weights = np.linspace(0, 0.8, 9)
    true, seen = [], []
    for weight in weights:
        units = expand({"jawOpen": float(weight)}, UNITS)
        true.append(gap(puppet.landmarks(units), 13, 14))
        found = detector.detect(puppet.render(units))
        assert found is not None
        seen.append(gap(found, 13, 14))
    assert true[-1] > 0.3 and np.all(np.diff(true) > 0)
    assert np.corrcoef(true, seen)[0, 1] > 0.95
    assert abs(seen[-1] - true[-1]) < 0.3 * true[-1]


def test_blink_smile_and_brows_are_seen(puppet: Puppet, detector: LandmarkDetector) -> None:
    rest = detector.detect(puppet.render(STILL))
    shut = detector.detect(puppet.render(expand({"eyeBlink": 1.0}, UNITS)))
    smile = detector.detect(puppet.render(expand({"mouthSmile": 1.0}, UNITS)))
    raised = detector.detect(puppet.render(expand({"browInnerUp": 1.0, "browOuterUp": 1.0}, UNITS)))
    assert rest is not None and shut is not None and smile is not None and raised is not None
    for upper, lower in ((159, 145), (386, 374)):
        assert gap(shut, upper, lower) < 0.65 * gap(rest, upper, lower)
    assert gap(smile, 61, 291) > 1.1 * gap(rest, 61, 291)
    assert gap(raised, 105, 159) > gap(rest, 105, 159) + 0.02
    exact = puppet.landmarks(expand({"eyeBlink": 1.0}, UNITS))
    # The two points are not quite above each other, so something is left even when the lids touch.
    assert gap(exact, 159, 145) < 0.3 * gap(puppet.landmarks(STILL), 159, 145), "1 closes this portrait's eye"


def test_positive_yaw_turns_the_nose_to_the_left_of_the_picture(puppet: Puppet, detector: LandmarkDetector) -> None:
    side = {}
    for degrees in (-12.0, 12.0):
        true = puppet.landmarks(STILL, yaw(degrees))
        found = detector.detect(puppet.render(STILL, yaw(degrees)))
        assert found is not None
        pupils = [468, 473]
        error = np.linalg.norm(found[pupils, :2] - true[pupils, :2], axis=1).mean()
        assert error < 0.06 * puppet.pupil_distance
        side[degrees] = found[4, 0] - found[[33, 263], 0].mean()
    assert side[12.0] < side[-12.0] - 0.2 * puppet.pupil_distance


def test_gaze_moves_the_irises_only(puppet: Puppet, detector: LandmarkDetector) -> None:
    right = puppet.landmarks(STILL, gaze=np.array([0.15, 0.0]))
    left = puppet.landmarks(STILL, gaze=np.array([-0.15, 0.0]))
    assert np.array_equal(right[:468], left[:468])
    seen = [detector.detect(puppet.render(STILL, gaze=np.array([across, 0.0]))) for across in (-0.15, 0.15)]
    assert seen[0] is not None and seen[1] is not None
    moved = (seen[1] - seen[0])[[468, 473], 0]
    true = (right - left)[[468, 473], 0]
    assert np.all(moved > 0.4 * true)


@pytest.mark.parametrize("degrees", [-20.0, -10.0, 10.0, 20.0])
def test_a_turned_head_has_no_holes_and_does_not_fold(puppet: Puppet, degrees: float) -> None:
    """The person's layer is opaque: what is seen through it is a hole. Its map does not run wild or mirror."""
    size, margin = puppet.size, puppet.cutout.margin
    side = size + 2 * margin
    opaque = np.full((side, side, 4), 255, np.uint8)
    blue = np.broadcast_to(np.array([0, 0, 255], np.uint8), (size, size, 3))
    solid = Puppet(puppet.portrait, puppet.source.astype(np.float32), FaceModel.load(), Cutout(opaque, blue, margin))
    moved = solid.move(expand({"jawOpen": 0.6}, UNITS), yaw(degrees), np.array([0.05, 0.03]))
    frame = solid.draw(moved)
    face = cv2.fillPoly(np.zeros((size, size), np.uint8), [np.rint(moved.rings[36:72]).astype(np.int32)], 1) > 0
    for ring in (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT):  # eyes and mouth are painted
        opening = np.rint(moved.landmarks[list(ring), :2]).astype(np.int32)
        face &= cv2.dilate(cv2.fillPoly(np.zeros((size, size), np.uint8), [opening], 1), np.ones((7, 7), np.uint8)) == 0
    assert frame[face].min() == 255
    target = np.concatenate([moved.landmarks[:468, :2], moved.rings])
    inside = cv2.erode(face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    x, y = solid._inverse_map(target, moved.landmarks[:, 2])
    for places in (x, y):
        assert -margin < places[inside].min() and places[inside].max() < size + margin
    determinant = np.diff(x, axis=1)[:-1] * np.diff(y, axis=0)[:, :-1]
    determinant -= np.diff(x, axis=0)[:, :-1] * np.diff(y, axis=1)[:-1]
    folded = ((determinant < -1e-3) & inside[:-1, :-1]).astype(np.uint8)
    assert folded.sum() < 0.006 * inside.sum(), "but for lines where a near part hides a far one"
    assert not cv2.morphologyEx(folded, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).any()


def test_only_the_person_moves_and_the_border_has_no_seam(puppet: Puppet) -> None:
    down = puppet.draw(puppet.move(STILL, yaw(10.0), np.array([0.1, 0.15])))
    rest = puppet.render(STILL)
    assert down.shape == (SIZE, SIZE, 3) and down.dtype == np.uint8
    margin = puppet.cutout.margin
    person = cv2.dilate(puppet.cutout.person[margin:-margin, margin:-margin, 3], np.ones((41, 41), np.uint8)) > 0
    assert (~person).mean() > 0.02
    assert np.array_equal(down[~person], puppet.cutout.background[~person]), "the background stands still"
    hair = slice(SIZE // 2 - 20, SIZE // 2 + 20)  # this head is cut by the upper border of its picture
    assert puppet.cutout.person[margin, margin + hair.start : margin + hair.stop, 3].min() > 200
    assert np.abs(down[0, hair].astype(int) - rest[0, hair]).mean() < 40, "more hair comes in from above"
    shoulders = np.abs(down[-3:].astype(int) - rest[-3:]).mean()
    chin = slice(int(puppet.source[152, 1]) - 20, int(puppet.source[152, 1]))
    assert shoulders < 0.6 * np.abs(down[chin].astype(int) - rest[chin]).mean(), "shoulders hardly follow"


def test_teeth_follow_the_head(puppet: Puppet) -> None:
    """The brightest part of the open mouth goes where the nose goes."""
    units = expand({"jawOpen": 0.6, "mouthUpperUp": 0.5}, UNITS)

    def teeth(shift: float) -> np.ndarray:
        moved = puppet.move(units, translation=np.array([shift, 0.0]))
        mouth = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillPoly(mouth, [np.rint(moved.landmarks[list(topology.LIPS_INNER), :2]).astype(np.int32)], 1)
        light = puppet.draw(moved).min(2).astype(float) * cv2.erode(mouth, np.ones((3, 3), np.uint8))
        bright = np.argwhere(light > 0.7 * light.max())
        assert len(bright) > 20
        return bright.mean(0)[::-1]

    step = teeth(0.2) - teeth(0.0)
    assert abs(step[0] - 0.2 * puppet.pupil_distance) < 1.5 and abs(step[1]) < 1.5


def test_equal_arguments_give_equal_bytes(puppet: Puppet) -> None:
    units = expand({"jawOpen": 0.4, "mouthSmile": 0.5, "eyeBlink": 0.3}, UNITS)
    first = puppet.render(units, yaw(5.0), np.array([0.02, 0.01]), np.array([0.05, 0.0]))
    puppet.render(STILL)
    assert np.array_equal(first, puppet.render(units, yaw(5.0), np.array([0.02, 0.01]), np.array([0.05, 0.0])))


def test_landmarks_are_those_of_the_frame(puppet: Puppet) -> None:
    arguments = (expand({"jawOpen": 0.4}, UNITS), yaw(8.0), np.array([0.02, 0.0]), np.array([0.05, 0.0]))
    assert np.array_equal(puppet.landmarks(*arguments), puppet.move(*arguments).landmarks)


def test_shapes_are_checked() -> None:
    model = FaceModel.load()
    with pytest.raises(ValueError, match="square uint8 RGB"):
        Puppet(np.zeros((64, 48, 3), np.uint8), np.zeros((478, 3), np.float32), model)
    with pytest.raises(ValueError, match="478"):
        Puppet(np.zeros((64, 64, 3), np.uint8), np.zeros((468, 3), np.float32), model)
