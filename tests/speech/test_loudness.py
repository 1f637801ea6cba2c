"""Loudness follows the sound, whatever its level, and knows silence."""

import numpy as np

from svp.speech.loudness import loudness


def test_a_loud_part_is_loud_where_it_sounds_at_any_level_and_rate() -> None:
    audio = np.random.default_rng(0).normal(0, 0.01, 32_000).astype(np.float32)
    audio[16_000:24_000] *= 20
    course = loudness(audio, 50)
    assert course.shape == (50,) and course.dtype == np.float32 and course.max() <= 1.2
    assert course[27:36].min() > 0.8 and max(course[:22].max(), course[41:].max()) < 0.15
    np.testing.assert_allclose(loudness(audio / 7, 50), course, atol=1e-3)
    np.testing.assert_allclose(loudness(audio, 400, rate=200)[::8], course, atol=0.02)


def test_silence_and_what_is_missing_are_zero() -> None:
    assert not loudness(np.zeros(16_000, np.float32), 30).any()
    assert not loudness(np.zeros(0, np.float32), 1).any()
    short = loudness(np.full(5_000, 0.1, np.float32), 40)
    assert short[3] > 0.8 and not short[20:].any()
