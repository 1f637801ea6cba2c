"""The distilled weights of a model, kept in its folder as small changes of its UNet's, for `--fast turbo`.

A second UNet would double what a small model takes on disk. A model that was distilled as a whole has no such file.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from accelerate.hooks import remove_hook_from_module
from torch import Tensor, nn

from svp.diffusion.adapters import load_adapters, merge_adapters, save_adapters
from svp.diffusion.model_folder import REMEDY
from svp.diffusion.offload import place_of
from svp.diffusion.unet import DenoisingUNet
from svp.errors import InputError

TURBO = "turbo.safetensors"


class Turbo:
    """What makes a model's UNet the distilled one.

    Args:
        tensors: as `adapters.py` says.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self._made: tuple[DenoisingUNet, DenoisingUNet] | None = None  # of which UNet, and the distilled one

    @classmethod
    def load(cls, folder: Path) -> Turbo | None:
        """Those of a model folder; None where there are none.

        Raises:
            InputError: they are damaged.
        """
        path = folder / TURBO
        return cls(load_adapters(path, REMEDY)) if path.is_file() else None

    def save(self, folder: Path) -> None:
        """Put them into a model folder."""
        save_adapters(folder / TURBO, self.tensors, {"stage": "turbo"})

    def unet(self, own: DenoisingUNet) -> DenoisingUNet:
        """The distilled UNet, beside a model's own; made once.

        Raises:
            InputError: the changes belong to another model.
        """
        if self._made is None or self._made[0] is not own:
            changed = deepcopy(own)
            remove_hook_from_module(changed)
            try:
                merge_adapters(nn.ModuleDict({"unet": changed}), self.tensors)
            except ValueError as error:
                raise InputError(f"{TURBO}: not made for this model ({error}); {REMEDY}") from error
            self._made = own, changed
        return self._made[1].to(place_of(own)[0])  # type: ignore[arg-type]  # diffusers wraps it
