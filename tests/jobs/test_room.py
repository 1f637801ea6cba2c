"""Where nobody says how many workers there shall be, memory may decide."""

from pathlib import Path

import pytest
from tiny_jobs import line, write, write_inputs

from svp import device
from svp.diffusion.generation import sampling_of
from svp.diffusion.memory_plan import plan_generation
from svp.diffusion.pipeline import SVPPipeline
from svp.jobs import room, run
from svp.jobs.request import read_jobs
from svp.jobs.room import workers_that_fit
from svp.jobs.run import generate_all

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture()
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(room.LOGGER, "info", lines.append)
    return lines


def test_as_many_workers_as_have_memory(inputs: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def count(gb: float, max_memory: float | None = None) -> int:
        monkeypatch.setattr(room, "free_memory", lambda: gb * 1e9)
        return workers_that_fit(jobs, 16, max_memory)

    jobs = read_jobs(write(inputs, [line(), line(fast="balanced", style="happy")]))
    pipeline = SVPPipeline.from_pretrained(inputs / "model")
    plans = [
        plan_generation(pipeline, pipeline.settings.chunk, sampling_of(pipeline, fast, 2), styled=styled)
        for fast, styled in (("exact", False), ("balanced", True))
    ]
    peak = max(plan.peak for plan in plans) / 1e9
    assert count(16.1 * peak) == 16 and not told
    assert count(3.5 * peak) == 3
    assert told.pop().startswith(f"3 of 16 workers: each may take {peak:.1f} GB, and {3.5 * peak:.1f} GB are free")
    assert count(0.0) == 1
    assert count(3.5 * peak, peak / 2) == 7 and count(3.5 * peak, 100.0) == 3  # a limit is no need
    (inputs / "broken").mkdir()
    (inputs / "broken" / "model_index.json").write_text("{}")
    jobs = read_jobs(write(inputs, [line(model="broken")]))
    assert count(0.0) == 16  # each says why it fails


def test_memory_decides_where_workers_are_not_given(
    inputs: Path, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class BegunError(Exception):
        pass

    def begin(count: int, *, threads: int, **_: object) -> None:
        raise BegunError(count, threads)

    monkeypatch.setattr(device, "CORES", 8)
    monkeypatch.setattr(run, "CORES", 8)
    monkeypatch.setattr(run, "Workers", begin)
    monkeypatch.setattr(room, "free_memory", lambda: 2e9)
    jobs = write(inputs, [line(seed=seed) for seed in range(3)])
    for workers, expected in ((None, (2, 4)), (3, (3, 2)), (8, (3, 2))):
        with pytest.raises(BegunError) as begun:
            generate_all(jobs, tmp_path, workers=workers, progress=False)
        assert begun.value.args == expected
    assert len(told) == 1
