"""wav2vec2 beside V-Express, as the folder that `load_wav2vec2` reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from svp.errors import InputError
from svp.speech.layout import AUDIO_ENCODER, WAV2VEC2
from svp.speech.wav2vec2 import load_wav2vec2
from svp.weights.checkpoint import read_checkpoint
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.storage import write_weights

PARTS = ("audio_encoder",)
NAMES = ("model.safetensors", "pytorch_model.bin")


def import_wav2vec2(source: Path, output: Path) -> tuple[str, ...]:
    """Put the encoder into `output`, as `audio_encoder/config.json` and `audio_encoder/model.safetensors`.

    Args:
        source: a folder of the model hub, with `config.json` and the weights in either format.
        output: a model folder.

    Returns:
        The parts that were added.

    Raises:
        InputError: if it is not wav2vec2's network.
    """
    weights = next((path for name in NAMES if (path := source / name).is_file()), None)
    config = source / "config.json"
    if weights is None or not config.is_file():
        raise InputError(f"{source}: needs config.json and model.safetensors; give a folder of facebook/{WAV2VEC2}")
    partial = output / f"{AUDIO_ENCODER}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    tensors = {name: value for name, value in read_checkpoint(weights).items() if not name.startswith("lm_head.")}
    try:
        write_weights(partial / "model.safetensors", tensors)
        shutil.copyfile(config, partial / "config.json")
        load_wav2vec2(partial)
        shutil.rmtree(output / AUDIO_ENCODER, ignore_errors=True)
        partial.rename(output / AUDIO_ENCODER)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files = {f"{source.name}/{path.name}": path for path in (weights, config)}
    record_imports(output, [ImportedFile.of("wav2vec2", path, name, PARTS) for name, path in files.items()])
    return PARTS
