"""`--plan`: the counts are the real ones, FLOP and memory agree with closed forms and with a real run."""

from functools import cache

import pytest
import torch
from real_steps import two_steps
from rich.console import Console
from tiny_training import small_options
from torch import nn

from svp.diffusion.attention import place_code
from svp.diffusion.build import build_pipeline
from svp.diffusion.dry_run import measure_step, without_memory
from svp.presets import PRESETS
from svp.training import plan as planning
from svp.training.networks import build_objective
from svp.training.options import recipe
from svp.training.plan import example_batch, plan_run, print_plan
from svp.training.stages import STAGES
from warm_process import start_process

pytestmark = pytest.mark.long

MEMORY_FACTOR = 1.5  # estimate and measured peak of a real run lie within this factor of each other


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(planning, "PRODUCT_SECONDS", 0.01)


class OneLayer(nn.Module):
    """Sum of a linear layer's squared outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 64, bias=False)

    def forward(self, batch):
        loss = self.layer(batch["x"]).square().sum()
        return loss, {"loss": loss.detach()}


class Attend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch):
        loss = nn.functional.scaled_dot_product_attention(batch["x"] * self.scale, batch["x"], batch["x"]).sum()
        return loss, {}


def test_the_flop_of_a_linear_layer():
    cost = measure_step(OneLayer(), {"x": torch.zeros(10, 32)}, bf16=False)
    assert cost.flop == 2 * (2 * 10 * 32 * 64)  # forward, and the gradient of the weight; the input needs none


def test_the_flop_of_attention():
    cost = measure_step(Attend(), {"x": torch.zeros(2, 3, 16, 8)}, bf16=False)
    product = 2 * 2 * 3 * 16 * 16 * 8
    assert cost.flop == 2 * product + 5 * product  # backward computes the scores anew


def test_the_memory_of_a_linear_layer():
    cost = measure_step(OneLayer(), {"x": torch.zeros(1000, 32)}, bf16=False)
    output = 4 * 1000 * 64
    assert 2 * output <= cost.activation_bytes <= 4 * output + 4 * 32 * 64 + 1000


def test_without_memory_costs_what_real_tensors_do(tiny_preset, tiny_dataset, use_tiny):
    options, costs = small_options("motion", tiny_dataset, None), []
    for real in (True, False):
        pipeline = build_pipeline(tiny_preset, seed=0)
        objective = build_objective(pipeline, STAGES["motion"], options)
        if real:
            costs.append(measure_step(objective, example_batch(tiny_preset, pipeline, options, 2), bf16=False))
            continue
        with without_memory(objective) as shapes:
            costs.append(measure_step(shapes, example_batch(tiny_preset, pipeline, options, 2), bf16=False))
    assert costs[0].flop == costs[1].flop
    assert costs[0].activation_bytes == pytest.approx(costs[1].activation_bytes, rel=0.02)
    assert place_code.cache_info().currsize == 0  # nothing without values is left for later


@cache
def planned(stage, data):
    """Options and plan of a stage at tiny sizes; stage style encodes its pictures as they come."""
    options = small_options(stage, data, None, **({"latents": "fly"} if stage == "style" else {}))
    return options, plan_run(options)


@pytest.mark.parametrize("stage", ["vae", "prior", "appearance", "motion", "style", "tiny-vae"])
def test_the_counts_are_the_real_ones(stage, tiny_preset, tiny_dataset, use_tiny):
    options, plan = planned(stage, tiny_dataset)
    objective = build_objective(build_pipeline(tiny_preset, seed=0), STAGES[stage], options)
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    assert sum(counts[0] for counts in plan.parameters.values()) == trained
    assert sum(sum(counts) for counts in plan.parameters.values()) == sum(p.numel() for p in objective.parameters())
    assert (plan.gradients, plan.adam, plan.ema) == (4 * trained, 8 * trained, 4 * trained)
    assert plan.step.flop > 0 and plan.seconds_per_step > 0


def test_checkpointing_takes_more_flop_and_less_memory(tiny_dataset, use_tiny):
    _, plan = planned("style", tiny_dataset)
    assert plan.steps[True].flop > plan.steps[False].flop
    assert plan.steps[True].activation_bytes < plan.steps[False].activation_bytes
    assert plan.parameters["vae"][0] == 0 < plan.parameters["vae"][1]


def test_base_is_planned_without_data_and_without_touching_the_disk(tmp_path, monkeypatch):
    quick = {"block_out_channels": (32, 64), "layers_per_block": 1, "attention_levels": (True, False)}
    quick |= {"attention_heads": (8, 8), "motion_levels": (True, True)}
    sizes = PRESETS["base"].unet.model_copy(update=quick)
    monkeypatch.setitem(PRESETS, "base", PRESETS["base"].model_copy(update={"unet": sizes, "image_size": 64}))
    plan = plan_run(recipe("base", "appearance", tmp_path / "none", None))
    with (console := Console(width=120)).capture() as shown:
        print_plan(plan, console)
    for words in ("reference_net", "with gradient checkpointing (this run)", "samples per hour", "40,000 steps"):
        assert words in shown.get()
    assert list(tmp_path.iterdir()) == []


def test_the_memory_estimate_holds_for_a_real_run(tmp_path):
    options = recipe("mini", "motion", tmp_path / "none", None, batch_size=1)
    plan = plan_run(options)
    process = start_process(two_steps, options, tmp_path / "peak")  # of its own, so that the peak is theirs
    process.join()
    measured = int((tmp_path / "peak").read_text())
    assert plan.total_bytes(plan.step) / MEMORY_FACTOR < measured < plan.total_bytes(plan.step) * MEMORY_FACTOR
