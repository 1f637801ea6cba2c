"""Where a network computes, which is not where its weights lie while diffusers keeps them off the GPU."""

import torch
from torch import nn


def place_of(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and type of a network's inputs, also under `enable_model_cpu_offload`.

    Not diffusers' `device` and `dtype`, which walk through all layers to find it: this is asked in every step.
    """
    first = next(network.parameters())
    device = getattr(getattr(network, "_hf_hook", None), "execution_device", None)
    return (first.device if device is None else torch.device(device)), first.dtype
