"""Inception-v3 as FID uses it: the TorchScript `inception-2015-12-05.pt`, with TensorFlow's weights and resizing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

from svp.errors import InputError
from svp.weights.network import is_torchscript, published_file
from svp.weights.scripted import ScriptedFeatures, check_script

FEATURES: Final = 2048  # of the last pooling layer


def load_inception(path: str | PathLike[str], trust_script: bool = False) -> ScriptedFeatures:
    """Inception from its TorchScript file, or from an imported folder.

    Args:
        path: of the file or folder.
        trust_script: run the file even if its hash is not the published one's, see `check_script`.

    Returns:
        RGB pictures (B, 3, H, W) uint8 of any size -> features (B, 2048).

    Raises:
        InputError: the file is missing, unknown or no TorchScript. Other networks of that name resize and compute
            differently.
    """
    file = published_file("inception", Path(path))
    if not is_torchscript(file):
        raise InputError(f"{file}: is no TorchScript file; FID is defined by inception-2015-12-05.pt, give that")
    check_script("inception", Path(path), trust_script)
    return ScriptedFeatures(file, FEATURES, {"return_features": True})
