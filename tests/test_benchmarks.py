"""What some of the benchmarks measure is, in small, what was promised."""

from dataclasses import replace
from pathlib import Path

import pytest

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import SamplingPlan
from svp.presets import MINI

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])


def test_peak_memory_is_planned_never_below_and_at_most_a_third_above(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.memory import GUIDED, compare_plan

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert 1.0 <= compare_plan("mini", 128, 40, 8, GUIDED) <= 1.3


def test_nobody_sees_where_a_chunk_ends() -> None:
    from benchmarks.seams import compared

    pipeline = SVPPipeline.from_pretrained("mini")
    assert max(ratio for ratio, _ in compared(pipeline, "ada", "road", "exact", first=50)) <= 1.2


def test_the_tiny_decoder_of_mini_takes_a_fifth_of_the_vaes_flop_and_a_megabyte() -> None:
    from benchmarks.cost import DECODING, TINY_DECODING, FrameCost, shaped

    cost = FrameCost.of(MINI, tiny=True)
    assert 0.1e9 < cost.flop[TINY_DECODING] / MINI.window < 0.4e9 < 0.2 * cost.flop[DECODING] / MINI.window
    turbo = SamplingPlan(2, 1.0, 1.0, guided_steps=0, tiny_decoder=True)
    saved = replace(cost, tiny=False).per_frame(turbo) - cost.per_frame(turbo)
    assert saved == pytest.approx((cost.flop[DECODING] - cost.flop[TINY_DECODING]) / MINI.window)
    half_precision = 2 * sum(parameter.numel() for parameter in shaped(MINI).tiny_vae.parameters())
    assert half_precision < 1e6
