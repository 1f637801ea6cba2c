"""Many independent jobs on several processes, also where one of them kills its process (a fault in a codec)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from joblib import Parallel, delayed

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], Result], workers: int, died: Callable[[Job], Result]
) -> Iterator[Result]:
    """Results as they come, in any order.

    Args:
        jobs: what `work` is called with; with several workers both must be picklable.
        work: does one job; what it raises is raised here.
        workers: processes; 1 works in this very process.
        died: the result of a job that kills its process.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    waiting = dict(enumerate(jobs))
    try:
        parallel = Parallel(n_jobs=workers, batch_size=1, pre_dispatch="2*n_jobs", return_as="generator_unordered")
        for number, result in parallel(delayed(_work)(work, number, job) for number, job in enumerate(jobs)):
            del waiting[number]
            yield result
    except BrokenProcessPool:
        for number, job in waiting.items():
            try:
                # joblib runs a single worker's task in this very process, hence two workers for one task
                [(_, result)] = Parallel(n_jobs=2)([delayed(_work)(work, number, job)])
            except BrokenProcessPool:
                result = died(job)
            yield result


def _work(work: Callable[[Job], Result], number: int, job: Job) -> tuple[int, Result]:
    """One job in a worker process, which has a core to itself and no more."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return number, work(job)
