"""What must hold for whatever lengths, rates, times and options: drawn by hypothesis, the same ones in every run."""

import json
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from svp.diffusion.audio_track import AudioTrack, audio_windows
from svp.diffusion.knobs import MOST_BLINKS, MOST_GAZE, MOST_HEAD, MOST_MOUTH
from svp.diffusion.video import Soundtrack
from svp.diffusion.windows import average_windows, coverage, plan_chunks, plan_windows
from svp.errors import InputError
from svp.face.motion import BLINK_COURSE, HeadMotion, forth_and_back
from svp.jobs.request import VideoRequest
from svp.media import video
from svp.media.audio import SAMPLE_RATE
from svp.media.video import FPS, FRAMES_PER_SECOND, count_frames, nearest_times
from svp.style.cues import Cue, read_cues
from svp.style.gallery import gallery_names, gallery_path
from svp.style.prior import StylePrior
from svp.style.timeline import BLEND_SECONDS, StyleTimeline
from svp.training.options import RECIPES, TrainOptions, recipe

drawn = settings(derandomize=True, max_examples=60, deadline=None, database=None)

frames = st.integers(1, 200)


@st.composite
def sizes(draw):
    """Window, overlap and chunk that fit together."""
    window = draw(st.integers(1, 32))
    return window, draw(st.integers(0, window - 1)), draw(st.integers(window, 96))


@drawn
@given(frames, sizes())
def test_windows_hold_every_frame_and_none_beyond(n_frames, sizes):
    window, overlap, _ = sizes
    windows = plan_windows(n_frames, window, overlap)
    assert windows[0].start == 0 and max(part.stop for part in windows) == windows[-1].stop == n_frames
    assert coverage(windows, n_frames).min() >= 1
    assert {len(part) for part in windows} == {min(window, n_frames)}
    assert all(b.start == a.start + window - overlap for a, b in pairwise(windows[:-1]))
    if len(windows) > 1:  # the last one is shifted back, never further than the one before it
        assert windows[-2].start < windows[-1].start <= windows[-2].stop - overlap
    same = [torch.full((1, 1, len(part), 1, 1), 3.0) for part in windows]
    assert torch.equal(average_windows(windows, same, n_frames).flatten(), torch.full((n_frames,), 3.0))


@drawn
@given(frames, sizes())
def test_chunks_give_every_frame_once_and_know_what_came_before(n_frames, sizes):
    window, overlap, chunk = sizes
    chunks = plan_chunks(n_frames, chunk, window, overlap)
    assert [k for part in chunks for k in range(part.start + part.known, part.stop)] == list(range(n_frames))
    assert all(min(window, n_frames) <= len(part) <= chunk for part in chunks)
    assert all(a.stop == b.start + b.known and b.known >= overlap for a, b in pairwise(chunks))


@drawn
@given(st.integers(0, 30 * SAMPLE_RATE))
def test_a_video_has_25_frames_a_second_of_its_sound(n_samples):
    seconds = Fraction(n_samples, SAMPLE_RATE)
    assert count_frames(n_samples) == max(1, int(FRAMES_PER_SECOND * seconds + Fraction(1, 2)))


