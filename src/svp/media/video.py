"""Read frames of any video at a fixed rate and write H.264 + AAC, one frame at a time.

Frames are (H, W, 3) uint8 RGB. Time zero of a clip is its first picture; all rates are floats, so nothing drifts.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE
from svp.media.container import check_codec, check_gap, decode, find_stream, frame_seconds, open_media
from svp.media.decoded_frame import DecodedFrame, shown_width
from svp.media.image import check_size
from svp.media.whole_file import partial_path, writing

FPS = 25.0
FRAMES_PER_SECOND = int(FPS)
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_SUFFIXES = (".mp4", ".m4v", ".mov")
# Without it x264 writes other bytes in every run of the very same frames.
_REPRODUCIBLE = {"x264-params": "cpu-independent=1"}
_TIE = 1e-6  # seconds; between two equally near frames the earlier one stays


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds. Width and height are those a viewer sees: rotated, with square pixels."""

    path: Path
    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool


def probe(path: str | PathLike[str]) -> VideoInfo:
    """Look into a video: size, rate and length; its first frame is decoded.

    Raises:
        InputError: if the file is missing, unreadable or has no picture.
    """
    path = Path(path)
    with open_media(path) as container:
        stream = _video_stream(container, path)
        first = cast(av.VideoFrame, next(decode(container, stream, path)))
        height, width = _shown(first, stream, path, VideoReformatter()).picture().shape[:2]
        fps = float(stream.average_rate or stream.guessed_rate or FPS)
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / av.time_base
        else:
            seconds = stream.frames / fps
        return VideoInfo(path, width, height, fps, seconds, find_stream(container, "audio") is not None)


def largest_frame(paths: Iterable[Path]) -> int:
    """Pixels of a frame of the largest of some videos; 0 of none. Errors as `probe`."""
    return max((video.width * video.height for video in map(probe, paths)), default=0)


def read_frames(
    path: str | PathLike[str], fps: float | None = FPS, start: float = 0.0, seconds: float | None = None
) -> Iterator[np.ndarray]:
    """Frames of a video in order, resampled by time stamps; only a few are held at a time.

    Args:
        fps: output rate; frame k shows the source at time `start + k / fps`. None gives every source frame as it is.
        start: seconds after the first picture.
        seconds: length to read; None reads to the end.

    Yields:
        (H, W, 3) uint8 RGB, upright; who gets a frame may draw on it, as one that is repeated is made anew.

    Raises:
        InputError: if the file is missing, unreadable, truncated, has no picture, or ends before `start`.
    """
    for frame in decoded_frames(path, fps, start, seconds):
        yield frame.picture()


def decoded_frames(
    path: str | PathLike[str], fps: float | None = FPS, start: float = 0.0, seconds: float | None = None
) -> Iterator[DecodedFrame]:
    """As `read_frames`, before anything is a picture."""
    path = Path(path)
    if start < 0 or (seconds is not None and seconds <= 0) or (fps is not None and fps <= 0):
        raise ValueError(f"start {start}, seconds {seconds} and fps {fps} must be positive")
    with open_media(path) as container:
        stream = _video_stream(container, path)
        timed = _timed_frames(container, stream, path, start)
        limit = None if seconds is None or fps is None else max(1, round(seconds * fps))
        count = 0
        chosen: Iterator[av.VideoFrame]
        if fps is None:
            chosen = (frame for time, _, frame in timed if seconds is None or time < seconds - _TIE)
        else:
            chosen = _resample(timed, fps)
        converter = VideoReformatter()
        for frame in chosen:
            yield _shown(frame, stream, path, converter)
            count += 1
            if count == limit:
                return
        if count == 0:
            raise InputError(f"{path}: ends before {start:.2f} s; choose an earlier start")


