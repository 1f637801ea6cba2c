"""What a run would take, before it runs: parameters, memory per device, FLOP and time of its steps.

No weights are read and nothing is written: the networks are built without memory (see `dry_run.py`). Time is FLOP over
the rate of a matrix product on this very device. A real step does not reach that rate; how near it comes depends on the
device, so the time is an estimate from below.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from svp.datasets.prepared import PreparedDataset
from svp.diffusion.build import build_pipeline
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.dry_run import StepCost, measure_step, without_memory
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.vae import latent_stride
from svp.presets import Preset
from svp.training.device import micro_batch_size, mixed_precision, processes
from svp.training.lora import require_peft
from svp.training.model_folder import find_preset
from svp.training.networks import build_objective, trainable
from svp.training.options import ONLY_FOR, PICTURES, TrainOptions
from svp.training.samples import CONDITIONS
from svp.training.stages import STAGES, STYLED

PRIOR_FRAMES = 125  # assumed length of a clip, 5 s
PRIOR_CLIPS = 8  # the prior looks at its values, so a batch of it is really computed: a small one, scaled
ADAM_STATES, EMA_COPIES = 2, 1
PRODUCT_SECONDS = 0.3


@dataclass(frozen=True)
class Plan:
    """What a run would take.

    Attributes:
        parameters: (trained, frozen) by network, of those on the device.
        processes: devices that share a step.
        per_process: samples of one forward on each.
        weights, gradients, adam, ema: bytes per device.
        steps: costs of a step without and with gradient checkpointing, per device; one alone where there is no choice.
        flop_per_second: of a matrix product on this device.
    """

    options: TrainOptions
    parameters: dict[str, tuple[int, int]]
    processes: int
    per_process: int
    weights: int
    gradients: int
    adam: int
    ema: int
    steps: dict[bool, StepCost]
    flop_per_second: float

    @property
    def step(self) -> StepCost:
        """The cost with the options' gradient checkpointing."""
        return self.steps[self.options.gradient_checkpointing if len(self.steps) > 1 else False]

    @property
    def seconds_per_step(self) -> float:
        return self.options.accumulate * self.step.flop / self.flop_per_second

    def total_bytes(self, step: StepCost) -> int:
        """Memory per device at the peak of a step; gradients and activations are rarely all there together."""
        return self.weights + self.gradients + self.adam + self.ema + step.activation_bytes


def plan_run(options: TrainOptions) -> Plan:
    """Count, measure and multiply. The dataset need not exist yet; if it does, it says what measured expressions."""
    if options.lora:
        require_peft()
    stage, preset, state = STAGES[options.stage], find_preset(options.preset), processes()
    if Path(options.data).is_dir():
        preset = preset.measured_by(PreparedDataset(options.data).expression_encoder)
    half = mixed_precision(options.precision, state.device) != "no"
    whole = stage.name == "prior"  # every process takes the whole contrastive batch
    per_process = options.batch_size if whole else micro_batch_size(options, state.num_processes) // state.num_processes
    choices = (False, True) if stage.name in ONLY_FOR["gradient_checkpointing"] else (False,)
    steps = {}
    for choice in choices:
        with torch.device("meta"):
            pipeline = build_pipeline(preset, options.seed)
        chosen = options.model_copy(update={"gradient_checkpointing": choice})
        objective = build_objective(pipeline, stage, chosen)
        steps[choice] = _step_cost(objective, pipeline, preset, chosen, per_process, half)
    trained = 4 * sum(parameter.numel() for parameter in trainable(objective))
    return Plan(
        options=options,
        parameters=count_parameters(objective),
        processes=state.num_processes,
        per_process=per_process,
        weights=sum(tensor.nbytes for tensor in (*objective.parameters(), *objective.buffers())),
        gradients=trained,
        adam=ADAM_STATES * trained,
        ema=EMA_COPIES * trained,
        steps=steps,
        flop_per_second=product_rate(state.device, torch.bfloat16 if half else torch.float32),
    )


def count_parameters(objective: nn.Module) -> dict[str, tuple[int, int]]:
    """(trained, frozen) parameters by network."""
    networks: dict[str, nn.Module] = {}
    for name, child in objective.named_children():
        networks |= dict(child.named_children()) if isinstance(child, Denoiser) else {name: child}
    counts = {}
    for name, network in networks.items():
        trained = sum(parameter.numel() for parameter in trainable(network))
        counts[name] = trained, sum(parameter.numel() for parameter in network.parameters()) - trained
    return counts


