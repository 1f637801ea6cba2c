"""Whisper's encoder out of the three files it is published in, as the folder that `load_whisper` reads."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from svp.errors import InputError
from svp.speech.alpha import WhisperAudioEncoder
from svp.speech.layout import AUDIO_ENCODER
from svp.speech.package import PREFIX, read_ctranslate2, transformers_names
from svp.weights.checkpoint import Shapes, check_shapes, named_tensors, read_checkpoint, read_pickle, shapes, unwrapped
from svp.weights.config import INDEX, read_config
from svp.weights.sizes import count, told
from svp.weights.staging import refuse_trained, staged_import
from svp.weights.storage import write_weights

KIND = "whisper"
PARTS = (AUDIO_ENCODER,)
LAYER_NAMES = {  # OpenAI's name of a layer: transformers' name
    "attn_ln": "self_attn_layer_norm",
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "mlp_ln": "final_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
}
CONFIG_NAMES = {  # OpenAI's name of a size: transformers' name
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
FF_MULT = 4  # Whisper's feed-forward layers are that many times wider than the rest
TINY = {  # sizes of both published networks
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_ffn_dim": FF_MULT * 384,
}


def import_whisper(source: Path, output: Path) -> tuple[str, ...]:
    """Put the encoder into `output`, as `audio_encoder/config.json` and `audio_encoder/model.safetensors`.

    Args:
        source: a folder of the model hub, OpenAI's `tiny.pt` or `tiny.en.pt`, or a CTranslate2 `model.bin`.
        output: a model folder, or a new one.

    Returns:
        The parts that were added.

    Raises:
        InputError: if it is none of these or not Whisper-tiny's network, or the model there hears through another.
    """
    with staged_import(source, output) as stage:
        if source.is_dir():
            config, tensors, files = _read_folder(source)
        else:
            config, tensors = _read_ctranslate2(source) if _is_ctranslate2(source) else _read_openai(source)
            files = [source]
        encoder = _encoder(config)
        check_shapes(files[0], shapes(tensors), shapes(encoder.state_dict()))
        _check_model(source, encoder, output)
        published = _encoder(config | TINY)  # whatever its config says
        check_shapes(files[0], shapes(tensors), shapes(published.state_dict()))
        folder = stage.folder / AUDIO_ENCODER
        write_weights(folder / "model.safetensors", {PREFIX + name: tensor for name, tensor in tensors.items()})
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        for path in files:
            stage.record(KIND, path, path.name, PARTS)
    return stage.parts


def _encoder(config: Mapping[str, Any]) -> WhisperEncoder:
    with torch.device("meta"):
        return WhisperEncoder(WhisperConfig(**config))


def _check_model(source: Path, encoder: WhisperEncoder, output: Path) -> None:
    """Whether the model there, if there is one, can hear through this encoder."""
    try:
        name = WhisperAudioEncoder(encoder).id.split("/")[0]
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    refuse_trained(output, PARTS)
    index = output / INDEX
    wanted = read_config(index).get("settings", {}).get("audio_encoder", name) if index.is_file() else name
    if wanted.split("/")[0] != name:
        raise InputError(f"{output}: hears through {wanted}, {source.name} is {name}; import into a new folder")


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[Path]]:
    weights = next((p for name in ("model.safetensors", "pytorch_model.bin") if (p := folder / name).is_file()), None)
    path = folder / "config.json"
    if weights is None or not path.is_file():
        raise InputError(f"{folder}: needs config.json and model.safetensors; give a folder of openai/whisper-tiny")
    config = read_config(path)
    if config.get("model_type") != KIND:
        raise InputError(f"{path}: no configuration of a Whisper model; give a folder of openai/whisper-tiny")
    return config, _encoder_only(read_checkpoint(weights)), [weights, path]


def _encoder_only(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A whole model's file says `model.encoder.`, a bare WhisperModel's `encoder.`; the decoder is not needed."""
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    return {
        name.removeprefix("encoder."): tensor
        for name, tensor in bare.items()
        if not name.startswith(("decoder.", "proj_out."))
    }


def _read_openai(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    values = read_pickle(path)
    dims = values.get("dims") if isinstance(values, Mapping) else None
    if (
        not isinstance(dims, Mapping)
        or not isinstance(values.get("model_state_dict"), Mapping)
        or any(not isinstance(dims.get(name), int) for name in CONFIG_NAMES)
    ):
        raise InputError(f"{path}: not OpenAI's Whisper; give tiny.pt, a hub folder or a CTranslate2 model.bin")
    config = {ours: dims[theirs] for theirs, ours in CONFIG_NAMES.items()}
    tensors = {}
    for name, tensor in named_tensors(unwrapped(path, values, "model_state_dict")).items():
        if not name.startswith("decoder."):
            tensors[_transformers_name(name.removeprefix("encoder."))] = tensor
    return _complete(config), tensors


def _transformers_name(name: str) -> str:
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+(?:\.\w+)?)\.(weight|bias)", name):
        layer = LAYER_NAMES.get(match[2])
        return f"layers.{match[1]}.{layer}.{match[3]}" if layer else name
    return name.replace("positional_embedding", "embed_positions.weight").replace("ln_post.", "layer_norm.")


def _is_ctranslate2(path: Path) -> bool:
    """Its second entry, after a version, is the text WhisperSpec."""
    try:
        with path.open("rb") as file:
            return b"WhisperSpec" in file.read(4 + 2 + 32)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give an existing file") from error


def _read_ctranslate2(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        variables = read_ctranslate2(path.read_bytes())
        named = transformers_names(variables)
        vocabulary = variables["decoder/embeddings/weight"].shape[0]
        heads = int(variables["encoder/num_heads"])
    except (ValueError, KeyError, struct.error) as error:
        raise InputError(f"{path}: no CTranslate2 file of Whisper ({error}); give it as it was published") from error
    tensors = {name.removeprefix(PREFIX): torch.from_numpy(array.copy()) for name, array in named.items()}
    found = shapes(tensors)
    config = TINY | {"encoder_attention_heads": heads, "vocab_size": vocabulary}
    if (width := _width(found)) != TINY["d_model"]:  # another Whisper, whose width and depth the message will tell
        config |= {
            "d_model": width,
            "encoder_layers": count(found, r"layers\.(\d+)\."),
            "encoder_ffn_dim": FF_MULT * width,
        }
    return _complete(config), tensors


def _width(found: Shapes) -> int:
    """What the tensors tell; where those that could are missing, the published one, to name them with."""
    try:
        return told(found, *((f"{name}.weight", 0) for name in ("conv1", "conv2", "layer_norm")))
    except KeyError:
        return TINY["d_model"]


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """What follows from the sizes, and what all Whisper models have in common."""
    return {
        "architectures": ["WhisperModel"],
        "model_type": KIND,
        "activation_function": "gelu",
        "encoder_ffn_dim": FF_MULT * config["d_model"],
        "decoder_ffn_dim": FF_MULT * config["d_model"],
        **config,
    }
