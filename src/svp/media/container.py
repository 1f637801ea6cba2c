"""Open a media file and walk over one of its streams, with errors that a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Literal, cast

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.frame import Frame
from av.stream import Disposition, Stream

from svp.errors import InputError

Kind = Literal["video", "audio"]

# What FFmpeg may take a file for: not for a list of other files or addresses (HLS, DASH, concat, SDP, ...), as what is
# uploaded must not make it open what else lies on the machine; nor for plain text, which it would draw.
_FORMATS = (
    *("mov", "matroska", "avi", "asf", "flv", "mpeg", "mpegts", "mpegvideo", "mxf", "gxf", "dv", "rm"),
    *("nut", "wtv", "ivf", "obu", "h261", "h263", "h264", "hevc", "vvc", "av1", "m4v", "vc1", "mjpeg", "yuv4mpegpipe"),
    *("gif", "apng", "ogg", "wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "loas", "ac3", "eac3", "dts"),
    *("truehd", "mlp", "amr", "ape", "wv", "tta", "tak", "mpc", "mpc8", "shn", "dsf", "oma", "xwma", "voc", "gsm"),
    *("g722", "sox", "ircam", "nistsphere"),
    # still pictures, which are told as such
    *("image2", "png_pipe", "jpeg_pipe", "webp_pipe", "tiff_pipe", "bmp_pipe", "gif_pipe", "ppm_pipe", "j2k_pipe"),
)
_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "pattern_type": "none"}  # a % in a name is no number of a picture
# A stream that ends this much before its declared end has lost its tail (rounding of a packet stays below).
_MISSING_TAIL_SECONDS = 0.5
_LONGEST_GAP = 3600.0  # seconds that nothing may be seen or heard; more is a wrong time stamp


@contextmanager
def open_media(path: str | PathLike[str]) -> Iterator[InputContainer]:
    """Open a file for reading.

    Raises:
        InputError: if the file is missing, empty, a folder, or nothing FFmpeg can read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a media file in it")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or record it again")
    try:
        # "file:" keeps FFmpeg from reading a colon in the name as a protocol.
        container = av.open(f"file:{path}", mode="r", options=dict(_OPTIONS), metadata_errors="replace")
    except ArgumentError as error:  # it is none of the formats
        told = "not a media file that is read here (damaged, or a list of other files?)"
        raise InputError(f"{path}: {told}; give the recording itself, such as .mp4 or .wav") from error
    except (FFmpegError, OSError) as error:
        raise unreadable(path, error) from error
    with container:
        if _riff_is_short(path) or ("mp4" in container.format.name and _index_points_past_end(container, path)):
            raise InputError(f"{path}: truncated, the file ends before its last frames; copy it again")
        yield container


def _riff_is_short(path: Path) -> bool:
    """True for a WAV or AVI shorter than its header says; FFmpeg would play what is there.

    Programs that write to a pipe leave 0 or a very large number there, and some count a little wrong.
    """
    with path.open("rb") as file:
        head = file.read(8)
    stated = int.from_bytes(head[4:], "little")
    return head[:4] == b"RIFF" and stated < 0x7FFF0000 and path.stat().st_size + 4096 < stated


def _index_points_past_end(container: InputContainer, path: Path) -> bool:
    """True for an MP4 whose index (which stands in its header) names bytes that the file does not have."""
    size = path.stat().st_size
    for stream in container.streams:
        if entries := len(stream.index_entries):
            last = stream.index_entries[entries - 1]
            if last.pos + last.size > size:
                return True
    return False


def check_gap(path: Path, seconds: float) -> None:
    """Whether so long a gap in a track can be meant; it will be filled with silence, or with the picture before.

    Raises:
        InputError: it cannot.
    """
    if seconds > _LONGEST_GAP:
        raise InputError(f"{path}: its time stamps leap by hours; convert it again")


def unreadable(path: Path, error: BaseException) -> InputError:
    """The error for a file whose bytes FFmpeg rejects."""
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read it; change its permissions or copy it")
    return InputError(f"{path}: not a readable media file (damaged, truncated or not media); convert or copy it again")


def find_stream(container: InputContainer, kind: Kind) -> Stream | None:
    """First real stream of a kind; the cover picture of a song is not a video."""
    candidates = container.streams.video if kind == "video" else container.streams.audio
    for stream in candidates:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def check_codec(stream: Stream, path: Path) -> None:
    """Whether FFmpeg has a decoder for a stream.

    Raises:
        InputError: it has none, so that PyAV knows neither its size nor its rate.
    """
    if stream.codec_context is None:
        raise InputError(f"{path}: its {stream.type} has a codec that FFmpeg does not know; convert it to .mp4 or .wav")


def decode(container: InputContainer, stream: Stream, path: Path) -> Iterator[Frame]:
    """Decode a stream from the current position to its end.

    Single packets that cannot be decoded are skipped, as every player does; a stream without one decodable frame,
    or one that ends well before its declared end, is an error (MP4 is checked when it is opened: its declared end
    may lie behind a trimmed one).

    Yields:
        Frames in presentation order.

    Raises:
        InputError: nothing decodable, or the tail is missing.
    """
    check_codec(stream, path)
    end = 0.0
    any_frame = False
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in cast("list[Frame]", frames):
                any_frame = True
                if frame.time is not None:
                    end = max(end, frame.time + frame_seconds(frame))
                yield frame
    except FFmpegError as error:
        raise unreadable(path, error) from error
    if not any_frame:
        raise InputError(f"{path}: its {stream.type} track is empty or broken; convert or copy the file again")
    declared = declared_end(container, stream)
    if declared is not None and "mp4" not in container.format.name and end < declared - _MISSING_TAIL_SECONDS:
        raise InputError(f"{path}: truncated, {stream.type} ends at {end:.1f} of {declared:.1f} s; copy it again")


def frame_seconds(frame: Frame) -> float:
    """How long a decoded frame lasts; 0 where the file does not say."""
    if isinstance(frame, av.AudioFrame):
        return frame.samples / frame.sample_rate
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0


def declared_end(container: InputContainer, stream: Stream) -> float | None:
    """End of a stream in seconds as its file header states it, None where the header does not know it exactly.

    MP4 and WAV count their samples, Matroska keeps a DURATION tag; elsewhere FFmpeg estimates from the bit rate.
    """
    exact = {"mov", "mp4", "wav"} & set(container.format.name.split(","))
    if exact and stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if "matroska" in container.format.name and (tag := stream.metadata.get("DURATION")):
        try:
            hours, minutes, seconds = tag.strip("\0 ").split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return None
    return None


def first_frame_time(path: str | PathLike[str]) -> float | None:
    """Time stamp of the first picture: time zero of a clip. None for a file without (decodable) video."""
    with open_media(path) as container:
        stream = find_stream(container, "video")
        if stream is None:
            return None
        try:
            first = next(decode(container, stream, Path(path)))
        except InputError:
            return None
        return first.time or 0.0
