"""Processes of their own that need no seconds for imports: they are forked from a server that has imported."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from svp.cli import main

IMPORTED = (
    "mediapipe", "svp.datasets.prepare", "svp.jobs.run", "svp.jobs.work", "svp.training.run",
    "cryptography.x509", "pandas", "svp.diffusion.memory_plan", "svp.media.provenance",  # which are imported late
)  # fmt: skip


def start_process(function: Callable[..., None], *arguments: object, **named: object) -> BaseProcess:
    """Run a function, which must be picklable, in a process with this one's environment and folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    process = context.Process(target=_run, args=(dict(os.environ), function, arguments, named))
    process.start()
    return process


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class WarmCommand:
    """`svp` with these arguments, at work in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        self.command = ["svp", *map(str, arguments)]
        self._said = tempfile.TemporaryDirectory(prefix="svp-said-")
        self.process = start_process(_svp, self.command, self._said.name)

    def wait(self, seconds: float = 400) -> subprocess.CompletedProcess[str]:
        """What it said and its exit code, once it has ended."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"{self.command} did not end in {seconds} s")
        out, err = ((Path(self._said.name) / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self.command, self.process.exitcode, out, err)


def _run(
    environment: dict[str, str], function: Callable[..., None], arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    multiprocessing.set_start_method("fork", force=True)  # as in a process started by hand; it inherited forkserver
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments, **named)


def _svp(command: list[str], folder: str) -> None:
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv = command
    main()
