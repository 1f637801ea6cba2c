"""Low-rank adapters (LoRA, Hu et al. 2021) as a small file that changes a model: W becomes W + B A.

A file holds, under the parameter names of `Denoiser`, `NAME.lora_A.weight` (R, in) and `NAME.lora_B.weight` (out, R) of
every adapted linear layer, and whole the tensors of the small layers that were trained beside them. `svp train --lora`
writes it; it fits the model that the training started from.

Shapes: R rank, in and out channels of a linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from svp.errors import InputError
from svp.media.whole_file import whole_file

DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def save_adapters(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write adapters; the file appears when it is complete."""
    with whole_file(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=dict(header))


def load_adapters(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of adapters.

    Raises:
        InputError: it cannot be read, or holds no adapters.
    """
    remedy = "give the file that `svp train --lora` wrote"
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no readable adapters ({error}); {remedy}") from error
    if not any(name.endswith(DOWN) for name in tensors):
        raise InputError(f"{path}: holds no LoRA adapters; {remedy}")
    return tensors


@torch.no_grad()
def merge_adapters(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Add adapters to the weights they belong to, and replace the tensors that come whole.

    Raises:
        ValueError: a tensor has no counterpart in the network, or another shape; the network is then unchanged.
    """
    own = network.state_dict()
    changed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(UP):
            continue
        target, value = name, tensor
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            if layer + UP not in tensors:
                raise ValueError(f"{layer}: half an adapter")
            target, value = f"{layer}.weight", tensors[layer + UP] @ tensor
        if target not in own or own[target].shape != value.shape:
            raise ValueError(f"{target}: the model has no such layer of shape {tuple(value.shape)}")
        value = value.to(own[target])
        changed[target] = own[target] + value if name.endswith(DOWN) else value
    network.load_state_dict(changed, strict=False)
