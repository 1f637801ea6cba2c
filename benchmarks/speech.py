"""alpha by Whisper against log-mel, in seconds of sound per second."""

import numpy as np

from benchmarks.timing import compare
from svp.speech.alpha import load_audio_encoder

SECONDS = 60


def run() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, SECONDS * 16_000).astype(np.float32)
    log_mel, whisper = load_audio_encoder("log-mel"), load_audio_encoder("whisper-tiny.en/normed")
    compare(
        f"{SECONDS} s of sound, log-mel against Whisper-tiny.en",
        lambda: log_mel.encode(audio, SECONDS * 25),
        lambda: whisper.encode(audio, SECONDS * 25),
        rounds=3,
    )
