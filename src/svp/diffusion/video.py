"""A generated video: its frames, its sound, its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svp.media.audio import SAMPLE_RATE
from svp.media.video import FPS, VideoWriter

FRAMES_PER_SECOND = int(FPS)


def count_frames(n_samples: int) -> int:
    """Frames that hold a recording of 16-kHz samples: the last begun frame counts, so that no syllable is cut."""
    return max(1, -(-n_samples * FRAMES_PER_SECOND // SAMPLE_RATE))


@dataclass(frozen=True, eq=False)
class Sound:
    """What is heard in the file: the recording at a better rate than the 16 kHz that the networks hear.

    Attributes:
        samples: (samples,) float32, mono.
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int


def write_video(path: str | Path, frames: Iterable[np.ndarray], size: int, sound: Sound) -> None:
    """Write frames as they come, with the sound; the file appears when complete.

    Args:
        path: of the mp4.
        frames: (size, size, 3) uint8 RGB, in order.
        size: side in pixels.
        sound: what is heard.
    """
    with VideoWriter(path, size, size, fps=FPS, audio=sound.samples, sample_rate=sound.rate) as writer:
        for frame in frames:
            writer.write(frame)


@dataclass(frozen=True, eq=False)
class GeneratedVideo:
    """A finished video in memory.

    Attributes:
        frames: (N, S, S, 3) uint8 RGB at 25 fps.
        sound: the recording.
    """

    frames: np.ndarray
    sound: Sound

    def __len__(self) -> int:
        return len(self.frames)

    def save(self, path: str | Path) -> None:
        """Write an mp4 with the sound."""
        write_video(path, self.frames, self.frames.shape[1], self.sound)


class FrameStream(Iterator[np.ndarray]):
    """The frames of a video as they are generated; memory does not grow with its length.

    Attributes:
        n_frames: how many frames there will be.
        size: side in pixels.
        sound: the recording.
    """

    def __init__(self, frames: Iterator[np.ndarray], n_frames: int, size: int, sound: Sound) -> None:
        self.n_frames, self.size, self.sound = n_frames, size, sound
        self._frames = frames

    def __next__(self) -> np.ndarray:
        """The next frame, (S, S, 3) uint8 RGB."""
        return next(self._frames)

    def save(self, path: str | Path) -> None:
        """Write the frames that are still to come to an mp4, each as soon as it is there."""
        write_video(path, self, self.size, self.sound)

    def collect(self) -> GeneratedVideo:
        """All frames that are still to come, in memory."""
        frames = np.empty((self.n_frames, self.size, self.size, 3), np.uint8)
        count = 0
        for count, frame in enumerate(self, start=1):
            frames[count - 1] = frame
        return GeneratedVideo(frames[:count], self.sound)
