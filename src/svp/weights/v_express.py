"""V-Express's five published files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from svp.errors import InputError
from svp.weights.animatediff import TABLE, read_motion_modules, split_motion
from svp.weights.checkpoint import find_checkpoint, read_checkpoint
from svp.weights.config import read_config
from svp.weights.registry import WEIGHTS

KIND = "v-express"
NAMES = WEIGHTS[KIND].files
CONFIGS = ("unet_config.json", "config.json")  # of Stable Diffusion's UNet, for heads and groups
# What is published with the five files, in a folder that each of these names.
CHECKPOINTS = "model_ckpts"
SD15_CONFIG, VAE, WAV2VEC2 = "stable-diffusion-v1-5/unet/config.json", "sd-vae-ft-mse", "wav2vec2-base-960h"


@dataclass
class VExpress:
    """Where the files are; tensors are read part by part, so that not all are held at once.

    Attributes:
        files: by published name; `motion_module` may be absent.
        unet_config: diffusers' configuration of Stable Diffusion's UNet; empty where the folder has none.
        config_file: where it stands.
        vae, wav2vec2: folders of the VAE and of the encoder of sound, where they lie as published.
    """

    files: dict[str, Path]
    unet_config: dict[str, Any]
    config_file: Path | None
    vae: Path | None
    wav2vec2: Path | None

    def denoising_unet(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Spatial tensors and motion modules; where there is a motion file, its modules alone count.

        What the UNet has of motion modules that this file lacks stays with the spatial tensors, where none belongs.

        Raises:
            InputError: if a file cannot be read, or neither has motion modules.
        """
        spatial, motion = split_motion(read_checkpoint(self.files["denoising_unet"]))
        if "motion_module" in self.files:
            superseded, motion = motion, read_motion_modules(self.files["motion_module"])
            spatial |= {n: t for n, t in superseded.items() if n not in motion and not n.endswith(TABLE)}
        if not motion:
            raise InputError(f"{self.files['denoising_unet']}: has no motion modules; put motion_module.bin beside it")
        return spatial, motion

    def read(self, name: str) -> dict[str, Tensor]:
        """The tensors of one of the other files.

        Raises:
            InputError: if it cannot be read.
        """
        return read_checkpoint(self.files[name])


def find_v_express(source: Path) -> VExpress:
    """The five files and what is published with them.

    Args:
        source: the repository of the model hub, whose own folder has the five files and whose `model_ckpts` the rest;
            or `model_ckpts` as V-Express wants it, where they lie in `v-express`; or what holds or lies in that.

    Raises:
        InputError: naming those that are missing.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no folder; give the one that holds {', '.join(NAMES)}")
    source = source.resolve()  # so that `.` lies in a folder
    folder = max((source, source / KIND, source / CHECKPOINTS / KIND), key=lambda place: len(_five(place)))
    found = _five(folder)
    missing = [name for name in NAMES if name not in found and name != "motion_module"]
    if missing:
        raise InputError(
            f"{folder}: has no {', '.join(missing)} (.bin, .pth or .safetensors); put all five files there"
        )
    near = (folder, source, source / CHECKPOINTS, folder.parent)
    configs = [*(folder / name for name in CONFIGS), *(place / SD15_CONFIG for place in near)]
    config = next((path for path in configs if path.is_file()), None)
    vae, wav2vec2 = (
        next((path for place in near if (path := place / name).is_dir()), None) for name in (VAE, WAV2VEC2)
    )
    return VExpress(found, {} if config is None else read_config(config), config, vae, wav2vec2)


def _five(folder: Path) -> dict[str, Path]:
    """Which of the files a folder has."""
    return {name: path for name in NAMES if (path := find_checkpoint(folder, [name])) is not None}