def example_batch(preset: Preset, pipeline: SVPPipeline, options: TrainOptions, samples: int) -> dict[str, Tensor]:
    """A batch of the stage's shapes and types without content, on the current default device."""
    size, frames = preset.image_size, options.frames
    side = size // latent_stride(pipeline.vae)
    latent = (preset.latent_channels, side, side)
    if options.stage in PICTURES:
        return {
            "pixels": torch.zeros(samples, 3, size, size),
            "weight": torch.ones(samples, size, size),
            "noise": torch.zeros(samples, *latent),
        }
    alpha = preset.audio_projection.alpha_dim
    if options.stage == "prior":
        return {
            "expression": torch.ones(samples, PRIOR_FRAMES, preset.expression_size),  # zeros are an absent modality
            "audio": torch.ones(samples, PRIOR_FRAMES, alpha),
            "present": torch.ones(samples, PRIOR_FRAMES, dtype=torch.bool),
            "labels": torch.arange(samples) // options.per_group,
            "keep_expression": torch.ones(samples, dtype=torch.bool),
            "keep_audio": torch.ones(samples, dtype=torch.bool),
            "noise": torch.zeros(samples, preset.style_encoder.style_size),
        }
    video = (samples, latent[0], frames, side, side)
    batch = {
        "noise": torch.zeros(video),
        "timestep": torch.zeros(samples, dtype=torch.int64),
        "weight": torch.ones(samples, frames, side, side),
        "keep": torch.ones(samples, len(CONDITIONS), dtype=torch.bool),
        "audio": torch.zeros(samples, frames, preset.audio_projection.window, alpha),
        "head_kps": torch.zeros(samples, 3, frames, size, size),
    }
    if options.stage in STYLED:
        batch["style"] = torch.zeros(samples, preset.style_encoder.style_size)
    if options.latents == "fly":
        batch["pictures"] = torch.zeros(samples, frames + 1, size, size, 3, dtype=torch.uint8)
        return batch | {"posterior_noise": torch.zeros(samples, frames + 1, *latent)}
    return batch | {"latents": torch.zeros(video), "reference": torch.zeros(samples, *latent)}


def _step_cost(
    objective: nn.Module, pipeline: SVPPipeline, preset: Preset, options: TrainOptions, samples: int, half: bool
) -> StepCost:
    if options.stage == "prior":
        small = measure_step(
            objective.to_empty(device="cpu"), example_batch(preset, pipeline, options, PRIOR_CLIPS), bf16=half
        )
        return StepCost(small.flop * samples // PRIOR_CLIPS, small.activation_bytes * samples // PRIOR_CLIPS)
    with without_memory(objective) as shapes:
        return measure_step(shapes, example_batch(preset, pipeline, options, samples), bf16=half)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP per second of square matrix products on a device, over PRODUCT_SECONDS."""
    side = 4096 if device.type == "cuda" else 1024
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    float((matrix @ matrix)[0, 0])  # the first one is slow
    products, begin = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begin) < PRODUCT_SECONDS:
        float((matrix @ matrix)[0, 0])  # reading a number waits for the device
        products += 1
    return 2 * side**3 * products / seconds


def print_plan(plan: Plan, console: Console) -> None:
    """Three tables and what they assume."""
    options = plan.options
    parameters = Table(
        "network", title=f"{options.stage}, {options.preset}: parameters (millions)", title_justify="left"
    )
    for heading in ("trained", "frozen"):
        parameters.add_column(heading, justify="right")
    total = tuple(sum(counts) for counts in zip(*plan.parameters.values(), strict=True))
    for name, (trained, frozen) in {**plan.parameters, "all": total}.items():
        parameters.add_row(name, f"{trained / 1e6:,.2f}", f"{frozen / 1e6:,.2f}")

    names = {False: "without", True: "with gradient checkpointing"} if len(plan.steps) > 1 else {False: ""}
    memory = Table("", title="memory per device (GB)", title_justify="left")
    for choice, step in plan.steps.items():
        memory.add_column(
            names[choice] + (" (this run)" if step is plan.step and len(names) > 1 else ""), justify="right"
        )
    for name in ("weights", "gradients", "adam", "ema"):
        memory.add_row(name, *[f"{getattr(plan, name) / 1e9:.2f}"] * len(plan.steps))
    memory.add_row("activations", *[f"{step.activation_bytes / 1e9:.2f}" for step in plan.steps.values()])
    memory.add_row("all", *[f"{plan.total_bytes(step) / 1e9:.2f}" for step in plan.steps.values()])

    seconds = plan.seconds_per_step
    speed = Table("", "", title="time (estimate)", title_justify="left", show_header=False)
    speed.add_row(
        "samples per step", f"{options.batch_size} ({plan.processes} x {plan.per_process * options.accumulate})"
    )
    speed.add_row("TFLOP per step and device", f"{options.accumulate * plan.step.flop / 1e12:.3g}")
    speed.add_row("TFLOP/s of a matrix product here", f"{plan.flop_per_second / 1e12:.3g}")
    speed.add_row("steps per hour", f"{3600 / seconds:,.0f}" if seconds < 360 else f"{3600 / seconds:.2g}")
    speed.add_row("samples per hour", f"{3600 / seconds * options.batch_size:,.0f}")
    speed.add_row(f"{options.steps:,} steps", _duration(seconds * options.steps))
    for table in (parameters, memory, speed):
        console.print(table)
    console.print(
        "Weights, gradients, Adam and EMA in float32 on every device (no FSDP, no DeepSpeed). Activations: the most "
        "that lives at once in one forward and backward; a GPU's own libraries take about 1 GB more. Time: all devices "
        "like this one, as fast as a matrix product. Real steps are slower: mini on a CPU took three times as long.",
        highlight=False,
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"
