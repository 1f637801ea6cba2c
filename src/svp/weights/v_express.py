"""V-Express's five published files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from svp.errors import InputError
from svp.weights.animatediff import read_motion_modules, split_motion
from svp.weights.checkpoint import find_checkpoint, read_checkpoint
from svp.weights.config import read_config
from svp.weights.registry import WEIGHTS

KIND = "v-express"
NAMES = WEIGHTS[KIND].files
CONFIGS = ("unet_config.json", "config.json")  # of Stable Diffusion's UNet, for heads and groups
WAV2VEC2 = "wav2vec2-base-960h"


@dataclass
class VExpress:
    """Where the files are; tensors are read part by part, so that not all are held at once.

    Attributes:
        files: by published name; `motion_module` may be absent.
        unet_config: diffusers' configuration of Stable Diffusion's UNet; empty where the folder has none.
        config_file: where it stands.
        wav2vec2: the folder of the encoder of sound, if it lies in or beside the folder as published.
    """

    files: dict[str, Path]
    unet_config: dict[str, Any]
    config_file: Path | None
    wav2vec2: Path | None

    def denoising_unet(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Spatial tensors and motion modules; where there is a motion file, its modules alone count.

        Raises:
            InputError: if a file cannot be read, or neither has motion modules.
        """
        spatial, motion = split_motion(read_checkpoint(self.files["denoising_unet"]))
        if "motion_module" in self.files:
            motion = read_motion_modules(self.files["motion_module"])
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
    """The five files in a folder, or in its folder `v-express`.

    Raises:
        InputError: naming those that are missing.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no folder; give the one that holds {', '.join(NAMES)}")
    folder = source / KIND if (source / KIND).is_dir() else source
    found = {name: path for name in NAMES if (path := find_checkpoint(folder, [name])) is not None}
    missing = [name for name in NAMES if name not in found and name != "motion_module"]
    if missing:
        raise InputError(
            f"{folder}: has no {', '.join(missing)} (.bin, .pth or .safetensors); put all five files there"
        )
    config = next((path for name in CONFIGS if (path := folder / name).is_file()), None)
    wav2vec2 = next((path for parent in (source, folder.parent) if (path := parent / WAV2VEC2).is_dir()), None)
    return VExpress(found, {} if config is None else read_config(config), config, wav2vec2)
