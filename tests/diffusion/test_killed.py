"""`svp generate`, killed with SIGKILL at whatever moments and given again, ends with the video of an unbroken run."""

import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_partial import start_process
from tiny_pipeline import tiny_pipeline, tone

from svp.cli import main
from svp.media.audio import read_audio, write_wav
from svp.media.verification import verify_video
from svp.media.video import read_frames

pytestmark = pytest.mark.long

KILLS, SECONDS = 4, 4.0
PORTRAIT = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


def generate(folder: Path, name: str) -> None:
    """The command, in a process of its own."""
    words = ["generate", "--model", folder / "model", "--portrait", PORTRAIT, "--audio", folder / "sound.wav"]
    sys.argv = ["svp", *map(str, words), "--seed", "3", "--steps", "2", "-o", str(folder / name)]
    main()


def test_the_video_is_that_of_an_unbroken_run(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "model")
    write_wav(tmp_path / "sound.wav", tone(SECONDS))
    begun = time.monotonic()
    process = start_process(generate, tmp_path, "whole.mp4")
    process.join()
    taken = time.monotonic() - begun
    assert process.exitcode == 0

    moment, killed, video = random.Random(0), 0, tmp_path / "video.mp4"
    for kill in range(KILLS):
        process = start_process(generate, tmp_path, "video.mp4")
        process.join(taken * moment.uniform(0.5, 1.0) if kill else taken * 0.98)  # the first one late in its work
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert not video.exists() or process.exitcode == 0 or verify_video(video).state == "valid"
        if video.exists():  # whole, in this machine's good moments
            video.unlink()
    assert killed
    process = start_process(generate, tmp_path, "video.mp4")
    process.join()
    assert process.exitcode == 0

    made, whole = (list(read_frames(tmp_path / name)) for name in ("video.mp4", "whole.mp4"))
    assert len(made) == round(25 * SECONDS) and np.array_equal(made, whole)
    assert np.array_equal(read_audio(video), read_audio(tmp_path / "whole.mp4"))
    assert verify_video(video).state == "valid"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sound.wav", "video.mp4", "whole.mp4"]
