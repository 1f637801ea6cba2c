"""Two runs of `svp generate` with one output: the second one is told, and the first one's video is whole."""

import os
import signal
from pathlib import Path

from tiny_pipeline import tiny_pipeline, tone

from svp.media.audio import write_wav
from svp.media.verification import verify_video
from svp.media.video import read_frames
from warm_process import WarmCommand, wait_until

PORTRAIT = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


def test_a_second_run_on_the_same_output_ends_with_one_line(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "model")
    write_wav(tmp_path / "sound.wav", tone(1.0))
    inputs = ("--model", tmp_path / "model", "--portrait", PORTRAIT, "--audio", tmp_path / "sound.wav", "--steps", 1)
    arguments = ("generate", *inputs, "-o", video := tmp_path / "video.mp4")

    first = WarmCommand(*arguments)
    wait_until((partial := tmp_path / "video.mp4.partial").exists)
    os.kill(first.process.pid, signal.SIGSTOP)  # in the middle of its work
    try:
        assert partial.exists() and not video.exists()
        second = WarmCommand(*arguments).wait()
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert second.returncode == 2 and not second.stdout
    [line] = second.stderr.splitlines()
    assert line == f"svp: {video}: another run is making it; wait until it has ended"
    assert first.wait().returncode == 0
    assert len(list(read_frames(video))) == 25 and verify_video(video).state == "valid"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sound.wav", "video.mp4"]