def count_frames(n_samples: int) -> int:
    """Frames of a recording of 16-kHz samples: round(25 x seconds), halves up, at least one."""
    return max(1, (2 * n_samples * FRAMES_PER_SECOND + SAMPLE_RATE) // (2 * SAMPLE_RATE))


def nearest_times(starts: Iterable[tuple[float, float]], fps: float) -> Iterator[int]:
    """Which source frame each output frame shows, streaming.

    A source frame replaces the one before it as soon as it is nearer in time, but never more than one output frame
    ahead of its own time stamp (so that long holds of a variable frame rate stay holds).

    Args:
        starts: (time stamp, duration) in seconds of each source frame, time stamps rising.
        fps: output rate.

    Yields:
        Source index for output frames 0, 1, 2, ...; as many as fit in the clip, at least one.
    """
    due: deque[int] = deque()  # of the next output frames; whether they fit is known later
    index, given = -1, 0
    time, end = 0.0, 0.0
    for index, (next_time, duration) in enumerate(starts):
        if index > 0:
            switch = next_time - min((next_time - time) / 2, 1 / fps)
            while (given + len(due)) / fps <= switch + _TIE:
                due.append(index - 1)
        time, end = next_time, next_time + duration
        while due and given < _fitting(end, fps):
            yield due.popleft()
            given += 1
    if index < 0:
        return
    while given < max(1, _fitting(end, fps)):
        yield due.popleft() if due else index
        given += 1


def _fitting(seconds: float, fps: float) -> int:
    """Frames in so many seconds, halves up."""
    return int(np.floor(seconds * fps + 0.5 + _TIE))


def _resample(timed: Iterable[tuple[float, float, av.VideoFrame]], fps: float) -> Iterator[av.VideoFrame]:
    """Frames at a fixed rate from frames with time stamps and durations."""
    held: dict[int, av.VideoFrame] = {}

    def stamps() -> Iterator[tuple[float, float]]:
        for index, (time, duration, frame) in enumerate(timed):
            held[index] = frame
            yield time, duration

    for index in nearest_times(stamps(), fps):
        for passed in [i for i in held if i < index]:
            del held[passed]
        yield held[index]


def _timed_frames(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, start: float
) -> Iterator[tuple[float, float, av.VideoFrame]]:
    """(seconds after `start`, duration, frame), rising; the first is the one shown at `start`.

    Files without time stamps count frames by their rate; a stamp that does not rise is a duplicate and is dropped.
    """
    period = 1 / float(stream.average_rate or stream.guessed_rate or FPS)
    frames = decode(container, stream, path)
    first = next(frames)
    zero = first.time or 0.0
    if start > 0 and first.time is not None:  # without time stamps there is nothing to seek by
        try:
            _seek(container, stream, zero + start)
            frames = decode(container, stream, path)
            first = next(frames)
            landed = first.time is not None and first.time <= zero + start
        except (InputError, FFmpegError):
            landed = False
        if not landed:  # the file's index is poor: decode from its start
            _seek(container, stream, zero)
            frames = decode(container, stream, path)
            first = next(frames)
    before: tuple[float, float, av.VideoFrame] | None = None
    last = -np.inf
    pending: av.VideoFrame | None = cast(av.VideoFrame, first)
    while pending is not None:
        time = last + period if pending.time is None and np.isfinite(last) else (pending.time or 0.0)
        if time > last:
            check_gap(path, time - last if np.isfinite(last) else 0.0)
            last = time
            item = (time - zero - start, frame_seconds(pending) or period, pending)
            if item[0] <= 0 and start > 0:
                before = item
            else:
                if before is not None:
                    yield before
                    before = None
                yield item
        pending = cast("av.VideoFrame | None", next(frames, None))
    if before is not None and before[0] + before[1] > _TIE:
        yield before


def _seek(container: av.container.InputContainer, stream: av.VideoStream, seconds: float) -> None:
    """Go to the key frame at or before a time stamp."""
    container.seek(int(seconds / (stream.time_base or Fraction(1, av.time_base))), stream=stream, backward=True)


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    stream = find_stream(container, "video")
    if stream is None:
        raise InputError(f"{path}: has no picture; give a video")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise InputError(f"{path}: is a still picture; give a video")
    check_codec(stream, path)
    video = cast(av.VideoStream, stream)
    check_size(path, shown_width(video, video.width), video.height)
    video.thread_type = "AUTO"
    return video


def _shown(frame: av.VideoFrame, stream: av.VideoStream, path: Path, converter: VideoReformatter) -> DecodedFrame:
    """A frame as it will be seen; its size, and the shape of its pixels, may be others than the file's header says."""
    width = shown_width(stream, frame.width)
    check_size(path, width, frame.height)
    return DecodedFrame(frame, width, converter)


class VideoWriter:
    """Writes frames as they come to an MP4 that plays everywhere: H.264, yuv420p, AAC, index in front (faststart).

    The file appears under its name when the `with` block ends without an error, and not before. Sound is cut or
    padded with silence to the length of the pictures. H.264 needs even sizes: an odd one
    repeats its last row or column.

    Args:
        path: `.mp4`, `.m4v` or `.mov`; missing folders are made.
        width, height: of the frames, in pixels.
        fps: pictures per second.
        audio: mono samples in [-1, 1], (samples,), or successive blocks of them, taken as they are needed; None for a
            silent film.
        sample_rate: of `audio`, one that AAC knows.
        crf: quality of x264, lower is better (18 is hardly told from the source).
        preset: of x264; a quicker one makes larger files of slightly less quality.
        key_every: most frames from one key frame to the next, x264's own choice by default; few make a frame in the
            middle quick to read and the file larger.
        finish: called with the complete file before it gets its name; it may change it.

    Raises:
        InputError: if the name has another suffix or the folder cannot be written.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        width: int,
        height: int,
        fps: float = FPS,
        audio: np.ndarray | Iterable[np.ndarray] | None = None,
        sample_rate: int = 16000,
        crf: int = 18,
        preset: str = "medium",
        key_every: int | None = None,
        finish: Callable[[Path], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.width, self.height, self.fps = width, height, fps
        self.frames_written = 0
        if self.path.suffix.lower() not in _SUFFIXES:
            raise InputError(f"{self.path}: videos are written as {', '.join(_SUFFIXES)}; change the suffix")
        if width < 1 or height < 1 or fps <= 0:
            raise ValueError(f"size {width} x {height} and fps {fps} must be positive")
        if isinstance(audio, np.ndarray) and audio.ndim != 1:
            raise ValueError(f"audio {audio.shape} must be (samples,)")
        if audio is not None and sample_rate not in AAC_RATES:
            raise ValueError(f"audio at {sample_rate} Hz must be at one of {AAC_RATES}")
        self._finish = finish
        self._partial = partial_path(self.path)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                f"file:{self._partial}", mode="w", format="mp4", options={"movflags": "+faststart"}
            )
        self._video = self._container.add_stream(
            "libx264",
            rate=Fraction(fps).limit_denominator(1001),
            options={"crf": str(crf), "preset": preset, **_REPRODUCIBLE},
        )
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        if key_every is not None:
            context.gop_size = key_every
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._converter = VideoReformatter()
        self._audio = None if audio is None else iter([audio] if isinstance(audio, np.ndarray) else audio)
        self._heard = np.zeros(0, np.float32)  # taken from the recording, not yet written
        self._sample_rate = sample_rate
        self._samples_written = 0
        if audio is not None:
            self._sound = self._container.add_stream("aac", rate=sample_rate, layout="mono")
            self._sound.bit_rate = 96_000

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, (H, W, 3) uint8 RGB, and the sound that belongs to it."""
        if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame {frame.shape} {frame.dtype} must be ({self.height}, {self.width}, 3) uint8")
        if self.width % 2 or self.height % 2:
            frame = np.pad(frame, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        picture = self._converter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        picture.pts = self.frames_written
        picture.time_base = 1 / Fraction(self.fps).limit_denominator(1001)
        self._mux(self._video.encode(picture))
        self.frames_written += 1
        self._write_sound(round(self.frames_written / self.fps * self._sample_rate))

    def _write_sound(self, stop: int) -> None:
        """Encode the sound up to sample `stop`; silence where the recording has ended."""
        if self._audio is None or stop <= self._samples_written:
            return
        wanted = stop - self._samples_written
        while len(self._heard) < wanted and (block := next(self._audio, None)) is not None:
            self._heard = np.concatenate((self._heard, block)) if len(self._heard) else block
        chunk, self._heard = self._heard[:wanted].astype(np.float32), self._heard[wanted:]
        chunk = np.pad(chunk, (0, wanted - len(chunk)))
        sound = av.AudioFrame.from_ndarray(np.clip(chunk, -1, 1)[None], format="fltp", layout="mono")
        sound.sample_rate = self._sample_rate
        sound.time_base = Fraction(1, self._sample_rate)
        sound.pts = self._samples_written
        self._mux(self._sound.encode(sound))
        self._samples_written = stop

    def _mux(self, packets: list[av.Packet]) -> None:
        with writing(self.path):
            self._container.mux(packets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.frames_written == 0:
                    raise ValueError(f"{self.path}: no frame was written")
                self._mux(self._video.encode(None))
                if self._audio is not None:
                    self._mux(self._sound.encode(None))
                with writing(self.path):
                    self._container.close()
                    if self._finish is not None:
                        self._finish(self._partial)
                    os.replace(self._partial, self.path)
        finally:
            with suppress(OSError):  # what cannot be closed cannot be written, which is told already
                self._container.close()
            self._partial.unlink(missing_ok=True)
