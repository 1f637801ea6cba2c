"""Random weights under the published names, in the files that their authors publish."""

import math
from pathlib import Path

import torch
from torch import Tensor

from golden_rule import read_keys, rule_weights
from svp.weights.provenance import imported_weights

RELU = math.sqrt(2.0)
# of the golden numbers: seed, gain, factors by name
RULES = {
    "styletalk": (1, 1.0, {}),
    "syncnet": (2, RELU, {"netcnnlip.0.weight": 2.0**-7, "netcnnaud.0.weight": 2.0**-3}),
    "deep3d": (4, RELU, {f"backbone.layer{n}.{k}.bn3.weight": 0.25 for n in range(1, 5) for k in range(6)}),
    "i3d": (5, RELU, {}),
}


def weights(kind: str) -> dict[str, Tensor]:
    """All tensors of a network by their published names."""
    seed, gain, factors = RULES[kind]
    return rule_weights(read_keys(f"{kind}/keys.json"), seed, gain, factors)


def publish(kind: str, folder: Path, tensors: dict[str, Tensor] | None = None) -> Path:
    """A file as published; with tensors of one's own instead."""
    found = weights(kind) if tensors is None else tensors
    path, content = {
        "styletalk": ("styletalk_checkpoint.pth", {"model_state_dict": found | {"decoder.x": torch.ones(2)}}),
        "syncnet": ("syncnet_v2.model", found),
        "deep3d": ("epoch_20.pth", {"net_recon": found, "opt_00": {"step": 3}}),
        "i3d": ("i3d_pretrained_400.pt", found),
    }[kind]
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / path)
    return folder / path


def licences(folder: Path) -> list[str]:
    """What is told of the weights in a folder before they are used."""
    return [weight.notice() for weight in imported_weights(folder)]


class FakeInception(torch.nn.Module):
    """Something that is called as Inception's TorchScript is: bytes in, 2048 numbers out."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = torch.nn.Parameter(torch.randn(3 * 16, 2048, generator=generator) / 48, requires_grad=False)

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        if not return_features:
            return torch.zeros(len(images), 1008)
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, [4, 4])
        return torch.relu(small.flatten(1) @ self.mix)


class FakeI3D(torch.nn.Module):
    """The same for I3D's TorchScript, with its named arguments."""

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        if rescale or resize or not return_features:
            return torch.zeros(len(x), 400)
        return x.mean(dim=[3, 4]).mean(dim=2).repeat(1, 134)[:, :400]


def publish_scripted(network: torch.nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network.eval()).save(str(path))
    return path
