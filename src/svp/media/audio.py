"""Read the sound of any file as mono float samples on the clock of its pictures, and write WAV files."""

import wave
from array import array
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Stream

from svp.errors import InputError
from svp.media.container import check_gap, declared_end, decode, find_stream, first_frame_time, open_media
from svp.media.whole_file import output_file

SAMPLE_RATE = 16000
# Time stamps may be rounded to milliseconds; a larger step is a gap or an overlap in the recording.
_GAP_SECONDS = 0.04
_CHECKED_SECONDS = 60


def read_audio(path: str | PathLike[str], sample_rate: int = SAMPLE_RATE, stop: float | None = None) -> np.ndarray:
    """The sound of a sound or video file.

    Sample 0 is heard with the first picture (or is the first sample of a file without pictures): sound that starts
    late is preceded by silence, sound from before the first picture is cut, gaps in the time stamps are silent. Hardly
    more is read than up to `stop` seconds.

    Returns:
        (samples,) float32 mono in [-1, 1] at `sample_rate`.

    Raises:
        InputError: if the file is missing, unreadable, truncated, has no sound or one with NaN or infinite values.
    """
    samples = read_audio_or_none(path, sample_rate, stop)
    if samples is None:
        raise _no_sound(path)
    return samples


def count_samples(path: str | PathLike[str], sample_rate: int = SAMPLE_RATE) -> int:
    """How many samples `read_audio` gives, none of which is held. Errors as there."""
    return sum(map(len, audio_blocks(path, sample_rate)))


def audio_blocks(path: str | PathLike[str], sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """What `read_audio` gives piece by piece, (n,) each, read as it is taken. Errors as there."""
    blocks = sound_blocks(path, sample_rate)
    if blocks is None:
        raise _no_sound(path)
    return blocks


def check_sound(path: str | PathLike[str]) -> None:
    """Whether a file has sound that can be read; its first minute is, and what is wrong later is told when it is used.

    Raises:
        InputError: if not.
    """
    read_audio(path, stop=_CHECKED_SECONDS)


def read_audio_or_none(
    path: str | PathLike[str], sample_rate: int = SAMPLE_RATE, stop: float | None = None
) -> np.ndarray | None:
    """As `read_audio`, but None for a readable file without an audio track; hardly more is read than up to `stop`."""
    blocks = sound_blocks(path, sample_rate)
    if blocks is None:
        return None
    sound = array("f")  # grows without a second copy
    for block in blocks:
        sound.frombytes(block.tobytes())
        if stop is not None and len(sound) >= stop * sample_rate:
            break
    return np.frombuffer(sound, np.float32) if sound else np.zeros(0, np.float32)


def _no_sound(path: str | PathLike[str]) -> InputError:
    return InputError(f"{path}: has no sound; give a file with an audio track")


def sound_blocks(path: str | PathLike[str], sample_rate: int) -> Iterator[np.ndarray] | None:
    """The sound of `read_audio` piece by piece, (n,) each, read as it is taken; None for a file without an audio track.

    Raises:
        InputError: as `read_audio`; what is found wrong behind the beginning is told where it is reached.
    """
    path = Path(path)
    with open_media(path) as container:
        if find_stream(container, "audio") is None:
            return None
        has_video = find_stream(container, "video") is not None
    return _placed_blocks(path, sample_rate, first_frame_time(path) if has_video else None)


def _placed_blocks(path: Path, sample_rate: int, zero: float | None) -> Iterator[np.ndarray]:
    """Blocks from the time `zero` on (the first sample by default), with silence in gaps; an overlap is heard once."""
    given, place = 0, 0  # samples that were yielded, where the next ones belong
    limit: int | None = None
    with open_media(path) as container:
        stream = cast(Stream, find_stream(container, "audio"))
        end = declared_end(container, stream)
        frames = cast(Iterator[av.AudioFrame], decode(container, stream, path))
        for start, samples in _runs(frames, sample_rate, path):
            if zero is None:
                zero = start or 0.0
            if start is not None:
                place = round((start - zero) * sample_rate)
                if end is not None:  # a codec's last packet is longer than the sound in it
                    limit = max(0, round((end - zero) * sample_rate))
            first, place = place, place + len(samples)
            if limit is not None:
                samples = samples[: max(0, limit - first)]
            if not np.isfinite(samples).all():
                raise InputError(f"{path}: its sound has values that are no numbers; export it again, as 16-bit sound")
            check_gap(path, (first - given) / sample_rate)
            while given < first and len(samples):
                silence = np.zeros(min(first - given, sample_rate), np.float32)
                given += len(silence)
                yield silence
            samples = samples[max(0, given - first) :]
            if len(samples):
                given += len(samples)
                yield np.clip(samples, -1, 1)  # floats may go beyond full scale


def _runs(frames: Iterator[av.AudioFrame], sample_rate: int, path: Path) -> Iterator[tuple[float | None, np.ndarray]]:
    """Resampled mono blocks; the first of each gapless stretch with its start in seconds, the others with None."""
    resampler: av.AudioResampler | None = None
    start: float | None = None
    expected, kind = 0.0, None
    for frame in frames:
        time = expected if frame.time is None else frame.time
        if resampler is None or abs(time - expected) > _GAP_SECONDS or kind != _kind(frame):
            if resampler is not None:
                yield start, _samples(resampler, None)
            # rematrix_maxval: channels are weighed to a sum of 1, so that the mix cannot exceed full scale.
            options = {"rematrix_maxval": "1.0"}
            resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate, options=options)
            start, expected, kind = time, time, _kind(frame)
        expected += frame.samples / frame.sample_rate
        frame.pts = None  # the run's start is kept here; jitter of single stamps must not reach the resampler
        try:
            samples = _samples(resampler, frame)
        except FFmpegError as error:
            channels = frame.layout.nb_channels
            raise InputError(f"{path}: its {channels} channels cannot be mixed; export it with one or two") from error
        if len(samples):
            yield start, samples
            start = None
    if resampler is not None:
        yield start, _samples(resampler, None)


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> np.ndarray:
    """What the resampler gives for a frame, (n,) float32; for None what it still holds."""
    parts = [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts).astype(np.float32, copy=False) if parts else np.zeros(0, np.float32)


def _kind(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def write_wav(path: str | PathLike[str], samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono samples in [-1, 1], (samples,), as 16-bit PCM; the file appears only when complete.

    Raises:
        InputError: if the folder cannot be written.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples {samples.shape} must be (samples,)")
    path = Path(path)
    pcm = np.round(np.clip(samples.astype(np.float64), -1, 1) * 32767).astype("<i2")
    with output_file(path) as partial, wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.tobytes())
