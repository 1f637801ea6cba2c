"""Training whose state is spread over devices: FSDP (version 2) shards parameters too, DeepSpeed ZeRO-2 the rest only.

Averaged weights live where the parameters do: under FSDP every process averages its own shards.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from svp.errors import InputError


def begin_sharding(accelerator: Accelerator, objective: nn.Module, per_process: int) -> None:
    """Make an objective ready for `accelerator.prepare`; without FSDP or DeepSpeed nothing happens.

    Args:
        per_process: samples of a forward on each device.

    Raises:
        InputError: for a configuration that cannot be trained exactly.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        if not accelerator.is_fsdp2:
            raise InputError("FSDP 1: its flat parameters cannot be averaged; set fsdp_version: 2 in the config file")
        objective.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not sharded otherwise
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        plugin = accelerator.state.deepspeed_plugin
        if plugin.zero_stage == 3:
            raise InputError("DeepSpeed ZeRO 3: averages need whole parameters; set stage 2, or shard them with FSDP")
        if accelerator.mixed_precision != "no":
            raise InputError(
                "--precision: under DeepSpeed half precision would round the weights themselves; give --precision fp32 "
                "and let torch_autocast of the DeepSpeed file compute in bf16"
            )
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = per_process


class AveragedWeights(EMAModel):
    """diffusers' moving average, of shards too; its state is whole, so that it is saved and resumed on any devices."""

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        super().__init__(parameters, decay=decay, use_ema_warmup=True, power=0.75)

    def state_dict(self) -> dict[str, Any]:
        """All processes call it together."""
        gathered = [whole(tensor).cpu() if isinstance(tensor, DTensor) else tensor for tensor in self.shadow_params]
        return super().state_dict() | {"shadow_params": gathered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """All processes call it together."""
        own = self.shadow_params
        super().load_state_dict(state_dict)
        self.shadow_params = [_spread_like(old, new) for old, new in zip(own, self.shadow_params, strict=True)]


def whole(value: Tensor | float | None) -> Tensor:
    """A tensor itself, gathered if it is sharded; a number (DeepSpeed's norms, None at first) as a tensor."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    return value if isinstance(value, Tensor) else torch.tensor(float(value or 0.0))


def gather_parameters(network: nn.Module) -> None:
    """Make every sharded parameter a whole one on the CPU; all processes call it together, after the last step."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, DTensor):
                gathered = nn.Parameter(parameter.full_tensor().detach().cpu(), parameter.requires_grad)
                module.register_parameter(name, gathered)


def _spread_like(old: Tensor, new: Tensor) -> Tensor:
    if isinstance(old, DTensor):
        return distribute_tensor(new.to(old.device), old.device_mesh, old.placements)
    return new.to(old.device)
