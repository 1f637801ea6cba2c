"""`base` on clusters: the shipped files are accelerate's, and what they shard trains to the same weights."""

import json
import socket
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from sharded_steps import train_sharded
from tiny_base import tiny_base, tiny_options

from svp.diffusion.build import build_pipeline
from svp.diffusion.model_folder import ASSETS
from svp.errors import InputError
from svp.training.networks import build_objective, trainable
from svp.training.options import COMMON, RECIPES
from svp.training.plan import PRIOR_CLIPS, example_batch
from svp.training.sharding import begin_sharding
from svp.training.stages import STAGES
from warm_process import start_process

pytestmark = pytest.mark.long

FILES = ASSETS / "accelerate"


@pytest.mark.parametrize("name", ["multi_node", "fsdp", "deepspeed"])
def test_accelerate_reads_the_file(name):
    config = load_config_from_file(str(FILES / f"{name}.yaml"))
    kind = {"multi_node": "MULTI_GPU", "fsdp": "FSDP", "deepspeed": "DEEPSPEED"}[name]
    assert config.distributed_type == DistributedType(kind)
    assert {path.stem for path in FILES.glob("*.yaml")} == {"multi_node", "fsdp", "deepspeed"}


def test_deepspeed_shards_no_weights_and_clips_as_the_recipe_does():
    settings = json.loads((FILES / "zero2.json").read_text())
    assert settings["zero_optimization"]["stage"] == 2 and not settings["bf16"]["enabled"]
    assert settings["gradient_clipping"] == COMMON["max_grad_norm"]
    assert load_config_from_file(str(FILES / "deepspeed.yaml")).mixed_precision == "no"


def sharded_modules() -> str:
    return yaml.safe_load((FILES / "fsdp.yaml").read_text())["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"]


def test_fsdp_names_layers_of_base():
    with torch.device("meta"):
        pipeline = build_pipeline(tiny_base(), seed=0)
    assert set(sharded_modules().split(",")) <= {type(module).__name__ for module in pipeline.denoiser.modules()}


def test_sharded_equals_whole():
    """Averages, clipping, saving of the averages and gathering included; two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start_process(train_sharded, rank, port, sharded_modules()) for rank in range(2)]
    for process in processes:
        process.join(400)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distributed_type": DistributedType.FSDP, "is_fsdp2": False}, "fsdp_version: 2"),
        ({"zero_stage": 3, "mixed_precision": "no"}, "set stage 2"),
        ({"zero_stage": 2, "mixed_precision": "bf16"}, "--precision fp32"),
    ],
)
def test_what_cannot_be_averaged_exactly_is_refused(changes, said):
    plugin = SimpleNamespace(zero_stage=changes.get("zero_stage"), deepspeed_config={})
    given = {"distributed_type": DistributedType.DEEPSPEED, "state": SimpleNamespace(deepspeed_plugin=plugin)} | changes
    with pytest.raises(InputError, match=said):
        begin_sharding(SimpleNamespace(**given), torch.nn.Linear(1, 1), 4)


@pytest.mark.parametrize("stage", [stage for preset, stage in RECIPES if preset == "base"])
def test_a_step_of_every_stage_of_base(stage):
    options, preset = tiny_options(stage), tiny_base()
    pipeline = build_pipeline(preset, seed=0)
    objective = build_objective(pipeline, STAGES[stage], options)
    parameters = trainable(objective)
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    samples = PRIOR_CLIPS if stage == "prior" else 2
    batch = example_batch(preset, pipeline, options, samples)
    batch = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in batch.items()}
    loss, _ = objective(batch)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    moved = {name for name, tensor in objective.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved and moved <= {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