@drawn
@given(frames, st.integers(0, 30))
def test_the_sound_of_the_frames_to_come_begins_with_their_first_sample(n_frames, first):
    samples = np.arange(n_frames * SAMPLE_RATE // FRAMES_PER_SECOND, dtype=np.float32)
    heard = np.concatenate([*Soundtrack(samples, first).blocks()])
    assert np.array_equal(heard, samples[first * 640 :])


@drawn
@given(frames, st.sampled_from([1, 10, 12.5, 15, 24, 24000 / 1001, 25, 29.97, 30, 50, 60, 120, 240]))
def test_a_clip_of_any_rate_becomes_25_fps_of_the_same_length(n_frames, rate):
    shown = list(nearest_times(((k / rate, 1 / rate) for k in range(n_frames)), FPS))
    assert len(shown) == max(1, int(n_frames / rate * FPS + 0.5 + 1e-5))
    assert shown == sorted(shown) and shown[0] >= 0 and shown[-1] < n_frames
    late = [k / FPS - index / rate for k, index in enumerate(shown)]
    assert max(map(abs, late)) <= max(1 / rate, 1 / FPS) + 1e-6
    if rate == FPS:
        assert shown == list(range(n_frames))


milliseconds = st.lists(st.integers(-60, 90) | st.integers(-60, 3000), max_size=60)


@drawn
@given(st.integers(-5000, 5000), milliseconds, st.integers(1, 100))
def test_time_stamps_that_jump_back_and_forth_become_25_fps_in_order(first, steps, length):
    stamps = np.cumsum([first, *steps]).tolist()
    kept = [stamp for k, stamp in enumerate(stamps) if k == 0 or stamp > max(stamps[:k])]
    times = [SimpleNamespace(time=stamp / 1000, duration=length, time_base=Fraction(1, 1000)) for stamp in stamps]
    rate = SimpleNamespace(average_rate=Fraction(25), guessed_rate=None)
    with mock.patch.object(video, "decode", lambda *_: iter(times)):
        shown = list(video._resample(video._timed_frames(None, rate, Path("clip.mp4"), 0.0), FPS))
    seconds = Fraction(kept[-1] - first + length, 1000)
    assert len(shown) == max(1, int(FRAMES_PER_SECOND * seconds + Fraction(1, 2)))
    seen = [round(1000 * frame.time) for frame in shown]
    assert seen == sorted(seen) and set(seen) <= set(kept) and seen[0] == first
    ahead = [stamp - first - 40 * k for k, stamp in enumerate(seen)]
    assert max(ahead) <= 40, "a picture is seen before its time"


@drawn
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 3), sizes(), st.booleans())
def test_sound_features_taken_chunk_by_chunk_are_those_of_the_whole(blocks, radius, sizes, zero_edges):
    n_frames = sum(blocks)
    alpha = torch.arange(1.0, n_frames + 1)[:, None]
    track = AudioTrack(iter(alpha.split(blocks)), n_frames, radius, zero_edges)
    window, overlap, chunk = sizes
    for part in plan_chunks(n_frames, chunk, window, overlap):
        whole = audio_windows(alpha, 0, part.start, part.stop, n_frames, radius, zero_edges)
        assert torch.equal(track.windows(part.start, part.stop), whole)


@drawn
@given(st.lists(st.integers(1, 300), max_size=6, unique=True), st.integers(0, 200), st.integers(1, 60))
def test_shares_of_styles_sum_to_one_at_any_time(tenths, start, length):
    times = (0.0, *(tenth / 10 for tenth in sorted(tenths)))
    value = [StylePrior(*(torch.full((2,), float(k)),) * 3, encoder="e") for k in range(len(times))]
    timeline = StyleTimeline(times, tuple(value))
    weights = timeline.weights(start, start + length)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(length))
    assert torch.equal(weights, timeline.weights(0, start + length)[start:])
    for row, second in zip(weights, np.arange(start, start + length) / FPS, strict=True):
        begun = [k for k, time in enumerate(times) if time <= second]
        assert not row[begun[-1] + 1 :].any(), "a style is seen before its time"
        if second - times[begun[-1]] >= BLEND_SECONDS:
            assert row[begun[-1]] == 1


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
within = lambda most, least=0.0: st.floats(least, most, allow_nan=False)  # noqa: E731
drawable = st.characters(categories=("L", "N", "P", "S"), max_codepoint=0x17F)  # letters that the font of labels has
requests = st.fixed_dictionaries(
    {"portrait": words, "audio": words, "style": st.lists(words, min_size=1, max_size=3)},
    optional={
        "style_strength": within(10, -10),
        "mouth-amplitude": within(MOST_MOUTH),
        "head_amplitude": within(MOST_HEAD),
        "blink-rate": st.none() | within(MOST_BLINKS),
        "gaze": st.tuples(within(MOST_GAZE[0], -MOST_GAZE[0]), within(MOST_GAZE[1], -MOST_GAZE[1])).map(list),
        "face_box": st.tuples(*[st.integers(0, 500)] * 2, *[st.integers(16, 500)] * 2).map(list),
        "aspect": st.none() | st.sampled_from(["1:1", "16:9", "9:16", "3:1"]),
        "frame": st.sampled_from(["crop", "full"]),
        "fast": st.sampled_from(["exact", "balanced", "turbo"]),
        "steps": st.none() | st.integers(1, 1000),
        "seed": st.integers(0, 2**63),
        "label_text": st.none() | st.text(drawable, min_size=1, max_size=12),
    },
)


@drawn
@given(requests)
def test_what_is_asked_comes_back_from_json(options):
    asked = VideoRequest.model_validate(options)
    assert VideoRequest.model_validate_json(asked.model_dump_json()) == asked
    assert VideoRequest.model_validate(asked.model_dump(exclude_defaults=True)) == asked
    for name, value in options.items():
        given_back = getattr(asked, name.replace("-", "_"))
        assert given_back == (
            ",".join(map(str, value)) if name in ("gaze", "face_box") else tuple(value) if name == "style" else value
        )


