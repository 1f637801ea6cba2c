"""Hidden states of Whisper's encoder for sound of any length.

Shapes: T positions at 50 Hz, S = 5 states of Whisper-tiny (convolutions + positions, then one per block), D = 384.
Sound is cut into fixed 30-s segments from time zero; the last one is padded with zeros in the waveform, as
transformers does, because attention runs over the silent part too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE
from svp.speech.layout import AUDIO_ENCODER, published_as
from svp.speech.package import FOLDER, WEIGHTS, by_hand, local_folder, whisper_from_package
from svp.weights.registry import UNKNOWN, Weight, find_weight
from svp.weights.terms import tell_terms

if TYPE_CHECKING:  # imported where it is used: it takes seconds, and other encoders do without
    from transformers import PreTrainedModel, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

LastState = Literal["normed", "raw"]
OWNERS = ("openai", "facebook")  # who published the encoders, on the hub
POSITION_RATE = 50
SAMPLES_PER_POSITION = SAMPLE_RATE // POSITION_RATE
SEGMENT_SECONDS = 30
SEGMENT_SAMPLES = SEGMENT_SECONDS * SAMPLE_RATE
SEGMENT_POSITIONS = SEGMENT_SECONDS * POSITION_RATE
# Segments are independent; a batch fills a GPU, on a CPU it only costs memory.
_BATCH = {"cpu": 1}
_BATCH_ACCELERATOR = 16


def hidden_states(audio: np.ndarray | Tensor, model: PreTrainedModel, last_state: LastState = "normed") -> Tensor:
    """All states of the encoder at every 50-Hz position that the sound covers.

    Args:
        audio: (samples,) mono at 16 kHz; floats in [-1, 1], or int16.
        model: a Whisper encoder or a transformers model that has one.
        last_state: whether the state after the last block has gone through the final layer norm (transformers'
            `hidden_states`) or not (OpenAI's code and what MuseTalk and EchoMimic take from it).

    Returns:
        (T, S, D) float32 on the CPU, T = ceil(samples / 320).
    """
    audio = as_samples(audio)
    encoder = _encoder(model)
    length = -(-len(audio) // SAMPLES_PER_POSITION)
    states_TSD = torch.empty(length, encoder.config.encoder_layers + 1, encoder.config.d_model)
    for index, segment_TSD in enumerate(segment_states(audio, encoder, last_state, -(-length // SEGMENT_POSITIONS))):
        start = index * SEGMENT_POSITIONS
        states_TSD[start : start + SEGMENT_POSITIONS] = segment_TSD[: length - start]
    return states_TSD


def segment_states(audio: np.ndarray, model: PreTrainedModel, last_state: LastState, segments: int) -> Iterator[Tensor]:
    """States of the first segments of a recording, one segment at a time, so that hours need no more memory.

    Args:
        audio: (samples,) float32; silent after its end.
        segments: how many 30-s segments to yield.

    Yields:
        (1500, S, D) float32 on the CPU.
    """
    if last_state not in get_args(LastState):
        raise ValueError(f"last_state {last_state!r} must be one of {get_args(LastState)}")
    encoder = _encoder(model)
    batch = _BATCH.get(encoder.device.type, _BATCH_ACCELERATOR)
    for first in range(0, segments, batch):
        waves = _cut_segments(audio, first, min(batch, segments - first))
        features = log_mel(waves, encoder.config.num_mel_bins)
        states = list(encode_segments(features, encoder, last_state))
        del waves, features
        while states:  # of the last one nothing is held here while it is used
            yield states.pop(0)


def _cut_segments(audio: np.ndarray, first: int, count: int) -> np.ndarray:
    """(B, 480000): segments of a recording from number `first` on, silent after its end."""
    waves = np.zeros((count, SEGMENT_SAMPLES), np.float32)
    samples = audio[first * SEGMENT_SAMPLES : (first + count) * SEGMENT_SAMPLES]
    waves.reshape(-1)[: len(samples)] = samples
    return waves


def log_mel(waves: np.ndarray, mel_bins: int) -> Tensor:
    """(B, 480000) float32 -> Whisper's log-mel (B, mel_bins, 3000), by transformers' feature extractor."""
    features = _feature_extractor(mel_bins)(list(waves), sampling_rate=SAMPLE_RATE, return_tensors="pt")
    return cast(Tensor, features["input_features"])


@torch.inference_mode()
def encode_segments(features_BMF: Tensor, encoder: WhisperEncoder, last_state: LastState) -> Tensor:
    """Log-mel segments (B, mel bins, 3000) -> states (B, 1500, S, D) float32 on the CPU.

    The blocks are called one by one because transformers returns the last state with its layer norm only.
    """
    hidden_BTD = conv_states(features_BMF, encoder)
    batch, length, channels = hidden_BTD.shape
    states_BTSD = torch.empty(batch, length, len(encoder.layers) + 1, channels)
    states_BTSD[:, :, 0] = hidden_BTD
    for number, layer in enumerate(encoder.layers, start=1):
        hidden_BTD = layer(hidden_BTD, None)
        states_BTSD[:, :, number] = hidden_BTD
    if last_state == "normed":
        states_BTSD[:, :, -1] = encoder.layer_norm(hidden_BTD)
    return states_BTSD


@torch.inference_mode()
def conv_states(features_BMF: Tensor, encoder: WhisperEncoder) -> Tensor:
    """The first state: two convolutions, the second of stride 2, plus the position table; (B, 1500, D)."""
    weight = encoder.conv1.weight
    hidden_BDF = nn.functional.gelu(encoder.conv1(features_BMF.to(weight.device, weight.dtype)))
    hidden_BDT = nn.functional.gelu(encoder.conv2(hidden_BDF))
    return hidden_BDT.transpose(1, 2) + encoder.embed_positions.weight


def as_samples(audio: np.ndarray | Tensor) -> np.ndarray:
    """Sound as (samples,) float32 in [-1, 1]; int16 is scaled by 1 / 32768."""
    array = audio.detach().cpu().numpy() if isinstance(audio, Tensor) else np.asarray(audio)
    if array.ndim != 1:
        raise ValueError(f"audio {array.shape} must be (samples,)")
    if array.dtype == np.int16:
        return (array / 32768).astype(np.float32)
    if array.dtype.kind != "f":
        raise ValueError(f"audio of {array.dtype} must be float or int16")
    return array.astype(np.float32, copy=False)


def load_whisper(name_or_path: str) -> WhisperEncoder:
    """Whisper's encoder from a folder, the hub, or (whisper-tiny.en only) a package of the Python package index.

    Weights already on this machine are used without touching the network.

    Args:
        name_or_path: a folder with `config.json` and `model.safetensors`, one that `svp import whisper` wrote, or a hub
            id; `openai/` may be left out.

    Returns:
        The encoder in float32, evaluation mode, without gradients.

    Raises:
        InputError: if the weights cannot be had or are not a Whisper model.
    """
    path = Path(name_or_path).expanduser()
    return _load_folder(path if path.is_dir() else find_folder(name_or_path))


def find_folder(name: str) -> Path:
    """Folder of a named model: hub cache, own cache, hub, package index, in this order.

    The terms of what was fetched are told, once and before it is used.

    Raises:
        InputError: if it is in none of them.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository = name if "/" in name else f"openai/{name}"
    try:
        if (there := local_folder(repository)) is not None:
            return there
        folder = Path(snapshot_download(repository, allow_patterns=["config.json", WEIGHTS]))
    except HFValidationError as error:
        raise InputError(
            f"{name}: no such folder; correct its path, or give a hub id such as openai/{FOLDER}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        if repository != f"openai/{FOLDER}":
            raise InputError(
                f"{name}: no such folder, and the model hub does not give it; correct the name, or "
                f"{by_hand(repository)}"
            ) from error
        folder = whisper_from_package()
    tell_terms([published_weight(repository)])
    return folder


def published_weight(repository: str) -> Weight:
    """What a model of the hub is, by its full id; of one that others made the terms are not known here."""
    owner, _, name = repository.partition("/")
    kind = published_as(name) if owner in OWNERS else None
    if kind is not None:
        return find_weight(kind)
    page = f"https://huggingface.co/{repository}"
    return Weight("", repository, page, "unknown, not a published file of OpenAI", UNKNOWN["use"], ())


def _load_folder(folder: Path) -> WhisperEncoder:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    if (folder / AUDIO_ENCODER).is_dir():
        folder = folder / AUDIO_ENCODER
    if not (folder / "config.json").is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder}: needs config.json and {WEIGHTS}; save the model with transformers' save_pretrained"
        )
    try:
        config = WhisperConfig.from_pretrained(folder)
        if config.model_type != "whisper":
            raise InputError(f"{folder}: a {config.model_type} model; give a Whisper one")
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            # A whole model's file says model.encoder., a bare WhisperModel's encoder., an encoder's nothing.
            names = [name for name in file.keys() if "decoder." not in name and name != "proj_out.weight"]  # noqa: SIM118
            state = {name.removeprefix("model.").removeprefix("encoder."): file.get_tensor(name) for name in names}
        encoder = WhisperEncoder(config)
        encoder.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{folder}: not a readable Whisper model; download or convert it again") from error
    return cast("WhisperEncoder", encoder.eval().requires_grad_(False))


def _encoder(model: PreTrainedModel) -> WhisperEncoder:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return model if isinstance(model, WhisperEncoder) else cast(WhisperEncoder, model.get_encoder())


@lru_cache(maxsize=4)
def _feature_extractor(mel_bins: int) -> WhisperFeatureExtractor:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=mel_bins)
