"""alpha: numbers per video frame that say how the sound around it sounds (paper Sec. 3.1).

Shapes: N video frames, A numbers: 1920, or what an imported model's encoder gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE
from svp.speech.layout import AUDIO_ENCODER, WAV2VEC2, encoder_name
from svp.speech.log_mel import log_mel_blocks
from svp.speech.whisper import (
    POSITION_RATE,
    SEGMENT_POSITIONS,
    LastState,
    as_samples,
    find_folder,
    load_whisper,
    published_weight,
    segment_states,
)
from svp.weights.provenance import imported_files
from svp.weights.registry import UNKNOWN, Weight

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

ALPHA_SIZE = 1920
LOG_MEL = "log-mel"
_LAST_STATES: tuple[LastState, ...] = ("normed", "raw")
_SILENCE = 1e-3  # -60 dB of full scale; room noise of a quiet recording lies above it
_LOUDNESS_SAMPLES = SAMPLE_RATE // 10
_SILENT_BLOCK = 250  # frames


class AudioEncoder(Protocol):
    """Something that turns sound into alpha. Networks trained with one encoder do not understand another's."""

    @property
    def id(self) -> str:
        """Name stored with everything that was trained on these features."""

    @property
    def size(self) -> int:
        """A."""

    def stream(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Iterator[Tensor]:
        """Blocks (n, A) of successive frames; memory does not grow with the length."""

    def encode(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Tensor:
        """alpha of frames 0..N-1, (N, A) float32 on the CPU, for sound (samples,) at 16 kHz.

        Sound shorter than the frames is followed by silence; longer sound is heard but gets no frames.
        """


class WhisperAudioEncoder:
    """The five states of Whisper-tiny's encoder, one position per frame."""

    size = ALPHA_SIZE

    def __init__(self, model: WhisperEncoder, last_state: LastState = "normed") -> None:
        self.model = model
        self.last_state: LastState = last_state
        config = model.config
        if (config.encoder_layers + 1) * config.d_model != ALPHA_SIZE:
            raise InputError(
                f"Whisper model with {config.encoder_layers + 1} states of {config.d_model}: "
                f"alpha needs 5 of 384; give a whisper-tiny or whisper-tiny.en"
            )
        self.id = f"{encoder_name(config.to_dict())}/{last_state}"

    def stream(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Iterator[Tensor]:
        """Blocks (n, A) of successive frames, one per 30-s segment."""
        positions_N = frame_positions(n_frames, fps)
        segments = int(positions_N[-1]) // SEGMENT_POSITIONS + 1 if n_frames else 0
        states = segment_states(as_samples(audio), self.model, self.last_state, segments)
        first = 0
        for states_TSD in states:
            inside = positions_N[(positions_N >= first) & (positions_N < first + SEGMENT_POSITIONS)]
            block_NA = states_TSD[inside - first].flatten(1)
            del states_TSD  # twice as large; nobody keeps it while the block is used
            yield block_NA
            first += SEGMENT_POSITIONS

    def encode(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Tensor:
        """alpha of frames 0..N-1, (N, A) float32 on the CPU, for sound (samples,) at 16 kHz."""
        return _collect(self.stream(audio, n_frames, fps), n_frames)


class LogMelAudioEncoder:
    """Log-mel power around each frame: needs no weights, knows nothing of language."""

    id = LOG_MEL
    size = ALPHA_SIZE

    def stream(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Iterator[Tensor]:
        """Blocks (n, A) of successive frames."""
        yield from log_mel_blocks(as_samples(audio), n_frames, fps)

    def encode(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Tensor:
        """alpha of frames 0..N-1, (N, A) float32 on the CPU, for sound (samples,) at 16 kHz."""
        return _collect(self.stream(audio, n_frames, fps), n_frames)


def _collect(blocks: Iterator[Tensor], n_frames: int) -> Tensor:
    alpha_NA = torch.empty(n_frames, ALPHA_SIZE)
    at = 0
    for block_nA in blocks:
        alpha_NA[at : at + len(block_nA)] = block_nA
        at += len(block_nA)
    return alpha_NA


def load_audio_encoder(id_or_path: str) -> AudioEncoder:
    """An encoder by its id, or from a folder with Whisper's or wav2vec2's weights.

    Args:
        id_or_path: `log-mel`; `whisper-tiny.en/normed`, `whisper-tiny/raw` and the like; `wav2vec2-base-960h`, which is
            V-Express's; a hub id or a folder. Of Whisper each is optionally followed by `/normed` (default) or `/raw`:
            whether the last state is layer-normed.

    Raises:
        InputError: if there is no such encoder or its weights cannot be had.
    """
    if id_or_path == LOG_MEL:
        return LogMelAudioEncoder()
    name, last_state = _name_and_state(id_or_path)
    folder = Path(name).expanduser()
    if Path(name).name == WAV2VEC2 or _model_type(folder) == "wav2vec2":
        from svp.speech.wav2vec2 import Wav2Vec2AudioEncoder, load_wav2vec2

        found = folder if folder.is_dir() else find_folder(f"facebook/{WAV2VEC2}")
        return Wav2Vec2AudioEncoder(load_wav2vec2(found))
    return WhisperAudioEncoder(load_whisper(name), last_state)


def _name_and_state(id_or_path: str) -> tuple[str, LastState]:
    name, _, variant = id_or_path.rpartition("/")
    if name and variant in _LAST_STATES and not Path(id_or_path).is_dir():
        return name, "raw" if variant == "raw" else "normed"
    return id_or_path, "normed"


def encoder_weight(id_or_path: str) -> Weight | None:
    """Whose terms hold for what `load_audio_encoder` loads; None of what has no weights.

    Of a folder they are known only from the record of its import, of a name if it is a published id.

    Raises:
        InputError: the record is damaged.
    """
    if id_or_path == LOG_MEL:
        return None
    name, _ = _name_and_state(id_or_path)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.name == WAV2VEC2:
            return published_weight(f"facebook/{WAV2VEC2}")
        return published_weight(name if "/" in name else f"openai/{name}")
    folder = folder.resolve()
    records = imported_files(folder.parent if folder.name == AUDIO_ENCODER else folder)
    unknown = Weight("", name, str(folder), "unknown, no record of an import", UNKNOWN["use"], ())
    return next((record.weight for record in records if AUDIO_ENCODER in record.parts), unknown)


def find_audio_encoder(wanted: str, model_folder: Path | None) -> AudioEncoder:
    """The encoder that a model learned with: its own, if its folder brings it, else as in `load_audio_encoder`.

    Raises:
        InputError: if it cannot be had, or calls itself otherwise.
    """
    name, _, variant = wanted.rpartition("/")
    if model_folder is not None and (own := model_folder / AUDIO_ENCODER).is_dir():
        loaded = load_audio_encoder(f"{own}/{variant}" if name else str(own))
        if loaded.id == wanted:
            return loaded
    loaded = load_audio_encoder(wanted)
    if loaded.id != wanted:
        raise InputError(f"audio_encoder {wanted}: this is {loaded.id}; the model needs the one it learned with")
    return loaded


def _model_type(folder: Path) -> str | None:
    """What kind of network a folder of transformers holds; None if that cannot be read."""
    try:
        return json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def frame_positions(n_frames: int, fps: float) -> np.ndarray:
    """50-Hz position of each frame, floor(i * 50 / fps), (N,) int64; a truncated fps would drift."""
    return np.floor(np.arange(n_frames) * POSITION_RATE / fps).astype(np.int64)


def is_silent(audio: np.ndarray | None) -> bool:
    """True for missing sound and for sound that nobody hears: no tenth of a second is louder than -60 dB (RMS).

    The features of such sound are zeros (`silence`), never Whisper's idea of silence.
    """
    if audio is None or len(audio) == 0:
        return True
    samples = as_samples(audio)
    starts = range(0, len(samples), _LOUDNESS_SAMPLES)
    loudest = max(float(np.square(samples[k : k + _LOUDNESS_SAMPLES], dtype=np.float64).sum()) for k in starts)
    return loudest / _LOUDNESS_SAMPLES < _SILENCE**2


def silence(n_frames: int, size: int = ALPHA_SIZE) -> Iterator[Tensor]:
    """alpha of sound that is absent or silent, zeros, in blocks (n, A) as an encoder's `stream` gives them."""
    for first in range(0, n_frames, _SILENT_BLOCK):
        yield torch.zeros(min(_SILENT_BLOCK, n_frames - first), size)