@drawn
@given(requests, words)
def test_a_key_that_nobody_knows_is_an_error(options, key):
    if key.replace("-", "_") not in VideoRequest.model_fields:
        with pytest.raises(ValidationError, match="Extra inputs"):
            VideoRequest.model_validate(options | {key: 1})


@drawn
@given(frames, st.floats(0.5, MOST_BLINKS), st.integers(0, 99), frames)
def test_blinks_come_as_often_as_asked_whole_and_apart(n_frames, rate, seed, more):
    def blinks(n: int) -> np.ndarray:
        return HeadMotion.still(n).blinking(rate, FPS, np.random.default_rng(seed)).blink

    blink = blinks(n_frames)
    starts = np.flatnonzero((blink > 0) & (np.concatenate([[0], blink[:-1]]) == 0))
    assert abs(len(starts) - n_frames * rate / (60 * FPS)) < 1
    for start in starts:
        whole = np.asarray(BLINK_COURSE, np.float32)[: n_frames - start]
        assert np.array_equal(blink[start : start + len(whole)], whole)
    assert np.array_equal(blinks(n_frames + more)[:n_frames], blink)


@drawn
@given(st.integers(1, 50), frames)
def test_a_short_motion_plays_forth_and_back_without_a_leap(length, n_frames):
    played = forth_and_back(length, n_frames)
    assert played[0] == 0 and played.max() == min(length, n_frames) - 1
    assert (np.abs(np.diff(played)) == (1 if length > 1 else 0)).all()


any_text = st.text(max_size=12) | st.text("@:.0123456789einfa-/\\0\ud800", max_size=12)
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=4, unique=True).map(
    lambda more: [0.0, *sorted(more)][: len(more)]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("timelines")


@settings(drawn, max_examples=25)
@given(texts=st.lists(any_text, max_size=3), held=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_words_are_cues_or_an_input_error(folder, texts, held):
    (folder / "held.json").write_bytes(held)
    for given_texts in (texts, ["held.json"], ["x" * 300], [f"{''.join(texts)}.json"]):
        with suppress(InputError):
            assert all(isinstance(cue, Cue) for cue in read_cues(given_texts, folder))


@drawn
@given(
    times=times, strengths=st.lists(st.floats(-10, 10), min_size=4, max_size=4), names=st.permutations(gallery_names())
)
def test_cues_that_are_written_down_are_read_back(folder, times, strengths, names):
    cues = [Cue(at, gallery_path(name, 2), k) for at, name, k in zip(times, names, strengths, strict=False)]
    entries = [{"style": str(cue.path), "at": cue.seconds, "strength": cue.strength} for cue in cues]
    (folder / "cues.json").write_text(json.dumps(entries))
    assert read_cues(["cues.json"], folder) == cues
    plain = [replace(cue, strength=1.0) for cue in cues]
    assert read_cues([f"{cue.path}@{cue.seconds!r}" for cue in reversed(cues)], folder) == plain
    named = [f"{name}:2@{cue.seconds!r}" for name, cue in zip(names, cues, strict=False)]
    assert read_cues(named, folder) == plain


runs = st.sampled_from(sorted(RECIPES)).flatmap(
    lambda run: st.tuples(
        st.just(run),
        st.fixed_dictionaries(
            {},
            optional={
                "seed": st.integers(0, 2**63),
                "steps": st.integers(1, 10**6),
                "learning_rate": st.floats(1e-9, 1.0),
                "ema_decay": st.floats(0, 1, exclude_max=True),
                "max_grad_norm": st.floats(1e-3, 1e3),
            },
        ),
    )
)


@drawn
@given(run=runs, key=words)
def test_the_options_of_a_training_come_back_from_their_file(folder, run, key):
    (preset, stage), changes = run
    options = recipe(preset, stage, folder, None, **changes)
    assert {name: getattr(options, name) for name in changes} == changes
    options.save(folder / "options.json")
    assert TrainOptions.load(folder / "options.json") == options
    if key not in TrainOptions.model_fields:
        with pytest.raises(InputError):
            recipe(preset, stage, folder, None, **{key: 1})
        (folder / "options.json").write_text(json.dumps(options.model_dump() | {key: 1}))
        with pytest.raises(InputError):
            TrainOptions.load(folder / "options.json")
