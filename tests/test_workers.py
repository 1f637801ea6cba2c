"""Jobs on several processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from svp.workers import run_jobs


def work(job: str) -> str:
    if job == "deadly":
        os._exit(3)  # what a fault in a codec does
    if job == "wrong":
        raise ValueError(job)
    return job.upper()


def died(job: str) -> str:
    return f"{job} died"


def test_a_job_that_kills_its_process_is_told_and_the_rest_goes_on() -> None:
    assert sorted(run_jobs(["first", "deadly", "last"], work, 2, died)) == ["FIRST", "LAST", "deadly died"]


def test_one_worker_works_in_this_process_and_in_order() -> None:
    seen: list[int] = []
    assert list(run_jobs([1, 2], lambda job: seen.append(os.getpid()) or job, 1, lambda job: -job)) == [1, 2]
    assert seen == [os.getpid()] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="wrong"):
        list(run_jobs(["first", "wrong"], work, workers, died))


def process(job: tuple[str, Path]) -> int:
    """Names its process in a folder, waits if told to, and says who it was."""
    name, folder = job
    (folder / f"{name}.{os.getpid()}").touch()
    while name == "waits" and not (folder / "go").exists():
        time.sleep(0.02)
    return os.getpid()


def test_a_killed_worker_loses_only_its_job_which_is_done_again(tmp_path: Path) -> None:
    results = run_jobs([("waits", tmp_path), *((str(n), tmp_path) for n in range(3))], process, 2, lambda _: -1)
    others = [next(results) for _ in range(3)]  # all but the first, so by one process
    assert len(set(others)) == 1
    [first] = tmp_path.glob("waits.*")
    os.kill(int(first.suffix[1:]), signal.SIGKILL)
    (tmp_path / "go").touch()
    [again] = results
    assert again not in (int(first.suffix[1:]), -1, others[0])
    assert len(list(tmp_path.glob("waits.*"))) == 2 and len(list(tmp_path.glob("[012].*"))) == 3


def test_jobs_are_taken_when_a_worker_is_free(tmp_path: Path) -> None:
    taken: list[int] = []

    class Watched(list):
        def __iter__(self):
            for job in super().__iter__():
                taken.append(job)
                yield job

    results = run_jobs(Watched(range(20)), abs, 2, lambda _: -1)
    next(results)
    assert len(taken) < 12
    assert len(list(results)) == 19 and len(taken) == 20


def test_a_single_worker_has_its_own_process_where_wanted() -> None:
    [process_id] = run_jobs([0], lambda _: os.getpid(), 1, lambda _: -1, apart=True)
    assert process_id not in (os.getpid(), -1)
