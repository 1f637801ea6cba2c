"""What clips take from a sound: alpha and phones of a recording, the head motion of a real clip.

It is measured once per sound, before anything is drawn, and lies in a hidden folder of the corpus while that is made.

Shapes: N frames of a sound, A audio features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from svp.datasets.clip import SAMPLES_PER_FRAME
from svp.datasets.performance import measure_head
from svp.datasets.phones import Phone, load_phones, read_phones, times_of, write_phones
from svp.datasets.prepared import PreparedDataset
from svp.datasets.sounds import Sound
from svp.errors import InputError
from svp.face.model import FaceModel
from svp.media.audio import read_audio

if TYPE_CHECKING:
    from svp.speech.alpha import AudioEncoder


@dataclass(frozen=True)
class Material:
    """What was measured of sounds, in files of a folder."""

    folder: Path

    def has(self, sound: Sound) -> bool:
        """Whether a sound was measured."""
        return self._path(sound).is_file()

    def measure(self, encoder_id: str, sounds: Sequence[Sound]) -> dict[str, str]:
        """Measure sounds; returns why some cannot be used, by their digests.

        Args:
            encoder_id: of the sound features of recordings; real clips have theirs.
            sounds: what `has` does not know.
        """
        from svp.speech.alpha import load_audio_encoder

        self.folder.mkdir(exist_ok=True)
        encoder = None if all(sound.real for sound in sounds) else load_audio_encoder(encoder_id)
        failed = {}
        for sound in sounds:
            try:
                if encoder is None or sound.real:
                    self._measure_clip(sound)
                else:
                    self._measure_recording(sound, encoder)
            except InputError as error:
                failed[sound.digest] = str(error).removeprefix(f"{sound.path.parent}/")
        return failed

    def recording(self, sound: Sound) -> tuple[np.ndarray, list[Phone]]:
        """alpha (N,A) and the phones of a recording."""
        times = times_of(sound.path)
        phones = load_phones(times if times.is_file() else self._aligned_path(sound))
        return np.load(self._path(sound), mmap_mode="r"), phones

    def head(self, sound: Sound) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (N,3,3) and translation (N,3) of a real clip, as `measure_head` gives them."""
        pose = np.load(self._path(sound))
        return pose[..., :3], pose[..., 3]

    def _path(self, sound: Sound) -> Path:
        return self.folder / f"{sound.digest}.npy"

    def _aligned_path(self, sound: Sound) -> Path:
        return self.folder / f"{sound.digest}.phones.json"

    def _measure_recording(self, sound: Sound, encoder: "AudioEncoder") -> None:
        from svp.speech.alpha import is_silent

        phones = read_phones(sound.path)
        if not times_of(sound.path).is_file():
            write_phones(self._aligned_path(sound), phones)
        audio = read_audio(sound.path)
        alpha = encoder.encode(audio, len(audio) // SAMPLES_PER_FRAME).numpy()
        self._save(sound, np.zeros_like(alpha, np.float16) if is_silent(audio) else alpha.astype(np.float16))

    def _measure_clip(self, sound: Sound) -> None:
        landmarks = PreparedDataset(sound.path).clip(sound.name).features("landmarks")
        with threadpool_limits(1):  # the last bits of a matrix product depend on the number of threads
            rotation, translation = measure_head(landmarks, FaceModel.load())
        self._save(sound, np.concatenate([rotation, translation[..., None]], axis=2))

    def _save(self, sound: Sound, array: np.ndarray) -> None:
        """Write what says that the sound is measured, whole and last."""
        partial = self._path(sound).with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, array)
        partial.replace(self._path(sound))
