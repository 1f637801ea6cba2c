"""wav2vec2 beside V-Express, as the folder that `load_wav2vec2` reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from svp.errors import InputError
from svp.speech.layout import AUDIO_ENCODER, WAV2VEC2
from svp.speech.wav2vec2 import HEAD, load_wav2vec2
from svp.weights.checkpoint import read_checkpoint
from svp.weights.differences import DifferentTensorsError
from svp.weights.staging import Staging
from svp.weights.storage import write_weights

PARTS = (AUDIO_ENCODER,)
NAMES = ("model.safetensors", "pytorch_model.bin")


def add_wav2vec2(source: Path, stage: Staging, width: int) -> None:
    """Put the encoder into a model, as `audio_encoder/config.json` and `audio_encoder/model.safetensors`.

    Args:
        source: a folder of the model hub, with `config.json` and the weights in either format.
        stage: the import under way.
        width: of the states that the model's audio projection takes.

    Raises:
        InputError: if it is not wav2vec2's network, or one of another width.
    """
    weights = next((path for name in NAMES if (path := source / name).is_file()), None)
    config = source / "config.json"
    if weights is None or not config.is_file():
        raise InputError(f"{source}: needs config.json and model.safetensors; give a folder of facebook/{WAV2VEC2}")
    tensors = {name: value for name, value in read_checkpoint(weights).items() if not name.startswith(HEAD)}
    folder = stage.folder / AUDIO_ENCODER
    write_weights(folder / "model.safetensors", tensors)
    shutil.copyfile(config, folder / "config.json")
    try:
        found = load_wav2vec2(folder).config.hidden_size
    except DifferentTensorsError as error:  # it names our copy
        raise DifferentTensorsError(source, error.differences) from error
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(source))) from error
    if found != width:
        raise InputError(f"{source}: states of {found} numbers, the model hears {width}; give facebook/{WAV2VEC2}")
    for path in (weights, config):
        stage.record("wav2vec2", path, f"{source.name}/{path.name}", PARTS)
