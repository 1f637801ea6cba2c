"""LoRA: a stage trained through low-rank adapters, for GPUs that cannot hold Adam's state of all its parameters.

Every linear layer that the stage trains gets an adapter and is frozen; so are its convolutions and norms. The layers
that the stage itself brings, small and without anything to start from, train as a whole (`Stage.whole`).
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from svp.diffusion.denoiser import Denoiser
from svp.errors import InputError, install
from svp.training.stages import Stage
from svp.weights.header import DOWN, UP


def require_peft() -> None:
    """Raise InputError where the library of the adapters is missing."""
    if find_spec("peft") is None:
        raise InputError(f"--lora: needs peft, which is not installed; {install('lora')}")


def add_adapters(denoiser: Denoiser, stage: Stage, rank: int, seed: int) -> None:
    """Give every linear layer that trains an adapter of this rank, which starts by adding nothing.

    Args:
        denoiser: after `select`; only adapters and the stage's whole layers train afterwards.
        seed: the adapters' first weights follow from it.
    """
    from peft import LoraConfig, inject_adapter_in_model

    whole = [n for n, p in denoiser.named_parameters() if p.requires_grad and _is_whole(stage, n)]
    adapted = [
        name
        for name, module in denoiser.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad and not _is_whole(stage, f"{name}.weight")
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=adapted), denoiser)
    for name in whole:
        denoiser.get_parameter(name).requires_grad_(True)


def take_adapters(denoiser: Denoiser, stage: Stage) -> dict[str, Tensor]:
    """Remove the adapters: the layers are the frozen ones again, and what was trained is returned.

    Returns:
        Tensors for `diffusion.adapters`, whole layers with their buffers included.
    """
    from peft.tuners.lora import LoraLayer

    tensors: dict[str, Tensor] = {}
    adapted: list[tuple[str, Any]] = [(p, m) for p, m in denoiser.named_modules() if isinstance(m, LoraLayer)]
    for path, layer in adapted:
        tensors[path + DOWN] = layer.lora_A["default"].weight.detach().cpu()
        tensors[path + UP] = layer.lora_B["default"].weight.detach().cpu()
        parent, _, child = path.rpartition(".")
        setattr(denoiser.get_submodule(parent), child, layer.get_base_layer())
    state = denoiser.state_dict()
    return tensors | {name: value.detach().cpu() for name, value in state.items() if _is_whole(stage, name)}


def _is_whole(stage: Stage, name: str) -> bool:
    return any(re.match(pattern, name) for pattern in stage.whole)
