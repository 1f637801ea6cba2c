"""Each knob moves its own quantity and leaves the others equal to the bit; unchanged knobs leave the video so."""

import numpy as np
import pytest
import torch
from tiny_pipeline import tone

from svp.diffusion.conditions import Conditions
from svp.diffusion.knobs import Knobs, parse_gaze
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait, head_points
from svp.errors import InputError
from svp.face.head_kps import PUPILS, head_kps
from svp.face.key_points import KEY_POINTS

VOICE = np.abs(np.sin(np.arange(3000) / 7))
OTHERS = [0, 1, 2, 3, 6, 7]  # places of the eight points that are no pupils


def points(portrait: Portrait, frames: int = 1500, motion: str = "natural", seed: int = 0, **knobs: object):
    return head_points(motion, portrait, VOICE[:frames], "pose", seed, knobs=Knobs(**knobs))


def hidden(points: np.ndarray) -> np.ndarray:
    """In which frames the pupils are hidden."""
    hidden_NK = np.isnan(points).any(axis=2)
    assert not hidden_NK[:, OTHERS].any() and (hidden_NK[:, PUPILS[0]] == hidden_NK[:, PUPILS[1]]).all()
    return hidden_NK[:, PUPILS[0]]


def count_blinks(points: np.ndarray) -> int:
    return int((np.diff(hidden(points).astype(int), prepend=0) == 1).sum())


def test_blinks_come_at_their_rate_and_move_nothing_else(portrait: Portrait) -> None:
    own = points(portrait)
    for rate in (0.0, 6.0, 20.0, 60.0):
        changed = points(portrait, blink_rate=rate)
        assert count_blinks(changed) == rate  # in a minute
        assert np.array_equal(changed[:, OTHERS], own[:, OTHERS])
        both = ~hidden(own) & ~hidden(changed)
        assert np.array_equal(changed[both], own[both])
    assert count_blinks(points(portrait, motion="still", blink_rate=12.0)) == 12
    assert not np.array_equal(hidden(points(portrait, blink_rate=20.0, seed=1)), hidden(changed))


def test_blinks_of_a_longer_video_begin_with_those_of_a_shorter_one(portrait: Portrait) -> None:
    long = hidden(points(portrait, 1500, "still", blink_rate=20.0))
    for frames in (1, 40, 77, 700):
        assert np.array_equal(hidden(points(portrait, frames, "still", blink_rate=20.0)), long[:frames])


def test_gaze_moves_the_pupils_alone_to_its_side(portrait: Portrait) -> None:
    own = points(portrait, 300)
    for gaze, axis, sign in (((15.0, 0.0), 0, 1), ((-15.0, 0.0), 0, -1), ((0.0, 8.0), 1, -1), ((0.0, -8.0), 1, 1)):
        changed = points(portrait, 300, gaze=gaze)
        assert np.array_equal(changed[:, OTHERS], own[:, OTHERS])
        assert np.array_equal(hidden(changed), hidden(own))
        shift = (changed - own)[~hidden(own)][:, list(PUPILS), axis]
        assert (sign * shift > 0).all()


def test_head_amplitude_scales_the_way_of_the_head_and_keeps_eyes_and_blinks(portrait: Portrait) -> None:
    rest, own = head_kps(portrait.landmarks), points(portrait, 300)
    halved, doubled = (points(portrait, 300, head_amplitude=amplitude) for amplitude in (0.5, 2.0))
    ways = [np.linalg.norm((p - rest)[:, OTHERS], axis=2).mean() for p in (halved, own, doubled)]
    np.testing.assert_allclose(ways, [ways[1] / 2, ways[1], 2 * ways[1]], rtol=0.1)
    assert np.array_equal(hidden(halved), hidden(own)) and np.array_equal(hidden(doubled), hidden(own))
    still = points(portrait, 300, head_amplitude=0.0)
    assert np.array_equal(still[:, OTHERS], np.repeat(rest[None, OTHERS], 300, axis=0))
    assert np.nanstd(still[:, list(PUPILS)], axis=0).max() > 0  # the eyes go on looking around
    assert np.array_equal(hidden(still), hidden(own))


