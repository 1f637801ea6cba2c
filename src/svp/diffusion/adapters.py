"""Low-rank adapters (LoRA, Hu et al. 2021) as a small file that changes a model: W becomes W + B A.

A file holds, under the parameter names of `Denoiser`, `NAME.lora_A.weight` (R, in) and `NAME.lora_B.weight` (out, R) of
every adapted layer, and whole the tensors of the small layers that were trained beside them. `svp train --lora`
writes it; it fits the model that the training started from. The distilled weights of a shipped model are kept so too.

Shapes: R rank, in and out channels of a linear layer; of a convolution, in counts every weight of an out channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from svp.errors import InputError
from svp.media.whole_file import output_file
from svp.weights.header import DOWN, TRAINED, UP, check_adapters

BYTES = 2  # of a number in half precision


def save_adapters(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write adapters; the file appears when it is complete."""
    with output_file(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=dict(header))


def load_adapters(path: Path, remedy: str = TRAINED) -> dict[str, Tensor]:
    """The tensors of a file of adapters.

    Raises:
        InputError: it cannot be read, or holds no adapters.
    """
    check_adapters(path, remedy)
    return load_file(path)


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
            target, value = f"{layer}.weight", tensors[layer + UP].float() @ tensor.float()
            if target in own and own[target].flatten(1).shape == value.shape:  # a convolution
                value = value.view(own[target].shape)
        if target not in own or own[target].shape != value.shape:
            raise ValueError(f"{target}: the model has no such layer of shape {tuple(value.shape)}")
        value = value.to(own[target])
        changed[target] = own[target] + value if name.endswith(DOWN) else value
    network.load_state_dict(changed, strict=False)


def merge_file(network: nn.Module, path: Path) -> None:
    """As `merge_adapters`, from a file.

    Raises:
        InputError: if it cannot be read, or belongs to a network of other sizes.
    """
    try:
        merge_adapters(network, load_adapters(path))
    except ValueError as error:
        raise InputError(f"{path}: not made for this model ({error}); give the model it was trained on") from error


@torch.no_grad()
def find_adapters(own: Mapping[str, Tensor], wanted: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Adapters, in half precision, that bring weights as near to others as so many bytes allow.

    Biases and norms come whole. Of all matrices' differences those directions are kept whose square outweighs the
    bytes they take the most.

    Args:
        own, wanted: tensors of the same names and shapes.
        size: bytes of their file.

    Raises:
        ValueError: if names or shapes differ, or `size` does not do for biases and norms.
    """
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in wanted.items()}:
        raise ValueError("two networks of different layers")
    changed = {name: wanted[name].float() - own[name].float() for name in own}
    changed = {name: change for name, change in changed.items() if change.any()}
    tensors = {name: wanted[name].half() for name, change in changed.items() if change.dim() < 2}
    left = size - sum(BYTES * tensor.numel() + _entry(name) for name, tensor in tensors.items())
    if left < 0:
        raise ValueError(f"biases and norms alone take {size - left} bytes, more than {size}")
    matrices = {name: change.flatten(1) for name, change in changed.items() if change.dim() > 1}
    cost = {name: BYTES * sum(matrix.shape) for name, matrix in matrices.items()}  # bytes of one direction
    parts = {name: torch.linalg.svd(matrix, full_matrices=False) for name, matrix in matrices.items()}
    worth = [(float(s) ** 2 / cost[name], name) for name, (_, strengths, _) in parts.items() for s in strengths]
    ranks: dict[str, int] = {}
    for _, name in sorted(worth, reverse=True):
        taken = cost[name] + (0 if name in ranks else _entry(name + DOWN) + _entry(name + UP))
        if taken > left:
            break
        ranks[name] = ranks.get(name, 0) + 1
        left -= taken
    for name, rank in ranks.items():
        outer, strengths, inner = parts[name]
        root = strengths[:rank].sqrt()
        layer = name.removesuffix(".weight")
        tensors[layer + DOWN] = (root[:, None] * inner[:rank]).half().contiguous()
        tensors[layer + UP] = (outer[:, :rank] * root).half().contiguous()
    return tensors


def _entry(name: str) -> int:
    """Bytes that a tensor's name, type, shape and place take in the head of a file."""
    return len(name) + 80
