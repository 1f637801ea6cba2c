"""Small media files made on the spot, with the oddities of real ones."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

CELL = 8  # pixels of one bit
BITS = 16
SIDE = 32


def number_frame(number: int) -> np.ndarray:
    """(32, 32, 3) uint8: a number as 4 x 4 black and white blocks; survives any codec."""
    bits = (number >> np.arange(BITS)) & 1
    grey = (bits * 255).astype(np.uint8).reshape(4, 4).repeat(CELL, 0).repeat(CELL, 1)
    return np.repeat(grey[..., None], 3, axis=2)


def read_number(frame: np.ndarray) -> int:
    centres = frame[CELL // 2 :: CELL, CELL // 2 :: CELL, 1].reshape(-1) > 127
    return int((centres * (1 << np.arange(BITS))).sum())


def encode_video(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: Fraction | int = 25,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
) -> Path:
    """Frames at a constant rate, or at given time stamps in seconds (milliseconds are kept)."""
    with av.open(str(path), "w") as container:
        stream, converter = None, VideoReformatter()
        for index, frame in enumerate(frames):
            if stream is None:
                options = {"preset": "ultrafast", "g": "25"} if codec == "libx264" else {}
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = converter.reformat(picture, format="yuv420p", threads=1)
            picture.pts = index if times is None else round(times[index] * 1000)
            picture.time_base = 1 / Fraction(rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def encode_sound(
    path: Path, samples: np.ndarray, sample_rate: int, codec: str = "pcm_s16le", chunks: Sequence[tuple[int, int]] = ()
) -> Path:
    """Sound (channels, samples) float; `chunks` of (first sample, time stamp in samples) leave gaps between them."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        bounds = [first for first, _ in chunks] + [samples.shape[1]] if chunks else [0, samples.shape[1]]
        stamps = [stamp for _, stamp in chunks] or [0]
        for first, last, stamp in zip(bounds[:-1], bounds[1:], stamps, strict=True):
            _mux_sound(container, stream, samples[:, first:last], sample_rate, stamp)
        container.mux(stream.encode(None))
    return path


def encode_clip(path: Path, video_start: float, sound_start: float, tone_at: float, seconds: float) -> Path:
    """Matroska clip whose tracks start at different times; the sound is a tone from `tone_at` (clock of the file)."""
    rate = 16000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for index in range(round(seconds * 25)):
            picture = av.VideoFrame.from_ndarray(number_frame(index), format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = round((video_start + index / 25) * 1000), Fraction(1, 1000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        clock = sound_start + np.arange(round(seconds * rate)) / rate
        tone = np.where(clock >= tone_at, 0.5, 0.0)[None].astype(np.float32)
        _mux_sound(container, sound, tone, rate, round(sound_start * rate))
        container.mux(sound.encode(None))
    return path


def _mux_sound(container, stream, samples: np.ndarray, sample_rate: int, stamp: int) -> None:
    pcm = stream.codec_context.name.startswith("pcm")
    data = (samples.T.reshape(1, -1) * 32767).astype(np.int16) if pcm else samples.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(data, format="s16" if pcm else "fltp", layout=stream.codec_context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, stamp, Fraction(1, sample_rate)
    container.mux(stream.encode(frame))


def turn(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into the track header of an MP4: a point (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of times, ids, layer and volume
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
