"""Jobs on several processes."""

import logging
import os
import signal
import threading
import time
from pathlib import Path

import cv2
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from svp.workers import THREADS, Workers, run_jobs


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


def warns(job: object) -> bool:
    return logging.getLogger("svp.weights.terms").isEnabledFor(logging.WARNING)


def test_the_terms_of_weights_are_told_by_who_starts_the_workers() -> None:
    assert warns(None) and list(run_jobs([None], warns, 2, lambda _: True)) == [False]


def threads(job: object) -> set[int]:
    """Numbers of threads that this process calculates with."""
    found = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return found | {torch.get_num_threads(), cv2.getNumThreads()}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_has_one_thread_also_where_it_is_this_process(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    before, cv2_before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        with threadpool_limits(2):
            assert list(run_jobs([None], threads, workers, lambda _: set())) == [{1}]
            assert threads(None) == {2}
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(cv2_before)


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
    while not (begun := list(tmp_path.glob("waits.*"))):  # on a busy machine its process may come late
        time.sleep(0.02)
    [first] = begun
    os.kill(int(first.suffix[1:]), signal.SIGKILL)
    (tmp_path / "go").touch()
    [again] = results
    assert again not in (int(first.suffix[1:]), -1)
    assert len(list(tmp_path.glob("waits.*"))) == 2 and len(list(tmp_path.glob("[012].*"))) == 3


def test_no_more_jobs_are_begun_than_there_are_workers(tmp_path: Path) -> None:
    done: list[int] = []
    jobs = [("waits", tmp_path / str(n)) for n in range(6)]
    for _, folder in jobs:
        folder.mkdir()
    consumer = threading.Thread(target=lambda: done.extend(run_jobs(jobs, process, 2, lambda _: -1)))
    consumer.start()
    while len(list(tmp_path.glob("*/waits.*"))) < 2:
        time.sleep(0.02)
    time.sleep(0.2)
    assert len(list(tmp_path.glob("*/waits.*"))) == 2
    for _, folder in jobs:
        (folder / "go").touch()
    consumer.join()
    assert len(done) == 6 and len(set(done)) == 2


def test_workers_stay_from_one_run_to_the_next_and_one_has_its_own_process() -> None:
    with Workers(1) as pool:
        first = list(pool.run([0, 1], lambda _: os.getpid(), lambda _: -1))
        second = list(pool.run([0], lambda _: os.getpid(), lambda _: -1))
    assert len({*first, *second}) == 1 and not {os.getpid(), -1} & {*first, *second}


class Cluster:
    """Workers of a cluster that lose whoever has a job that kills, and do not say which it was."""

    class LostError(Exception):
        pass

    def __call__(self, calls):
        for function, arguments, options in calls:
            if arguments[-1].startswith("kills"):
                raise self.LostError
            yield function(*arguments, **options)


def test_jobs_that_kill_their_worker_of_a_cluster_lose_only_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Workers(2)
    pool._lost, pool._parallel = (Cluster.LostError,), Cluster()
    monkeypatch.setattr("svp.workers._apart", lambda _, work, died, threads, number, job: (number, job.upper()))
    jobs = ["a", "kills1", "b", "c", "kills2", "d", "e", "kills3", "f"]
    found = list(pool.run(jobs, str, lambda job: f"{job} died"))
    assert sorted(found) == sorted(f"{job} died" if "kills" in job else job.upper() for job in jobs)


HELD: list[bytes] = []


def load(job: int) -> int:
    """Take 0.4 GB with the second job, as a model does, and a second for the third; which process it was."""
    if job == 1:
        HELD.append(b"1" * 400_000_000)
    time.sleep(1.1 if job else 0)  # loky looks at a worker once in a second
    return os.getpid()


def test_a_worker_that_loads_a_model_late_stays():
    with Workers(1) as pool:
        assert len(set(pool.run([0, 1, 2, 3], load, died))) == 1
