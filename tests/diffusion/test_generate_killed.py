"""`svp generate`, killed with SIGKILL at whatever moments and given again, ends with the video of an unbroken run."""

import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from tiny_pipeline import tiny_pipeline, tone

from svp.cli import main
from svp.media.audio import read_audio, write_wav
from svp.media.verification import verify_video
from svp.media.video import read_frames
from warm_process import start_process, wait_until

pytestmark = pytest.mark.long

KILLS, SECONDS = 3, 2.0
PORTRAIT = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


def generate(folder: Path, name: str) -> None:
    """The command, in a process of its own."""
    words = ["generate", "--model", folder / "model", "--portrait", PORTRAIT, "--audio", folder / "sound.wav"]
    sys.argv = ["svp", *map(str, words), "--seed", "3", "--steps", "2", "-o", str(folder / name)]
    main()


def test_the_video_is_that_of_an_unbroken_run(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "model")
    write_wav(tmp_path / "sound.wav", tone(SECONDS))

    def start(name: str) -> tuple[BaseProcess, float]:
        """The process, and when it began to compute."""
        process = start_process(generate, tmp_path, name)
        wait_until(lambda: (tmp_path / f"{name}.partial").exists() or not process.is_alive())
        return process, time.monotonic()

    process, begun = start("whole.mp4")
    process.join()
    span = time.monotonic() - begun
    assert process.exitcode == 0

    moment, killed, video = random.Random(0), 0, tmp_path / "video.mp4"
    kept = []  # chunks that a kill has left to go on with
    for _ in range(KILLS):
        process, _ = start(video.name)
        process.join(span * moment.uniform(0.0, 0.9))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        kept.append(len(list((tmp_path / f"{video.name}.partial").glob("*.safetensors"))))
        if video.exists():  # then it was made whole before the kill
            assert verify_video(video).state == "valid"
            video.unlink()
    assert killed and max(kept), f"{killed} kills left {kept} chunks"
    process = start_process(generate, tmp_path, "video.mp4")
    process.join()
    assert process.exitcode == 0

    made, whole = (list(read_frames(tmp_path / name)) for name in ("video.mp4", "whole.mp4"))
    assert len(made) == round(25 * SECONDS) and np.array_equal(made, whole)
    assert np.array_equal(read_audio(video), read_audio(tmp_path / "whole.mp4"))
    assert verify_video(video).state == "valid"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sound.wav", "video.mp4", "whole.mp4"]
