"""The benchmarks, which nobody runs every day, still run: the one that takes all of a generation, in small."""

from dataclasses import replace
from pathlib import Path

import pytest

from svp.diffusion.sampling_plan import SamplingPlan
from svp.presets import MINI


def test_the_memory_of_a_generation_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks import __main__ as benchmarks
    from benchmarks.memory import PLAIN, generate

    assert set(benchmarks.LONG) <= set(benchmarks.ALL)
    assert generate("mini", 128, 2, 8, PLAIN) > 0.2e9


def test_the_tiny_decoder_of_mini_takes_a_fifth_of_the_vaes_flop_and_a_megabyte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks.cost import DECODING, TINY_DECODING, FrameCost, shaped

    cost = FrameCost.of(MINI, tiny=True)
    assert 0.1e9 < cost.flop[TINY_DECODING] / MINI.window < 0.4e9 < 0.2 * cost.flop[DECODING] / MINI.window
    turbo = SamplingPlan(2, 1.0, 1.0, guided_steps=0, tiny_decoder=True)
    saved = replace(cost, tiny=False).per_frame(turbo) - cost.per_frame(turbo)
    assert saved == pytest.approx((cost.flop[DECODING] - cost.flop[TINY_DECODING]) / MINI.window)
    half_precision = 2 * sum(parameter.numel() for parameter in shaped(MINI).tiny_vae.parameters())
    assert half_precision < 1e6
