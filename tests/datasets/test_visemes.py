"""Speech becomes mouth motion: closures close, vowels open, pauses rest, loudness scales."""

import numpy as np
import pytest

from svp.datasets.emotions import EMOTIONS, emotion_track
from svp.datasets.habits import Habits
from svp.datasets.performance import perform_speech
from svp.datasets.phones import Phone
from svp.datasets.visemes import LEAD_SECONDS, expand, speech_track
from svp.face.model import FaceModel

MODEL = FaceModel.load()
JAW = MODEL.unit("jawOpen")


def spoken(*phones: str, seconds: float = 0.12) -> list[Phone]:
    return [Phone(name, k * seconds, (k + 1) * seconds) for k, name in enumerate(phones)]


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, round(seconds * 16000)).astype(np.float32)


def test_vowels_open_closures_close_pauses_rest() -> None:
    phones = spoken("pau", "pau", "aa", "m", "aa", "p", "aa", "pau", "pau", "pau", seconds=0.16)
    track, shut = speech_track(phones, noise(1.6), 40, MODEL.unit_names)
    jaw = track[:, JAW]
    vowels, closures = [9, 17, 25], [13, 21]  # a frame before they are heard
    assert min(jaw[vowels]) > 0.3
    assert max(jaw[closures]) < 0.05 and min(shut[closures]) > 0.9
    assert jaw[0] < 0.01 and jaw[-1] < 0.02


@pytest.mark.parametrize("bilabial", ["b", "p", "m"])
def test_a_short_closure_is_seen_in_some_frame(bilabial: str) -> None:
    for offset in np.linspace(0, 0.04, 5):
        phones = [
            Phone("aa", 0, 0.4 + offset),
            Phone(bilabial, 0.4 + offset, 0.45 + offset),
            Phone("aa", 0.45 + offset, 1),
        ]
        track, shut = speech_track(phones, noise(1.0), 25, MODEL.unit_names)
        assert shut.max() > 0.9
        assert track[8:15, JAW].min() < 0.06


def test_opening_leads_the_vowel_a_little() -> None:
    phones = [Phone("pau", 0, 1.0), Phone("aa", 1.0, 1.2), Phone("pau", 1.2, 2.0)]
    track, _ = speech_track(phones, noise(2.0), 50, MODEL.unit_names)
    assert abs(int(track[:, JAW].argmax()) - (1.1 - LEAD_SECONDS) * 25) <= 0.5


def test_loud_parts_open_further_and_unknown_phones_do_not_stop() -> None:
    phones = spoken("aa", "??", "aa", seconds=0.4)
    audio = noise(1.2)
    audio[:6400] *= 0.1
    track, _ = speech_track(phones, audio, 30, MODEL.unit_names)
    assert track[24, JAW] > 1.2 * track[3, JAW]


def test_rounding_differs_from_spreading() -> None:
    rounded, _ = speech_track(spoken("uw", "uw", "uw"), noise(0.36), 9, MODEL.unit_names)
    spread, _ = speech_track(spoken("iy", "iy", "iy"), noise(0.36), 9, MODEL.unit_names)
    pucker, stretch = MODEL.unit("mouthPucker"), MODEL.unit("mouthStretchLeft")
    assert rounded[4, pucker] > 0.5 > 0.1 > spread[4, pucker]
    assert spread[4, stretch] > 0.2 > rounded[4, stretch]


def test_unit_names_are_checked() -> None:
    with pytest.raises(ValueError, match="no unit 'jawopen'"):
        expand({"jawopen": 1.0}, MODEL.unit_names)
    assert expand({"mouthSmile": 1.0}, MODEL.unit_names).sum() == 2


def test_emotions_grow_with_intensity_and_differ() -> None:
    means = {}
    for emotion in EMOTIONS:
        tracks = [
            emotion_track(emotion, level, 50, MODEL.unit_names, np.random.default_rng(1), np.random.default_rng(2))
            for level in range(4)
        ]
        sizes = [float(np.abs(track).sum()) for track in tracks]
        assert sizes[0] == 0
        if emotion != "neutral":
            assert sizes[1] < sizes[2] < sizes[3]
            means[emotion] = tracks[3].mean(0)
    names = sorted(means)
    for first in names:
        for second in names:
            if first < second:
                cosine = means[first] @ means[second] / np.linalg.norm(means[first]) / np.linalg.norm(means[second])
                assert cosine < 0.85, (first, second)


def test_habits_belong_to_the_identity() -> None:
    first, again, other = (Habits.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.blink_rate == again.blink_rate != other.blink_rate
    rng = np.random.default_rng(0)
    closed = np.concatenate([first.blinks(500, rng) for _ in range(20)])
    blinks = int(((closed[1:] >= 1) & (closed[:-1] < 1)).sum())
    assert 0.5 < blinks / (len(closed) / 25) / first.blink_rate < 1.2
    rotation, translation = first.head(100, rng, np.zeros(100), liveliness=5.0, yaw_range=(-0.1, 0.3))
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.arcsin(rotation[:, 0, 2]).min() > -0.11 and np.abs(translation).max() < 1


def test_performance_is_deterministic_and_speaks_through_an_emotion() -> None:
    phones = spoken("pau", "m", "aa", "b", "ae", "m", "iy", "pau", seconds=0.2)
    audio = noise(1.6)

    def perform(clip: int) -> np.ndarray:
        arguments = (phones, audio, 0, 40, "fear", 3, MODEL, (0, 5), (0, 5, 3, clip), (-0.3, 0.3))
        return perform_speech(*arguments).expression

    assert np.array_equal(perform(0), perform(0))
    assert not np.array_equal(perform(0), perform(1))
    expression = perform(0)
    assert expression[:, JAW].max() > 0.25
    bilabial = round(0.3 * 25)
    for name in ("jawOpen", "mouthLowerDownLeft", "mouthUpperUpRight"):
        assert expression[bilabial, MODEL.unit(name)] < 0.06
    assert expression[:, MODEL.unit("browInnerUp")].mean() > 0.5
