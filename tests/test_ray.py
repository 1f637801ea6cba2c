"""Videos and datasets made on a Ray cluster: one machine with two processors, as a user starts it."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

sys.path += [str(Path(__file__).parent / room) for room in ("datasets", "jobs")]
from portrait_clips import write_portrait_clip
from tiny_jobs import line, rows, write, write_inputs

from svp.datasets.prepare import prepare_folder
from svp.media.verification import verify_video
from warm_process import WarmCommand, wait_until

pytestmark = pytest.mark.long

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[subprocess.Popen, str]]:
    """The process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    equal = {"RAY_worker_niceness": "0"}  # by default its workers give way to all others, for ever on a busy machine
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | equal)
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


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_cluster_gives_the_dataset_of_one_machine(head, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, person, frames in (("a", "ada", 11), ("b", "ada", 16), ("c", "edgar", 12)):
        write_portrait_clip(source / f"{name}.mp4", person, frames, sound=name != "c")
    (source / "d.mp4").write_text("not a video\n" * 99)
    (source / "clips.csv").write_text("file,identity\na.mp4,ann\nb.mp4,ann\nc.mp4,bob\nd.mp4,bob\n")
    on_cluster = WarmCommand("prepare", source, tmp_path / "set", "--size", 48, "--ray", head[1],
                             "--audio-features", "log-mel", "--workers", 2)  # fmt: skip
    prepare_folder(source, tmp_path / "own", size=48, audio_encoder="log-mel", progress=False)
    done = on_cluster.wait()
    assert done.returncode == 0, done.stderr
    assert "3 clips of 2 identities accepted" in done.stdout and "s of video per second" in done.stderr
    assert (
        f"{platform.node()}: 2 processes did 4 source files, 2 to 2 each" in done.stdout
    )  # Ray gives them out in turn
    assert files_of(tmp_path / "set") == files_of(tmp_path / "own")


def test_videos_are_made_although_the_cluster_loses_a_worker(head, tmp_path):
    process, address = head
    inputs, out = write_inputs(tmp_path), tmp_path / "videos"
    jobs = write(inputs, [*(line(audio="long.wav", seed=n) for n in range(3)), line(nosuch=1)])
    running = WarmCommand("generate", "--jobs", jobs, "-o", out, "--ray", address)
    wait_until(lambda: not running.process.is_alive() or any(out.glob("*.partial/000000.safetensors")))
    titles = {p.pid: " ".join(p.cmdline()) for p in psutil.Process(process.pid).children(recursive=True)}
    at_work = [pid for pid, title in titles.items() if "PoolActor.run_batch" in title]
    assert at_work, titles
    os.kill(at_work[0], signal.SIGKILL)
    done = running.wait()
    assert done.returncode == 1, done.stderr
    assert "3 of 4 videos are there" in done.stdout and "line 4: rejected: nosuch" in done.stdout
    assert [row["status"] for row in rows(out)] == ["ok", "ok", "ok", "rejected"]
    assert all(verify_video(out / row["output"]).state == "valid" for row in rows(out)[:3])
    machines = {row["worker"] for row in rows(out)[:3]}
    assert str(running.process.pid) not in {worker.split("@")[0] for worker in machines}


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    jobs = write(write_inputs(tmp_path), [line()])
    done = WarmCommand("generate", "--jobs", jobs, "-o", tmp_path / "videos", "--ray", "127.0.0.1:1").wait()
    assert done.returncode == 2 and "--ray 127.0.0.1:1: " in done.stderr and len(done.stderr.splitlines()) == 1
