"""Short talking clips that differ from a true one in one known way."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from svp.datasets.corpus import load_puppet
from svp.datasets.visemes import expand
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.video import VideoWriter
from svp.speech.loudness import loudness

SAMPLES = Path(__file__).parents[2] / "samples"
SPEECH = SAMPLES / "speech" / "road.wav"
SIZE = 128
FRAMES = 110
LATE = 4  # frames
SMILE = {"mouthSmile": 0.7, "cheekSquint": 0.4}
FROWN = {"mouthFrown": 0.7, "browDown": 0.8, "browInnerUp": 0.3}


def performed(
    person: str,
    mood: dict[str, float],
    gaze: tuple[float, float] = (0.0, 0.0),
    shift: tuple[float, float] = (0.0, 0.0),
    frames: int = FRAMES,
) -> list[np.ndarray]:
    """A person of the samples who opens the mouth with the loudness of a sentence, nods, and blinks twice.

    `gaze` is an offset of the pupils in eye widths, `shift` one of the head in pupil distances, right and down.
    """
    units = FaceModel.load().unit_names
    puppet = load_puppet(SAMPLES / "portraits" / f"{person}.png", SIZE)
    heard = loudness(read_audio(SPEECH), FRAMES)
    pictures = []
    for n in range(frames):
        shut = 1.0 if n % 50 in (30, 31, 32) else 0.0
        expression = expand(mood | {"jawOpen": 0.5 * float(heard[n]), "eyeBlink": shut}, units)
        turn = cv2.Rodrigues(np.array([0.06 * np.sin(n / 9), 0.1 * np.sin(n / 17), 0.0]))[0]
        pictures.append(puppet.render(expression, turn, np.array(shift), np.array(gaze)))
    return pictures


def write(path: Path, frames: Iterable[np.ndarray], sound_late: int = 0) -> None:
    """A video with the sentence as its sound, that many frames late."""
    sound = np.roll(read_audio(SPEECH)[: FRAMES * 640], 640 * sound_late)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, SIZE, SIZE, audio=sound, sample_rate=16_000, crf=10) as writer:
        for frame in frames:
            writer.write(frame)


def noisy(frame: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(int(frame.sum())).normal(0, 12, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def blurred(frame: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(frame, None, 1.5)


def fading(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Frames that grow softer and darker until the end."""
    last = len(frames) - 1
    soft = [cv2.GaussianBlur(frame, None, 0.2 + 1.8 * n / last) for n, frame in enumerate(frames)]
    return [np.round(frame * (1 - 0.3 * n / last)).astype(np.uint8) for n, frame in enumerate(soft)]


@cache
def another() -> list[np.ndarray]:
    """Another person doing the same."""
    return performed("bianca", SMILE)


CHANGES: dict[str, Callable[[list[np.ndarray]], list[np.ndarray]]] = {
    "copy": lambda frames: frames,
    "noise": lambda frames: [noisy(frame) for frame in frames],
    "blur": lambda frames: [blurred(frame) for frame in frames],
    "late": lambda frames: [frames[max(n - LATE, 0)] for n in range(len(frames))],
    "frozen": lambda frames: [frames[0]] * len(frames),
    "person": lambda frames: another(),
    "emotion": lambda frames: performed("ada", FROWN),
    "gaze": lambda frames: performed("ada", SMILE, gaze=(0.15, 0.0)),
    "shift": lambda frames: performed("ada", SMILE, shift=(0.15, 0.0)),
    "fade": fading,
    "swap": lambda frames: frames[: FRAMES // 2] + another()[FRAMES // 2 :],
}
