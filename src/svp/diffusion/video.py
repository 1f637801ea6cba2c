"""A generated video: its frames, its sound, its file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svp.diffusion.origin import Origin
from svp.face.canvas import Canvas
from svp.media.audio import SAMPLE_RATE, sound_blocks
from svp.media.marking import MARKED, Marking
from svp.media.only_writer import only_writer
from svp.media.video import FPS, FRAMES_PER_SECOND, VideoWriter
from svp.media.whole_file import writing
from svp.memory import release_memory

OUTPUT_RATE = 48_000  # of the sound in the file, where it comes from a file


@dataclass(frozen=True, eq=False)
class Soundtrack:
    """What is heard with the frames, read only when they are written.

    Attributes:
        source: the recording: a file, heard at a better rate than the 16 kHz of the networks, or samples at 16 kHz.
        first_frame: frame of the recording with which the sound begins.
    """

    source: str | Path | np.ndarray
    first_frame: int = 0

    @property
    def rate(self) -> int:
        """Samples per second."""
        return SAMPLE_RATE if isinstance(self.source, np.ndarray) else OUTPUT_RATE

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound from the first frame on, mono (n,) float32, piece by piece; a file is read as they are taken.

        Raises:
            InputError: if the file can no longer be read.
        """
        skip = self.first_frame * self.rate // FRAMES_PER_SECOND
        if isinstance(self.source, np.ndarray):
            yield self.source[skip:]
            return
        for block in sound_blocks(self.source, self.rate) or ():
            if skip < len(block):
                yield block[skip:]
            skip = max(0, skip - len(block))


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    sound: Soundtrack,
    origin: Origin | None,
    marking: Marking,
) -> None:
    """Write frames as they come, with the sound; the file appears when complete and marked.

    Args:
        path: of the mp4.
        frames: (H, W, 3) uint8 RGB, in order.
        size: (W, H) in pixels.
        sound: what is heard.
        origin: what the video was made of; None where nothing is known of it.
        marking: how it says that it was generated.
    """
    drawn = marking.drawn(frames, *size)

    def sign(complete: Path) -> None:
        release_memory()  # of the networks, before the whole file is read to be signed
        marking.sign(complete, {} if origin is None else origin.facts())

    with VideoWriter(path, *size, FPS, sound.blocks(), sound.rate, finish=sign) as writer:
        for frame in drawn:
            writer.write(frame)


@dataclass(frozen=True, eq=False)
class GeneratedVideo:
    """A finished video in memory.

    Attributes:
        frames: (N, H, W, 3) uint8 RGB at 25 fps.
        sound: the recording.
        origin: what it was made of.
    """

    frames: np.ndarray
    sound: Soundtrack
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def save(self, path: str | Path, marking: Marking = MARKED) -> None:
        """Write an mp4 with the sound, marked as generated."""
        _, height, width, _ = self.frames.shape
        write_video(path, self.frames, (width, height), self.sound, self.origin, marking)


class FrameStream(Iterator[np.ndarray]):
    """The frames of a video as they are generated; the last one alone is held, and up to two minutes of the recording.

    They are those of the model, of `size` pixels a side, pasted into the canvas if there is one.

    Attributes:
        n_frames: how many frames there will be in all.
        width, height: in pixels.
        taken: how many frames were taken so far.
        last: the frame that was taken last; None before the first.
        partial: folder with what an interrupted run can go on from, on the disk of the video; None keeps nothing.
        origin: what the video is made of.
    """

    def __init__(
        self,
        frames: Iterator[np.ndarray],
        n_frames: int,
        size: int,
        source: str | Path | np.ndarray,
        partial: Path | None = None,
        canvas: Canvas | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.n_frames, self.taken, self.partial, self.origin = n_frames, 0, partial, origin
        self.last: np.ndarray | None = None
        self.width = size if canvas is None else canvas.width
        self.height = size if canvas is None else canvas.height
        self._frames = frames if canvas is None else map(canvas.paste, frames)
        self._source = source

    def made_from(self, portrait: Path, styles: Sequence[Path], head_motion: Path | None = None) -> None:
        """Tell of which files these were read before the pipeline was given them; None if it was given the file."""
        if self.origin is not None:
            self.origin = self.origin.read_from(portrait, styles, head_motion)

    @property
    def sound(self) -> Soundtrack:
        """The sound of the frames that are still to come."""
        return Soundtrack(self._source, self.taken)

    def __next__(self) -> np.ndarray:
        """The next frame, (H, W, 3) uint8 RGB."""
        self.last = next(self._frames)
        self.taken += 1
        return self.last

    def save(self, path: str | Path, marking: Marking = MARKED) -> None:
        """Write the frames that are still to come, with their part of the sound, to an mp4 that is marked as generated.

        Where `partial` is given, what is written so far lies in that folder, which is removed when the video is done.
        """
        size = (self.width, self.height)
        if self.partial is None:
            write_video(path, self, size, self.sound, self.origin, marking)
            return
        written = self.partial / f"video{Path(path).suffix}"
        for stale in self.partial.glob(f"*{written.name}*"):  # of a run that was killed
            stale.unlink()
        write_video(written, self, size, self.sound, self.origin, marking)
        with writing(Path(path)):
            os.replace(written, path)
        shutil.rmtree(self.partial)

    def collect(self) -> GeneratedVideo:
        """All frames that are still to come, in memory, and their part of the sound."""
        sound = self.sound
        frames = np.empty((self.n_frames - self.taken, self.height, self.width, 3), np.uint8)
        for index, frame in enumerate(self):
            frames[index] = frame
        return GeneratedVideo(frames, sound, self.origin)


@contextmanager
def partial_folder(output: Path) -> Iterator[Path]:
    """Where `svp generate` keeps what it has of a video until it is done; nobody else makes the video meanwhile.

    Raises:
        InputError: another run is making it.
    """
    folder = output.with_name(f"{output.name}.partial")
    with only_writer(folder, "making it", output):
        yield folder
