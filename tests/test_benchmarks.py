"""The benchmarks, which nobody runs every day, still run: the one that takes all of a generation, in small."""

from pathlib import Path

import pytest


def test_the_memory_of_a_generation_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks import __main__ as benchmarks
    from benchmarks.memory import generate

    assert set(benchmarks.LONG) <= set(benchmarks.ALL)
    assert generate("mini", 128, 2, 8) > 0.2e9
