"""Recordings that several tests of the puppet corpus use."""

import json
from pathlib import Path

import numpy as np

from svp.datasets.corpus_plan import CorpusOptions
from svp.datasets.emotions import EMOTIONS
from svp.datasets.phones import Phone
from svp.media.audio import write_wav

OPTIONS = CorpusOptions(
    size=64, render_size=128, looks=1, min_frames=10, max_frames=14, audio_encoder="log-mel", test_fraction=0.2, seed=3
)
VOICES = ("ann", "bob", "cleo", "dan")


def add_recording(folder: Path, name: str, words: str, emotion: str | None, voice: str = "", level: int = 0) -> None:
    rng = np.random.default_rng(len(name))
    phones = [Phone("pau", 0.0, 0.1), Phone("m", 0.1, 0.25), Phone("aa", 0.25, 0.6), Phone("pau", 0.6, 0.8)]
    audio = np.zeros(12800, np.float32)
    audio[1600:9600] = rng.normal(0, 0.1, 8000)
    write_wav(folder / f"{name}.wav", audio)
    (folder / f"{name}.txt").write_text(words)
    (folder / f"{name}.phones.json").write_text(json.dumps([[p.name, p.start, p.end] for p in phones]))
    if emotion:
        label = {"emotion": emotion, "voice": voice, "intensity": level}
        (folder / f"{name}.json").write_text(json.dumps(label))


def add_speech(folder: Path) -> Path:
    """Sentences of four voices, each spoken plainly and with an emotion."""
    for number in range(20):
        for emotion in ("neutral", list(EMOTIONS)[1 + number % 7]):
            words, voice = f"Sentence {'a' * number} end.", VOICES[number % len(VOICES)]
            add_recording(folder, f"s{number}_{emotion}", words, emotion, voice, 2 * (emotion != "neutral"))
    return folder