def conditions(pipeline: SVPPipeline, portrait: Portrait, monkeypatch: pytest.MonkeyPatch, **knobs: object):
    """What each window of a video is told, and the frames."""
    told: list[Conditions] = []
    predict = pipeline.predict_noise
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "predict_noise", lambda x, t, c, **k: (told.append(c), predict(x, t, c, **k))[1])
        frames = pipeline(portrait, tone(1.0), num_inference_steps=1, seed=3, **knobs).frames
    return told, frames


def same(told: list[Conditions], others: list[Conditions], name: str) -> bool:
    """Whether a condition is equal to the bit in all windows."""
    for a, b in zip((getattr(c, name) for c in told), (getattr(c, name) for c in others), strict=True):
        parts = [(a, b)] if torch.is_tensor(a) else [xy for path in a for xy in zip(a[path], b[path], strict=True)]
        if not all(torch.equal(x, y) for x, y in parts):
            return False
    return True


def test_each_knob_has_its_own_condition(pipeline: SVPPipeline, portrait: Portrait, monkeypatch) -> None:
    plain, frames = conditions(pipeline, portrait, monkeypatch)
    neutral = {"mouth_amplitude": 1.0, "head_amplitude": 1.0, "gaze": (0.0, 0.0), "frame": "crop"}
    _, again = conditions(pipeline, portrait, monkeypatch, **neutral)
    assert np.array_equal(again, frames)
    for name, value in {"mouth_amplitude": 1.5, "head_amplitude": 0.0, "blink_rate": 60.0, "gaze": (20, 0)}.items():
        told, changed = conditions(pipeline, portrait, monkeypatch, **{name: value})
        assert not np.array_equal(changed, frames), name
        assert same(told, plain, "reference") and same(told, plain, "audio")
        assert same(told, plain, "head_kps") == (name == "mouth_amplitude"), name
        scales = {(c.audio_scale, c.reference_scale, c.style_scale) for c in told}
        assert scales == {(1.5 if name == "mouth_amplitude" else 1.0, 1.0, 1.0)}


def test_streaming_gives_the_frames_of_offline(pipeline: SVPPipeline, portrait: Portrait) -> None:
    knobs = {"mouth_amplitude": 0.5, "head_amplitude": 1.5, "blink_rate": 60.0, "gaze": (-5.0, 5.0)}
    stream = pipeline.stream(portrait, tone(0.9), num_inference_steps=1, **knobs)
    assert np.array_equal(np.stack(list(stream)), pipeline(portrait, tone(0.9), num_inference_steps=1, **knobs).frames)


def test_values_out_of_reason_are_refused(pipeline: SVPPipeline, portrait: Portrait) -> None:
    for problem, knobs in {
        "mouth_amplitude -1: give 0 to 3": {"mouth_amplitude": -1.0},
        "mouth_amplitude 9": {"mouth_amplitude": 9.0},
        "head_amplitude 2.5: give 0 to 2": {"head_amplitude": 2.5},
        "head_amplitude nan": {"head_amplitude": float("nan")},
        "blink_rate 61: give 0 to 60": {"blink_rate": 61.0},
        "gaze 40,0: give degrees": {"gaze": (40.0, 0.0)},
        "gaze 0,nan": {"gaze": (0.0, float("nan"))},
        "gaze 1: ": {"gaze": (1.0,)},
        "retarget none": {"head_amplitude": 0.5, "head_motion": np.zeros((3, 8, 2)), "retarget": "none"},
    }.items():
        with pytest.raises(InputError, match=problem):
            pipeline.stream(portrait, tone(0.1), **knobs)
    assert parse_gaze("10,-5.5") == (10.0, -5.5)
    for text in ("10", "a,b", "1,2,3", ""):
        with pytest.raises(InputError, match="give degrees right and up"):
            parse_gaze(text)


def test_a_model_without_pupils_refuses_what_they_show(portrait: Portrait) -> None:
    three = KEY_POINTS["v-express"]
    for knobs in (Knobs(blink_rate=0.0), Knobs(gaze=(5.0, 0.0))):
        with pytest.raises(InputError, match="move pupils"):
            head_points("natural", portrait, VOICE[:5], "pose", 0, three, knobs)
    halved = head_points("natural", portrait, VOICE[:60], "pose", 0, three, Knobs(head_amplitude=0.5))
    assert halved.shape == (60, 3, 2)
