"""Styles that change within a video, through the pipeline."""

import numpy as np
import pytest
import torch
from tiny_pipeline import drawn_portrait, random_style, tone, watch_styles

from svp.diffusion.noise import style_noise
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline


def generate(pipeline: SVPPipeline, style: StylePrior | StyleTimeline, seconds: float) -> np.ndarray:
    return pipeline(drawn_portrait(), tone(seconds), style, "still", seed=3, num_inference_steps=2).frames


def test_each_chunk_is_given_the_styles_of_its_frames(pipeline: SVPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = StyleTimeline((0.0, 0.4), (random_style(pipeline, 0), random_style(pipeline, 1)))
    given = watch_styles(pipeline, monkeypatch)
    generate(pipeline, timeline, 1.0)
    wanted = timeline.at(style_noise(3, 16), 0, 25)
    starts = [0, 7, 14, 21]  # chunks of 8 frames that share one
    assert len(given) == len(starts)
    for start, codes in zip(starts, given, strict=True):
        torch.testing.assert_close(codes, wanted[start : min(start + 8, 25)])


def test_a_timeline_of_one_style_gives_the_frames_of_the_style(pipeline: SVPPipeline) -> None:
    style = random_style(pipeline, 0)
    twice = StyleTimeline((0.0, 0.2), (style, style))
    difference = generate(pipeline, twice, 0.5).astype(int) - generate(pipeline, style, 0.5)
    assert np.abs(difference).max() <= 1


def test_frames_change_where_the_style_does(pipeline: SVPPipeline) -> None:
    first, second = random_style(pipeline, 0), random_style(pipeline, 1)
    changing = generate(pipeline, StyleTimeline((0.0, 0.64), (first, second)), 1.6).astype(int)
    alone = [generate(pipeline, style, 1.6).astype(int) for style in (first, second)]
    from_first, from_second = (np.abs(changing - frames).mean(axis=(1, 2, 3)) for frames in alone)
    assert from_first[:8].max() < 0.01 and from_first[32:].min() > 10 * from_first[:8].max()
    assert from_second[32:].mean() < from_first[32:].mean()


def test_a_timeline_of_another_encoder_is_refused(pipeline: SVPPipeline) -> None:
    style = random_style(pipeline, 0)
    foreign = StylePrior(style.mean, style.variance, style.neutral, "other", name="foreign")
    with pytest.raises(InputError, match="style encoder other"):
        pipeline.stream(drawn_portrait(), tone(0.2), StyleTimeline((0.0,), (foreign,)), "still")
