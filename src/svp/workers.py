"""Many independent jobs on several processes, also where one of them kills its process (a fault in a codec).

Every worker is a process of its own that does one job after the other and is started again when it dies, so that only
the job it was at is lost. On one machine the workers are loky's, fed by joblib's threads; on a cluster joblib's Ray
backend runs the same on every processor.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config, register_parallel_backend
from joblib.externals.loky import ProcessPoolExecutor

from svp.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

TRIES = 2  # of a job whose process dies
CORES = os.cpu_count() or 1


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    workers: int,
    died: Callable[[Job], Result],
    *,
    ray: str | None = None,
    apart: bool = False,
    threads: int = 1,
) -> Iterator[Result]:
    """Results as they come, in any order; a worker is given its next job when it is free.

    Args:
        jobs: what `work` is called with; both must be picklable.
        work: does one job; what it raises is raised here.
        workers: processes; 1 works in this very process.
        died: the result of a job that killed its process twice.
        ray: address of a Ray cluster whose processors work instead, `workers` of them; 0 is all.
        apart: a single worker has its own process too.
        threads: of a worker's arithmetic.

    Raises:
        InputError: there is no such cluster.
    """
    if workers == 1 and ray is None and not apart:
        yield from map(work, jobs)
        return
    task = partial(_apart, work, died, threads)
    if ray is not None:
        yield from _on_ray(ray, workers, task, jobs, died)
        return
    _closed.clear()
    try:
        # the threads only wait: each has a process, and is given one job at a time
        parallel = Parallel(workers, backend="threading", pre_dispatch="n_jobs", return_as="generator_unordered")
        yield from parallel(delayed(task)(job) for job in jobs)
    finally:
        _closed.set()
        for executor in _processes.values():
            executor.shutdown(wait=False, kill_workers=True)
        _processes.clear()


_processes: dict[int, ProcessPoolExecutor] = {}  # by the thread that feeds it
_closed = threading.Event()


def _apart(work: Callable[[Job], Result], died: Callable[[Job], Result], threads: int, job: Job) -> Result:
    """Do a job in the process that belongs to this thread, which is started where there is none, or none any more."""
    slot = threading.get_ident()
    for _ in range(TRIES):
        if slot not in _processes:
            begin = partial(_begin, os.getpid(), threads)
            _processes[slot] = ProcessPoolExecutor(1, timeout=None, initializer=begin)
        try:
            return _processes[slot].submit(work, job).result()
        except BrokenProcessPool:
            _processes.pop(slot, None)
            if _closed.is_set():  # ended by ourselves
                raise
    return died(job)


def _on_ray(
    address: str, workers: int, task: Callable[[Job], Result], jobs: Sequence[Job], died: Callable[[Job], Result]
) -> Iterator[Result]:
    """Results from a cluster, where a worker that is lost with its machine is started again, and its job with it."""
    try:
        import ray
        from ray.util.joblib.ray_backend import RayBackend
    except ImportError as error:
        raise InputError(f"--ray {address}: needs Ray; install it with `pip install svp-portrait[cluster]`") from error

    class Backend(RayBackend):  # type: ignore[misc]  # results one by one, and what Ray itself reports raised
        supports_return_generator = True

        def retrieve_result_callback(self, result: Any) -> Any:
            if isinstance(result, ray.exceptions.RayError):
                raise result
            return super().retrieve_result_callback(result)

    started = not ray.is_initialized()
    try:
        if started:
            ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--ray {address}: no cluster ({reason}); start one with `ray start --head`") from error
    try:
        processors = int(ray.cluster_resources().get("CPU", 0))
        if processors < 2 or workers == 1:
            raise InputError(f"--ray {address}: {min(processors, workers or processors)} worker; use two or more")
        register_parallel_backend("svp-ray", Backend)
        waiting = dict(enumerate(jobs))
        again = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": TRIES - 1}
        for _ in range(TRIES):
            try:
                with parallel_config("svp-ray", n_jobs=min(workers or processors, processors), ray_remote_args=again):
                    parallel = Parallel(batch_size=1, pre_dispatch="2*n_jobs", return_as="generator_unordered")
                    for number, result in parallel(delayed(_numbered)(task, *pair) for pair in list(waiting.items())):
                        del waiting[number]
                        yield result
                break
            except ray.exceptions.RayError:  # a worker was lost twice at one job
                continue
        yield from map(died, waiting.values())
    finally:
        if started:
            ray.shutdown()


def _numbered(task: Callable[[Job], Result], number: int, job: Job) -> tuple[int, Result]:
    return number, task(job)


def _begin(parent: int, threads: int) -> None:
    """What a worker does first: it has `threads` cores and no more, and goes when who started it is gone."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
