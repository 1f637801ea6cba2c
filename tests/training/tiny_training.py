"""Sizes and options of a training that takes seconds, also in a process of its own, and what such a run logged."""

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from svp.presets import (
    MINI,
    PRESETS,
    AudioProjectionSizes,
    GuiderSizes,
    StyleEncoderSizes,
    StyleProjectionSizes,
    TinyDecoderSizes,
    VaeSizes,
)
from svp.training.options import TrainOptions, recipe
from warm_process import start_process

SIZE = 32
TINY = MINI.model_copy(
    update={
        "image_size": SIZE,
        "latent_channels": 4,
        "unet": MINI.unet.model_copy(
            update={
                "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16), "attention_heads": (2, 2),
                "norm_num_groups": 4, "audio_token_dim": 8, "style_token_dim": 8, "motion_heads": 2,
            }
        ),
        "guider": GuiderSizes(image_channels=3, block_out_channels=(4, 4, 8)),
        "audio_projection": AudioProjectionSizes(
            alpha_dim=1920, window=5, dim=8, depth=1, heads=2, head_dim=4, tokens=2, ff_mult=1, standardize=True
        ),
        "style_projection": StyleProjectionSizes(tokens=2),
        "style_encoder": StyleEncoderSizes(style_size=16, layers=1, heads=2, feed_forward=16, standardize=True),
        "vae": VaeSizes(patch_size=2, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4),
        "tiny_decoder": TinyDecoderSizes(width=8, depth=1),
    }
)  # fmt: skip


def small_options(stage: str, data: Path, init: Path | None, preset: str = "mini", **changes) -> TrainOptions:
    """Three quick steps of a stage, no averaging, so that every gradient shows."""
    small = {"steps": 3, "warmup_steps": 0, "ema_decay": 0.0, "learning_rate": 1e-2, "checkpoint_every": 2}
    small["validate_every"] = 3
    if stage == "prior":
        small |= {"groups": 2, "per_group": 2}
    else:
        small |= {"batch_size": 2, "sample_every": 0}
    if stage in ("appearance", "motion", "style", "turbo"):
        small |= {"drop_each": 0.0, "drop_all": 0.0, "reference_distance": 2}
    if stage in ("motion", "style", "turbo"):
        small["frames"] = 4
    return recipe(preset, stage, data, init, **(small | changes))


def start_tiny(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run a function in a process of its own where `--preset mini` means the tiny sizes."""
    return start_process(_with_tiny_sizes, function, *arguments)


def _with_tiny_sizes(function: Callable[..., None], *arguments: object) -> None:
    torch.set_num_threads(1)
    PRESETS["mini"] = TINY
    function(*arguments)


def logged(run: Path, tag: str) -> list[tuple[int, float]]:
    """Step and value of everything TensorBoard shows of a figure."""
    folder = run / "logs" / "svp"
    if not folder.is_dir():
        return []
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []
