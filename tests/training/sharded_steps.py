"""One of two processes that train a stage of `base`'s layout, at tiny widths, sharded as the shipped file says."""

import copy
import os
from types import SimpleNamespace

import torch
from accelerate.utils import DistributedType
from tiny_base import tiny_base, tiny_options
from torch import nn

from svp.diffusion.build import build_pipeline
from svp.presets import PRESETS
from svp.training.networks import build_objective, trainable
from svp.training.plan import example_batch
from svp.training.sharding import AveragedWeights, begin_sharding, gather_parameters, whole
from svp.training.stages import STAGES

DECAY, LEARNING_RATE = 0.9, 1e-2


def steps(objective: nn.Module, batch: dict[str, torch.Tensor]) -> list[float]:
    """Norms of the gradients of two steps; in between the averages are saved and loaded. The parameters end as their
    averages."""
    parameters = trainable(objective)
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE)
    ema = AveragedWeights(parameters, DECAY)
    norms: list[float] = []
    for _ in range(2):
        objective(batch)[0].backward()
        norms.append(float(whole(nn.utils.clip_grad_norm_(parameters, 0.1))))
        optimizer.step()
        optimizer.zero_grad()
        ema.step(parameters)
        ema.load_state_dict(ema.state_dict())
    ema.copy_to(parameters)
    return norms


def train_sharded(rank: int, port: int, modules: str) -> None:
    """Fails if the two of them come to other weights or gradients than one process that is not sharded."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.distributed.init_process_group("gloo")
    from torch.distributed.fsdp import fully_shard

    base = tiny_base()
    PRESETS["base"] = base.model_copy(update={"unet": base.unet.model_copy(update={"layers_per_block": 1})})
    options = tiny_options("motion")
    pipeline = build_pipeline(PRESETS["base"], seed=0)
    objective = build_objective(pipeline, STAGES["motion"], options)
    torch.manual_seed(0)
    for parameter in trainable(objective):
        nn.init.normal_(parameter, std=0.05)  # what starts at zero would hide the rest
    batch = example_batch(PRESETS["base"], pipeline, options, 2)
    batch = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in batch.items()}
    alone = copy.deepcopy(objective)
    begin_sharding(SimpleNamespace(distributed_type=DistributedType.FSDP, is_fsdp2=True), objective, 2)
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    for module in reversed(list(objective.modules())[1:]):
        if type(module).__name__ in modules.split(","):
            fully_shard(module, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    sharded_norms = steps(objective, batch)
    gather_parameters(objective)
    norms = steps(alone, batch)
    assert all(abs(a / b - 1) < 1e-4 for a, b in zip(sharded_norms, norms, strict=True)), (sharded_norms, norms)
    pairs = zip(objective.state_dict().values(), alone.state_dict().values(), strict=True)
    assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-6
    torch.distributed.destroy_process_group()
