"""Sizes of published networks, read off their tensors; what no shape tells comes from a configuration.

Names are diffusers' for Stable Diffusion's UNet and V-Express's for what it adds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svp.errors import InputError
from svp.presets import BASE, AudioProjectionSizes, GuiderSizes, UNetSizes
from svp.weights.checkpoint import Shapes

# Of V-Express's audio projection; no shape tells the heads, only heads * head_dim.
HEAD_DIM = 64


def unet_sizes(source: Path, spatial: Shapes, motion: Shapes, config: Mapping[str, Any]) -> UNetSizes:
    """Sizes of a denoising UNet.

    Args:
        source: named in errors.
        spatial: shapes of Stable Diffusion's or V-Express's UNet; others do no harm.
        motion: shapes of the motion modules; empty for those that training will make, as `base` has them.
        config: diffusers' configuration of Stable Diffusion's UNet; missing entries are SD1.5's.

    Raises:
        InputError: if a tensor that a size is read from is missing, or the configuration is another network's.
        ValueError, IndexError: if a tensor or an entry of the configuration has no such shape or value as sizes have.
    """
    base = BASE.unet
    _check_config(source, config)
    _check_channels(source, spatial)
    levels = count(spatial, r"down_blocks\.(\d+)\.")
    heads = config.get("num_attention_heads") or config.get("attention_head_dim") or base.attention_heads[0]
    attention_levels = tuple(f"down_blocks.{n}.attentions.0.norm.weight" in spatial for n in range(levels))
    try:
        return UNetSizes(
            in_channels=spatial["conv_in.weight"][1],
            out_channels=spatial["conv_out.weight"][0],
            block_out_channels=tuple(spatial[f"down_blocks.{n}.resnets.0.conv1.weight"][0] for n in range(levels)),
            attention_levels=attention_levels,
            layers_per_block=count(spatial, r"down_blocks\.0\.resnets\.(\d+)\."),
            attention_heads=tuple(heads) if isinstance(heads, list | tuple) else (heads,) * levels,
            norm_num_groups=config.get("norm_num_groups") or base.norm_num_groups,
            audio_token_dim=spatial["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1],
            style_token_dim=spatial["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1],
            reference_position=False,
            motion_levels=tuple(
                not motion or any(name.startswith(f"down_blocks.{n}.") for name in motion) for n in range(levels)
            ),
            motion_mid=not motion or any(name.startswith("mid_block.") for name in motion),
            motion_heads=base.motion_heads,
            motion_max_frames=_table_length(motion) or base.motion_max_frames,
            motion_norm_across_frames=False,
        )
    except KeyError as error:
        raise InputError(f"{source}: not Stable Diffusion 1.5's UNet (no {error}); give the published file") from error


def audio_projection_sizes(source: Path, shapes: Shapes) -> AudioProjectionSizes:
    """Sizes of V-Express's audio projection.

    Raises:
        InputError: if a tensor that a size is read from is missing, or has another shape than can be.
    """
    try:
        window, alpha_dim = shapes["pos_emb.weight"]
        _, tokens, dim = shapes["latents"]
        inner = shapes["layers.0.0.to_q.weight"][0]
        if inner % HEAD_DIM:
            raise ValueError(f"layers.0.0.to_q.weight of a multiple of {HEAD_DIM} rows")
        return AudioProjectionSizes(
            alpha_dim=alpha_dim,
            window=window,
            dim=dim,
            depth=count(shapes, r"layers\.(\d+)\."),
            heads=inner // HEAD_DIM,
            head_dim=HEAD_DIM,
            tokens=tokens,
            ff_mult=shapes["layers.0.1.1.weight"][0] // dim,
            standardize=False,
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{source}: not V-Express's audio projection (no {error}); give the published file") from error


def guider_sizes(source: Path, shapes: Shapes) -> GuiderSizes:
    """Sizes of V-Express's guider.

    Raises:
        InputError: if a tensor that a size is read from is missing.
    """
    try:
        width, image_channels = shapes["conv_in.weight"][:2]
        halving = range(1, count(shapes, r"blocks\.(\d+)\."), 2)
        widths = tuple(shapes[f"blocks.{n}.weight"][0] for n in halving)
    except (KeyError, ValueError) as error:
        raise InputError(f"{source}: not V-Express's guider (no {error}); give the published file") from error
    return GuiderSizes(image_channels=image_channels, block_out_channels=(width, *widths))


def vae_config(source: Path, shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of diffusers' `AutoencoderKL` for the VAE of Stable Diffusion.

    Raises:
        InputError: if a tensor that a size is read from is missing.
    """
    levels = count(shapes, r"encoder\.down_blocks\.(\d+)\.")
    try:
        return {
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "block_out_channels": tuple(
                shapes[f"encoder.down_blocks.{n}.resnets.0.conv1.weight"][0] for n in range(levels)
            ),
            "layers_per_block": count(shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
            "latent_channels": shapes["post_quant_conv.weight"][0],
            "norm_num_groups": config.get("norm_num_groups") or 32,
            "sample_size": config.get("sample_size") or BASE.image_size,
            "scaling_factor": config.get("scaling_factor") or 0.18215,
        }
    except KeyError as error:
        raise InputError(f"{source}: not Stable Diffusion's VAE (no {error}); give the published file") from error


def count(names: Mapping[str, Any], pattern: str) -> int:
    """How many numbers a pattern with one group finds at the start of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def _table_length(motion: Shapes) -> int | None:
    return next((shape[1] for name, shape in motion.items() if name.endswith("pos_encoder.pe")), None)


def _check_channels(source: Path, spatial: Shapes) -> None:
    """Relatives of Stable Diffusion take more than latents: nine channels for inpainting, eight for editing."""
    for name, axis in (("conv_in.weight", 1), ("conv_out.weight", 0)):
        if name in spatial and spatial[name][axis] != BASE.latent_channels:
            raise InputError(
                f"{source}: {name} has {spatial[name][axis]} channels, as networks for inpainting or editing have; "
                f"give SD1.5's own, which has {BASE.latent_channels}"
            )


def _check_config(source: Path, config: Mapping[str, Any]) -> None:
    """What SD1.5's UNet cannot be told from by shapes."""
    for name, wanted in (("act_fn", "silu"), ("flip_sin_to_cos", True), ("freq_shift", 0)):
        if config.get(name, wanted) != wanted:
            raise InputError(f"{source}: configured with {name} {config[name]}; give SD1.5's, which has {wanted}")
