"""Recordings on disk: the samples of `read_audio`, in memory only while they are looked at."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_pipeline import tiny_pipeline, tone
from torch import Tensor

from svp.errors import InputError
from svp.media import recording
from svp.media.audio import read_audio, write_wav
from svp.media.recording import forget, read_recording

ADA = Path(__file__).parents[2] / "samples" / "portraits" / "ada.png"


def resident(samples: np.ndarray) -> int:
    """Bytes in memory of the mapping in which samples lie."""
    address, inside = samples.ctypes.data, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Rss:":
            return 1024 * int(rest[0])
    raise AssertionError("no such mapping")


def test_a_long_recording_waits_on_disk_and_sounds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "long.wav", tone(20.0))
    short = read_recording(tmp_path / "long.wav")
    monkeypatch.setattr(recording, "HELD_BYTES", 1 << 16)
    long = read_recording(tmp_path / "long.wav")
    expected = read_audio(tmp_path / "long.wav")
    assert long.dtype == np.float32 and np.array_equal(short, expected) and np.array_equal(long, expected)
    assert resident(long) >= long.nbytes - 8192
    forget(long)
    assert resident(long) == 0
    assert np.array_equal(long, expected)
    forget(short)  # in memory, and stays
    assert np.array_equal(short, expected)


def test_a_long_recording_without_room_for_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "long.wav", tone(5.0))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert len(read_recording(tmp_path / "long.wav")) == 80_000  # a short one needs none
    monkeypatch.setattr(recording, "HELD_BYTES", 1 << 16)
    with pytest.raises(InputError, match=r"temporary files: cannot be written .*TMPDIR"):
        read_recording(tmp_path / "long.wav")


def test_a_video_of_a_long_recording_is_that_of_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, portrait = tiny_pipeline(), ADA
    write_wav(tmp_path / "long.wav", tone(2.0))
    held = pipeline(portrait, read_audio(tmp_path / "long.wav"), None, "still").frames
    monkeypatch.setattr(recording, "HELD_BYTES", 1 << 16)
    encoder, heard = pipeline.audio_encoder, []
    stream = encoder.stream

    def watched(samples: np.ndarray, *rest: float) -> Iterator[Tensor]:
        heard.append(resident(samples))
        return stream(samples, *rest)

    monkeypatch.setattr(type(encoder), "stream", lambda _, *given: watched(*given))
    assert np.array_equal(pipeline(portrait, tmp_path / "long.wav", None, "still").frames, held)
    assert heard == [0], "the whole recording is in memory while networks run"
