"""The photo puppet: what is asked of it is seen in its frames, by the landmark detector and by its own ground truth."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from svp.datasets.corpus import load_puppet
from svp.datasets.puppet import Puppet
from svp.datasets.visemes import expand
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


def test_frame_covers_everything_and_keeps_the_border(puppet: Puppet) -> None:
    moved = puppet.move(expand({"jawOpen": 0.6}, UNITS), yaw(15.0), np.array([0.05, 0.03]))
    frame = puppet.draw(moved)
    assert frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8
    border = np.ones((SIZE, SIZE), bool)
    border[2:-2, 2:-2] = False
    assert np.abs(frame.astype(int) - puppet.portrait)[border].mean() < 4
    target = np.concatenate([moved.landmarks[:468, :2], moved.rings])
    for places in puppet._inverse_map(target, moved.landmarks[:, 2]):
        assert np.isfinite(places).all()
        outside = np.maximum(-places, places - SIZE).max()
        assert outside < 0.1 * SIZE, "nothing is read from far outside the portrait"


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
