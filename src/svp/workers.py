"""Many independent jobs on several processes, also where one of them kills its process (a fault in a codec).

Every worker is a process of its own that does one job after the other and is started again when it dies, so that only
the job it was at is lost. On one machine the workers are loky's, fed by joblib's threads; on a cluster joblib's Ray
backend feeds the same on every processor.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar

from joblib import Parallel, delayed, parallel_config, register_parallel_backend
from joblib.externals.loky import ProcessPoolExecutor
from threadpoolctl import threadpool_limits

from svp.errors import InputError, install

Job = TypeVar("Job")
Result = TypeVar("Result")

TRIES = 2  # of a job whose process dies
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # what libraries read when they are loaded
NUMBER = "SVP_WORKER"  # in the environment of a worker: which of those on its machine it is, from 0


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    workers: int,
    died: Callable[[Job], Result],
    ray: str | None = None,
) -> Iterator[Result]:
    """Results as they come, in any order; see `Workers`. One worker without a cluster works in this very process, with
    one thread as theirs: the last bits of a sum depend on their number."""
    if workers == 1 and ray is None:
        with _one_thread():
            yield from map(work, jobs)
        return
    with Workers(workers, ray=ray) as pool:
        yield from pool.run(jobs, work, died)


def this_worker() -> str:
    """Name of the process that asks, PROCESS@MACHINE."""
    return f"{os.getpid()}@{platform.node()}"


class Workers:
    """Processes that stay, with what they have loaded, until the `with` block ends.

    Args:
        count: of them.
        threads: of each one's arithmetic.
        ray: address of a Ray cluster whose processors work, one a worker; a `count` of 0 takes all of them.
        cards: on a cluster that has graphics cards these work, one a worker.

    Raises:
        InputError: there is no such cluster, or fewer than two workers on it (joblib would work in this process).
    """

    def __init__(self, count: int, *, threads: int = 1, ray: str | None = None, cards: bool = False) -> None:
        self.count, self.threads, self.ray, self.cards = count, threads, ray, cards
        self._lost: tuple[type[BaseException], ...] = ()
        self._processes: _Processes | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.ray is None:
                self._processes = _Processes()
                stack.callback(self._processes.end)
                # the threads only wait: each job takes a process, or starts one
                parallel = Parallel(
                    self.count, backend="threading", pre_dispatch="n_jobs", return_as="generator_unordered"
                )
            else:
                parallel = self._join_cluster(self.ray, stack)
            self._parallel = stack.enter_context(parallel)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        if self._processes is not None:
            self._processes.closed = True
        self._stack.close()

    def run(
        self, jobs: Sequence[Job], work: Callable[[Job], Result], died: Callable[[Job], Result]
    ) -> Iterator[Result]:
        """Results as they come, in any order. No more jobs are handed out than there are workers (on Ray, twice that).

        Args:
            jobs: what `work` is called with; both must be picklable.
            work: does one job; what it raises is raised here.
            died: the result of a job that killed its process twice.
        """
        waiting = dict(enumerate(jobs))
        for _ in range(TRIES):  # of all that are left together
            calls = (
                delayed(_apart)(self._processes, work, died, self.threads, *pair) for pair in list(waiting.items())
            )
            try:
                for number, result in self._parallel(calls):
                    del waiting[number]
                    yield result
                break
            except self._lost:  # twice at one job, with the machine; those of the other workers are done again too
                continue
        for pair in waiting.items():  # which of them it is shows where each is alone
            try:
                [(_, result)] = self._parallel([delayed(_apart)(self._processes, work, died, self.threads, *pair)])
            except self._lost:
                result = died(pair[1])
            yield result

    def _join_cluster(self, address: str, stack: ExitStack) -> Parallel:
        try:
            import ray
            from ray.util.joblib.ray_backend import RayBackend
        except ImportError as error:
            raise InputError(f"--ray {address}: needs Ray; {install('cluster')}") from error

        class Backend(RayBackend):  # results one by one; what Ray reports is raised
            supports_return_generator = True

            def retrieve_result_callback(self, result: Any) -> Any:
                if isinstance(result, ray.exceptions.RayError):
                    raise result
                return super().retrieve_result_callback(result)

        if not ray.is_initialized():
            try:
                _require_reachable(address)
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, RuntimeError, ValueError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InputError(f"--ray {address}: no cluster ({reason}); start one, `ray start --head`") from error
            stack.callback(ray.shutdown)
        there = ray.cluster_resources()
        cards = int(there.get("GPU", 0)) if self.cards else 0
        places = cards or int(there.get("CPU", 0))
        count = min(self.count or places, places)
        if count < 2:
            named = "graphics cards" if cards else "processors"
            raise InputError(f"--ray {address}: {count} worker on {places} {named}; give two or more")
        self._lost = (ray.exceptions.RayError,)
        register_parallel_backend("svp-ray", Backend)
        again = {"num_cpus": 1, "num_gpus": min(cards, 1), "max_restarts": -1, "max_task_retries": TRIES - 1}
        with parallel_config("svp-ray", n_jobs=count, ray_remote_args=again):
            return Parallel(batch_size=1, pre_dispatch="2*n_jobs", return_as="generator_unordered")


class _Processes:
    """Processes for one job at a time each: those that wait for one, and those at work."""

    def __init__(self) -> None:
        self.idle: list[ProcessPoolExecutor] = []
        self.busy: set[ProcessPoolExecutor] = set()
        self.numbers: dict[ProcessPoolExecutor, int] = {}
        self.changing = threading.Lock()  # joblib's threads take and lose processes at the same time
        self.closed = False

    def take(self, threads: int) -> ProcessPoolExecutor:
        """One that waits, or a new one; none once all have ended."""
        with self.changing:
            if self.closed:
                raise BrokenProcessPool("the workers have ended")
            if self.idle:
                process = self.idle.pop()
            else:
                number = next(n for n in count() if n not in self.numbers.values())
                begin, env = partial(_begin, os.getpid(), threads), dict.fromkeys(THREADS, str(threads))
                process = ProcessPoolExecutor(1, timeout=None, initializer=begin, env=env | {NUMBER: str(number)})
                self.numbers[process] = number
            self.busy.add(process)
        return process

    def lose(self, process: ProcessPoolExecutor) -> None:
        """It is dead; the next one that is started has its number."""
        with self.changing:
            self.busy.discard(process)
            self.numbers.pop(process, None)

    def give_back(self, process: ProcessPoolExecutor) -> None:
        """It waits again, or goes if all have ended meanwhile."""
        with self.changing:
            self.busy.discard(process)
            if not self.closed:
                self.idle.append(process)
                return
        process.shutdown(wait=False, kill_workers=True)

    def end(self) -> None:
        """Also those that are at work."""
        with self.changing:
            self.closed = True
            ending = (*self.idle, *self.busy)
            self.idle.clear()
        for process in ending:
            process.shutdown(wait=False, kill_workers=True)


_of_this_worker = _Processes()  # on a cluster, where a worker of Ray starts its own


def _apart(
    processes: _Processes | None,
    work: Callable[[Job], Result],
    died: Callable[[Job], Result],
    threads: int,
    number: int,
    job: Job,
) -> tuple[int, Result]:
    """Do a job in a process of its own, which stays for the next one."""
    own = _of_this_worker if processes is None else processes
    for _ in range(TRIES):
        process = own.take(threads)
        try:
            result = process.submit(work, job).result()
        except BrokenProcessPool:
            own.lose(process)
            if own.closed:  # ended by ourselves
                raise
            continue
        except BaseException:
            own.give_back(process)
            raise
        own.give_back(process)
        return number, result
    return number, died(job)


@contextmanager
def _one_thread() -> Iterator[None]:
    """This process does its arithmetic with one thread."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            cv2.setNumThreads(before[1])


def _begin(parent: int, threads: int) -> None:
    """What a worker does first: it has `threads` cores and no more, leaves it to who started it to tell the terms of
    weights, and goes when that one is gone."""
    import cv2
    import torch
    from joblib.externals.loky import process_executor

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    # else loky takes a model that was loaded, 0.3 GB more than after the first job, for a leak and starts it again
    process_executor._USE_PSUTIL = False
    logging.getLogger("svp").setLevel(logging.ERROR)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _require_reachable(address: str) -> None:
    """Ray would try for minutes to reach a head that is not there.

    Raises:
        OSError: nothing answers at HOST:PORT. Other addresses (`auto`, `local`) are Ray's own matter.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
