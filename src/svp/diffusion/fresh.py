"""Weights of layers that nobody published: as training from scratch begins with them, made one layer at a time."""

from __future__ import annotations

import copy
import zlib
from typing import cast

import torch
from torch import Tensor, nn

from svp.diffusion.attention import zero

ZEROED = ("attn_style.to_out.0", "temporal_transformer.proj_out")  # so that these layers change nothing


def fresh_tensor(network: nn.Module, name: str) -> Tensor:
    """The first value of one parameter of a network that has only shapes.

    Args:
        network: on the meta device.
        name: in its state dict, of a layer that can reset its parameters.

    Returns:
        On the CPU; it follows from the layer's name and size alone.
    """
    path, _, own = name.rpartition(".")
    layer = copy.deepcopy(network.get_submodule(path)).to_empty(device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(path.encode()))
        cast(nn.Linear, layer).reset_parameters()
    if path.endswith(ZEROED):
        zero(layer)
    return layer.state_dict()[own]
