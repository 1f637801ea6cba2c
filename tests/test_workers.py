"""Jobs on several processes."""

import os

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
