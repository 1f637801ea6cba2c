"""Read the sound of any file as mono float samples on the clock of its pictures, and write WAV files."""

import os
import wave
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import cast

import av
import numpy as np

from svp.errors import InputError
from svp.media.container import declared_end, decode, find_stream, first_frame_time, open_media

SAMPLE_RATE = 16000
# Time stamps may be rounded to milliseconds; a larger step is a gap or an overlap in the recording.
_GAP_SECONDS = 0.04


def read_audio(path: str | PathLike[str], sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The sound of a sound or video file.

    Sample 0 is heard with the first picture (or is the first sample of a file without pictures): sound that starts
    late is preceded by silence, sound from before the first picture is cut, gaps in the time stamps are silent.

    Returns:
        (samples,) float32 mono in [-1, 1] at `sample_rate`.

    Raises:
        InputError: if the file is missing, unreadable, truncated, has no sound or one with NaN or infinite values.
    """
    samples = read_audio_or_none(path, sample_rate)
    if samples is None:
        raise _no_sound(path)
    return samples


def check_sound(path: str | PathLike[str]) -> None:
    """Whether a file opens and has an audio track; nothing is decoded.

    Raises:
        InputError: if not.
    """
    with open_media(path) as container:
        if find_stream(container, "audio") is None:
            raise _no_sound(path)


def _no_sound(path: str | PathLike[str]) -> InputError:
    return InputError(f"{path}: has no sound; give a file with an audio track")


def read_audio_or_none(path: str | PathLike[str], sample_rate: int = SAMPLE_RATE) -> np.ndarray | None:
    """As `read_audio`, but None for a readable file without an audio track."""
    path = Path(path)
    with open_media(path) as container:
        stream = find_stream(container, "audio")
        if stream is None:
            return None
        has_video = find_stream(container, "video") is not None
        zero = first_frame_time(path) if has_video else None
        end = declared_end(container, stream)
        runs = list(_runs(cast(Iterator[av.AudioFrame], decode(container, stream, path)), sample_rate))
    if zero is None:
        zero = runs[0][0]
    placed = [(round((start - zero) * sample_rate), samples) for start, samples in runs]
    length = max(0, max(at + len(samples) for at, samples in placed))
    if end is not None:  # a codec's last packet is longer than the sound in it
        length = min(length, max(0, round((end - zero) * sample_rate)))
    sound = np.zeros(length, np.float32)
    for at, samples in placed:
        first, last = max(0, at), min(length, at + len(samples))
        if last > first:
            sound[first:last] = samples[first - at : last - at]
    if not np.isfinite(sound).all():
        raise InputError(f"{path}: its sound has values that are no numbers; export it again, as 16-bit sound")
    return sound


def _runs(frames: Iterator[av.AudioFrame], sample_rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """Stretches of gapless sound as (start in seconds, mono samples); only the resampled sound is held."""
    resampler: av.AudioResampler | None = None
    chunks: list[np.ndarray] = []
    start, expected, kind = 0.0, 0.0, None
    for frame in frames:
        time = expected if frame.time is None else frame.time
        if resampler is None or abs(time - expected) > _GAP_SECONDS or kind != _kind(frame):
            if resampler is not None:
                yield start, _finish(resampler, chunks)
            # rematrix_maxval: channels are weighed to a sum of 1, so that the mix cannot exceed full scale.
            options = {"rematrix_maxval": "1.0"}
            resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate, options=options)
            chunks = []
            start, expected, kind = time, time, _kind(frame)
        expected += frame.samples / frame.sample_rate
        frame.pts = None  # the run's start is kept here; jitter of single stamps must not reach the resampler
        chunks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    if resampler is not None:
        yield start, _finish(resampler, chunks)


def _kind(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _finish(resampler: av.AudioResampler, chunks: list[np.ndarray]) -> np.ndarray:
    chunks = chunks + [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(chunks).astype(np.float32, copy=False) if chunks else np.zeros(0, np.float32)


def write_wav(path: str | PathLike[str], samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono samples in [-1, 1], (samples,), as 16-bit PCM; the file appears only when complete.

    Raises:
        InputError: if the folder cannot be written.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples {samples.shape} must be (samples,)")
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    pcm = np.round(np.clip(samples.astype(np.float64), -1, 1) * 32767).astype("<i2")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(partial), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sample_rate)
            file.writeframes(pcm.tobytes())
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    finally:
        partial.unlink(missing_ok=True)
