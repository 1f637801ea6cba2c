"""How an encoder's features lie in alpha: what a model must know before the encoder is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUDIO_ENCODER = "audio_encoder"  # folder of a model that brings its own
WAV2VEC2 = "wav2vec2-base-960h"  # V-Express's encoder; its id is its name

ENGLISH_WORDS = 51864  # one less than in the other Whisper-tiny; nothing else in the config tells them apart


@dataclass(frozen=True)
class AlphaLayout:
    """Of one encoder.

    Attributes:
        positions: features per video frame, side by side in alpha.
        zero_edges: what lies before the first and after the last frame is zeros; otherwise these frames repeat.
    """

    positions: int
    zero_edges: bool


def alpha_layout(encoder: str) -> AlphaLayout:
    """The layout of an encoder's alpha, by its id."""
    if encoder == WAV2VEC2:
        return AlphaLayout(positions=2, zero_edges=True)
    return AlphaLayout(positions=1, zero_edges=False)


def encoder_name(config: Mapping[str, Any]) -> str:
    """An encoder's id without its variant, by transformers' configuration of a network that passed as such."""
    if config.get("model_type") == "wav2vec2":
        return WAV2VEC2
    return "whisper-tiny.en" if config.get("vocab_size") == ENGLISH_WORDS else "whisper-tiny"


def published_as(encoder: str) -> str | None:
    """The kind of `svp import` whose weights an encoder has, by its id; None of those without weights."""
    if encoder == WAV2VEC2:
        return "wav2vec2"
    return "whisper" if encoder.startswith("whisper-") else None
