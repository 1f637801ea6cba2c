"""One clip of a prepared dataset: its files, and reading any part of them without the rest.

Shapes: N frames of the clip, n frames that were asked for.
"""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from safetensors import SafetensorError, safe_open

from svp.datasets.manifest import ClipRow
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE
from svp.media.video import FPS

SAMPLES_PER_FRAME = SAMPLE_RATE // int(FPS)


def clip_files(clip_id: str, has_video: bool = True) -> dict[str, str]:
    """Paths of a clip's files inside its dataset."""
    video = {"video": f"clips/{clip_id}.mp4"} if has_video else {}
    return {**video, "sound": f"clips/{clip_id}.wav", "features": f"features/{clip_id}.safetensors"}


class Clip:
    """One accepted clip; nothing is read before it is asked for, and then only that part."""

    def __init__(self, root: Path, row: ClipRow) -> None:
        self.row = row
        files = clip_files(row.clip_id)
        self.video_path, self.audio_path, self.features_path = (
            root / files[name] for name in ("video", "sound", "features")
        )

    def __len__(self) -> int:
        return self.row.frames

    def features(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames start:stop of a feature; only these rows are read from the file."""
        first, last = self._span(start, stop)
        try:
            with safe_open(self.features_path, framework="np") as file:
                if name not in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    raise KeyError(f"{self.features_path}: no feature {name!r}; it has {', '.join(file.keys())}")
                return file.get_slice(name)[first:last]
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.features_path}: unreadable ({error}); prepare this clip again") from error

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames start:stop, (n,size,size,3) uint8 RGB; decoding begins at the key frame before them."""
        return np.stack(list(self.iter_frames(start, stop)))

    def iter_frames(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Frames start:stop one at a time.

        Raises:
            InputError: the clip has no pictures, or its file is damaged.
        """
        first, last = self._span(start, stop)
        if not self.row.has_video:
            raise InputError(f"{self.features_path}: a clip of coefficients, without pictures; use a clip of video")
        expected = first
        try:
            with av.open(f"file:{self.video_path}", "r", "mp4") as container:  # nothing else, of a stranger's dataset
                for index, picture in _decode_from(container, first):
                    if index == expected:
                        yield picture.to_ndarray(format="rgb24")
                        expected += 1
                    if index >= last - 1:
                        break
        except av.FFmpegError as error:
            raise InputError(f"{self.video_path}: unreadable ({error}); prepare this clip again") from error
        if expected != last:
            raise InputError(f"{self.video_path}: frame {expected} of {len(self)} is missing; prepare this clip again")

    def audio(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Sound of the frames start:stop, float32 at 16 kHz, 640 samples per frame."""
        first, last = self._span(start, stop)
        return read_wav_span(self.audio_path, first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME)

    def _span(self, start: int, stop: int | None) -> tuple[int, int]:
        last = len(self) if stop is None else stop
        if not 0 <= start < last <= len(self):
            raise ValueError(f"{self.row.clip_id}: frames {start}:{last} are not within 0:{len(self)}")
        return start, last


def _decode_from(container: Any, first: int) -> Iterator[tuple[int, Any]]:
    """(frame number, picture) from the key frame before `first` on.

    A seek goes by decoding time; where pictures are reordered it may land behind the wanted frame, so it is repeated
    from further ahead.
    """
    stream = container.streams.video[0]
    origin = stream.start_time or 0

    def number(picture: Any) -> int:
        return round(float((picture.pts - origin) * stream.time_base) * FPS)

    for target in (first, first - 8, 0):
        if target > 0:
            container.seek(origin + int(target / FPS / stream.time_base), stream=stream)
        else:
            container.seek(origin, stream=stream)
        pictures = container.decode(stream)
        picture = next(pictures, None)
        if picture is not None and (number(picture) <= first or target <= 0):
            yield number(picture), picture
            yield from ((number(later), later) for later in pictures)
            return


def read_wav_span(path: Path, start: int, stop: int) -> np.ndarray:
    """Samples start:stop of a mono 16-bit wav file as float32; only these are read."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, SAMPLE_RATE):
                raise InputError(f"{path}: not 16-bit mono at {SAMPLE_RATE} Hz; prepare this clip again")
            file.setpos(start)
            data = file.readframes(stop - start)
            if len(data) != 2 * (stop - start):
                raise EOFError(f"ends at sample {start + len(data) // 2}")
    except (wave.Error, EOFError, OSError) as error:
        raise InputError(f"{path}: unreadable ({error}); prepare this clip again") from error
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768.0
