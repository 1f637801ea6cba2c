"""A container's limits of processors and memory hold where the machine has more."""

import math
from pathlib import Path

import pytest

from svp import control_group
from svp.cores import usable_cores
from svp.memory import free_memory


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    monkeypatch.setattr(control_group, "OWN", tmp_path / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16), raising=False)
    return tmp_path


def test_without_limits_the_machine_counts(group: Path) -> None:
    assert usable_cores() == 16 and 0 < free_memory() < math.inf
    for name in ("cpu.max", "memory.max"):
        (group / name).write_text("max 100000\n" if name == "cpu.max" else "max\n")
    (group / "memory.stat").write_text("anon 5\nfile 7\n")
    assert usable_cores() == 16 and 5 < free_memory() < math.inf


@pytest.mark.parametrize(("quota", "cores"), [(150_000, 2), (5_000, 1), (9_900_000, 16)])
def test_a_quota_of_processors(group: Path, quota: int, cores: int) -> None:
    (group / "cpu").mkdir()
    (group / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == cores
    (group / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores() == 16
    (group / "cpu.max").write_text(f"{quota} 100000\n")
    assert usable_cores() == cores


def test_a_limit_of_memory_less_what_is_in_use(group: Path) -> None:
    (group / "memory").mkdir()
    (group / "memory" / "memory.limit_in_bytes").write_text("1000000\n")
    (group / "memory" / "memory.stat").write_text("cache 600000\nrss 100000\ntotal_cache 600000\ntotal_rss 200000\n")
    assert free_memory() == 800_000
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.stat").write_text("anon 300000\nfile 600000\n")
    assert free_memory() == 700_000


@pytest.mark.parametrize(
    ("own", "nested", "limit", "stat"),
    [
        ("0::/job_1/step_0\n", "job_1", "memory.max", "anon 100000\nshmem 50000\nfile 600000\n"),
        (
            "7:pids:/\n5:cpu,memory:/job_1/step_0\n",
            *("memory/job_1", "memory.limit_in_bytes", "total_rss 100000\ntotal_shmem 50000\n"),
        ),
    ],
)
def test_the_limit_of_a_group_around_the_own_one(group: Path, own: str, nested: str, limit: str, stat: str) -> None:
    (group / "own").write_text(own)
    (group / nested / "step_0").mkdir(parents=True)
    for folder, allowed in ((group / nested, "1000000"), (group / nested / "step_0", "9000000")):
        (folder / limit).write_text(f"{allowed}\n")
        (folder / "memory.stat").write_text(stat)
    assert free_memory() == 850_000
    (group / "own").write_text(own.replace("job_1", "another"))
    assert free_memory() > 9_000_000
