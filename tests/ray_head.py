"""A real Ray head with two processors, as a user starts one."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil


def wait_until(condition: Callable[[], object], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_ray_head() -> Iterator[tuple[subprocess.Popen, str]]:
    """The process and its address; both go when the generator is closed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any("raylet" in child.name() for child in psutil.Process(head.pid).children(recursive=True)))
        time.sleep(3)
        yield head, f"127.0.0.1:{port}"
    finally:
        children = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            head.kill()
        for child in children:
            if child.is_running():
                child.kill()
