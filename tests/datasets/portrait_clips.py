"""Videos made of the sample portraits: tiny, quick to prepare, and with every fault that recordings have."""

import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "media"))
from make_media import encode_video, turn

from svp.media.image import read_image
from svp.media.video import VideoWriter

__all__ = ["PORTRAITS", "encode_video", "portrait", "swaying", "tone", "turn", "write_clip", "write_portrait_clip"]
PORTRAITS = Path(__file__).resolve().parents[2] / "samples" / "portraits"


def portrait(name: str = "ada", side: int = 160) -> np.ndarray:
    return cv2.resize(read_image(PORTRAITS / f"{name}.png"), (side, side), interpolation=cv2.INTER_AREA)


def swaying(picture: np.ndarray, frames: int) -> list[np.ndarray]:
    """The picture, moved a little to and fro."""
    return [np.roll(picture, round(3 * np.sin(k / 3)), axis=1) for k in range(frames)]


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(np.arange(int(seconds * 16000)) / 7)).astype(np.float32)


def write_clip(path: Path, frames: Iterable[np.ndarray], sound: bool = True, fps: float = 25.0) -> Path:
    frames = list(frames)
    height, width = frames[0].shape[:2]
    audio = tone(len(frames) / fps) if sound else None
    with VideoWriter(path, width, height, fps=fps, audio=audio, crf=18) as video:
        for frame in frames:
            video.write(frame)
    return path


def write_portrait_clip(path: Path, name: str = "ada", frames: int = 12, sound: bool = True) -> Path:
    return write_clip(path, swaying(portrait(name), frames), sound)
