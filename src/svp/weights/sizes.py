"""Sizes of published networks, read off their tensors; what no shape tells comes from a configuration.

A size is what most of the tensors that have it tell, so that one of another shape is named as such afterwards. Names
are diffusers' for Stable Diffusion's UNet and V-Express's for what it adds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from svp.errors import InputError
from svp.presets import BASE, AudioProjectionSizes, GuiderSizes, UNetSizes
from svp.weights.checkpoint import Shapes, size
from svp.weights.config import read_config

# What no shape tells and a configuration may: the keys of diffusers' UNet and motion modules, and the channels of a
# head of V-Express's audio projection. Of the UNet the first two both mean the number of heads.
CONFIG_KEYS = (
    "num_attention_heads",
    "attention_head_dim",
    "norm_num_groups",
    "motion_num_attention_heads",
    "audio_head_dim",
)


def read_sizes_config(path: Path | None) -> dict[str, Any]:
    """What a user says of a network of other sizes than the published one; nothing without a file.

    Raises:
        InputError: if it cannot be read, or holds anything but `CONFIG_KEYS` with numbers above zero.
    """
    config = {} if path is None else read_config(path, "write a JSON object")
    for key, value in config.items():
        numbers = value if isinstance(value, list) and key in CONFIG_KEYS[:2] else [value]
        if key not in CONFIG_KEYS or not all(type(number) is int and number > 0 for number in numbers):
            raise InputError(f"{path}: {key} {value!r}; known are {', '.join(CONFIG_KEYS)}, whole numbers above zero")
    return config


def unet_sizes(source: Path, spatial: Shapes, motion: Shapes, config: Mapping[str, Any]) -> UNetSizes:
    """Sizes of a denoising UNet.

    Args:
        source: named in errors.
        spatial: shapes of Stable Diffusion's or V-Express's UNet; others do no harm.
        motion: shapes of the motion modules, whose tables tell the longest window; every level and the middle have
            them, published ones or those that training will make.
        config: diffusers' configuration of Stable Diffusion's UNet; missing entries are SD1.5's.

    Raises:
        InputError: if no tensor tells a size, or the configuration is another network's.
        ValueError: if an entry of the configuration has no such value as sizes have.
    """
    base = BASE.unet
    _check_config(source, config)
    _check_channels(source, spatial)
    levels = count(spatial, r"down_blocks\.(\d+)\.resnets\.0\.")
    heads = config.get("num_attention_heads") or config.get("attention_head_dim") or base.attention_heads[0]
    attentions = tuple(
        any(name.startswith(f"down_blocks.{n}.attentions.0.transformer_blocks.") for name in spatial)
        for n in range(levels)
    )
    blocks = ["mid_block", *(f"down_blocks.{n}" for n in range(levels) if attentions[n])]
    keys = [f"{block}.attentions.0.transformer_blocks.0.attn2.to_k.weight" for block in blocks]
    try:
        token_dim = told(spatial, *((key, 1) for key in keys))
        widths = tuple(_resnet_width(spatial, f"down_blocks.{n}.resnets.0") for n in range(levels))
    except KeyError as error:
        raise InputError(f"{source}: not Stable Diffusion 1.5's UNet ({error.args[0]}); give its own file") from error
    return UNetSizes(
        in_channels=base.in_channels,
        out_channels=base.out_channels,
        block_out_channels=widths,
        attention_levels=attentions,
        layers_per_block=count(spatial, r"down_blocks\.0\.resnets\.(\d+)\."),
        attention_heads=tuple(heads) if isinstance(heads, list | tuple) else (heads,) * levels,
        norm_num_groups=config.get("norm_num_groups") or base.norm_num_groups,
        audio_token_dim=token_dim,
        style_token_dim=token_dim,
        reference_position=False,
        motion_levels=(True,) * levels,
        motion_mid=True,
        motion_heads=config.get("motion_num_attention_heads") or base.motion_heads,
        motion_max_frames=_table_length(motion) or base.motion_max_frames,
        motion_norm_across_frames=False,
    )


def motion_width(motion: Shapes, modules: Iterable[str], level: int) -> int:
    """Channels of the motion modules of a level, by the starts of their names; as published if no tensor tells."""
    names = ("norm.weight", "norm.bias", "proj_in.bias", "proj_out.bias")
    try:
        return told(motion, *((f"{module}temporal_transformer.{name}", 0) for module in modules for name in names))
    except KeyError:
        published = BASE.unet.block_out_channels
        return published[min(level, len(published) - 1)]


def audio_projection_sizes(source: Path, shapes: Shapes, config: Mapping[str, Any]) -> AudioProjectionSizes:
    """Sizes of V-Express's audio projection.

    Args:
        source: named in errors.
        shapes: of its tensors.
        config: `audio_head_dim`, the channels of a head, if they are others than in the published file.

    Raises:
        InputError: if no tensor tells a size, or heads of these channels do not fit.
    """
    layers = range(count(shapes, r"layers\.(\d+)\.0\."))
    head_dim = config.get("audio_head_dim") or BASE.audio_projection.head_dim
    try:
        dim = told(shapes, ("proj_in.bias", 0), ("latents", 2), ("norm_out.bias", 0), ("proj_in.weight", 0))
        inner = told(shapes, *((f"layers.{n}.0.to_q.weight", 0) for n in layers), ("layers.0.0.to_out.weight", 1))
        if inner % head_dim:
            raise KeyError(f"{inner} rows of to_q are no heads of {head_dim}; --config can say audio_head_dim")
        return AudioProjectionSizes(
            alpha_dim=told(shapes, ("proj_in.weight", 1), ("pos_emb.weight", 1)),
            window=told(shapes, ("pos_emb.weight", 0)),
            dim=dim,
            depth=len(layers),
            heads=inner // head_dim,
            head_dim=head_dim,
            tokens=told(shapes, ("latents", 1)),
            ff_mult=told(shapes, *((f"layers.{n}.1.1.weight", 0) for n in layers)) // dim,
            standardize=False,
        )
    except KeyError as error:
        raise InputError(f"{source}: not V-Express's audio projection ({error.args[0]}); give its own file") from error


def guider_sizes(source: Path, shapes: Shapes) -> GuiderSizes:
    """Sizes of V-Express's guider.

    Raises:
        InputError: if no tensor tells a size.
    """
    halving = range(1, count(shapes, r"blocks\.(\d+)\."), 2)
    try:
        width = told(shapes, ("conv_in.bias", 0), ("conv_in.weight", 0), ("blocks.0.bias", 0))
        widths = tuple(
            told(shapes, (f"blocks.{n}.bias", 0), (f"blocks.{n}.weight", 0), (f"blocks.{n + 1}.bias", 0))
            for n in halving
        )
        channels = told(shapes, ("conv_in.weight", 1))
    except KeyError as error:
        raise InputError(f"{source}: not V-Express's guider ({error.args[0]}); give its own file") from error
    return GuiderSizes(image_channels=channels, block_out_channels=(width, *widths))


def vae_config(source: Path, shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of diffusers' `AutoencoderKL` for the VAE of Stable Diffusion.

    Raises:
        InputError: if no tensor tells a size.
    """
    levels = count(shapes, r"encoder\.down_blocks\.(\d+)\.resnets\.0\.")
    try:
        return {
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "block_out_channels": tuple(
                _resnet_width(shapes, f"encoder.down_blocks.{n}.resnets.0") for n in range(levels)
            ),
            "layers_per_block": count(shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
            "latent_channels": told(
                shapes, ("post_quant_conv.bias", 0), ("post_quant_conv.weight", 0), ("decoder.conv_in.weight", 1)
            ),
            "norm_num_groups": config.get("norm_num_groups") or 32,
            "sample_size": config.get("sample_size") or BASE.image_size,
            "scaling_factor": config.get("scaling_factor") or 0.18215,
        }
    except KeyError as error:
        raise InputError(f"{source}: not Stable Diffusion's VAE ({error.args[0]}); give its own file") from error


def count(names: Mapping[str, Any], pattern: str) -> int:
    """How many numbers a pattern with one group finds at the start of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def told(shapes: Shapes, *places: tuple[str, int]) -> int:
    """What most of these tensors tell, each along one of its axes; of two opinions the first.

    Raises:
        KeyError: none of them is there with that axis; it says the first one's name and shape.
    """
    found = [shapes[name][axis] for name, axis in places if len(shapes.get(name, ())) > axis]
    if not found:
        name = places[0][0] if places else "a block"
        raise KeyError(f"{name} is {size(shapes[name])}" if name in shapes else f"no {name}")
    return Counter(found).most_common(1)[0][0]


def _resnet_width(shapes: Shapes, resnet: str) -> int:
    return told(shapes, *((f"{resnet}.{name}", 0) for name in ("conv1.weight", "conv1.bias", "norm2.bias")))


def _table_length(motion: Shapes) -> int | None:
    tables = [(name, 1) for name in motion if name.endswith("pos_encoder.pe")]
    return told(motion, *tables) if tables else None


def _check_channels(source: Path, spatial: Shapes) -> None:
    """Relatives of Stable Diffusion take more than latents: nine channels for inpainting, eight for editing."""
    for name, axis in (("conv_in.weight", 1), ("conv_out.weight", 0)):
        shape = spatial.get(name, ())
        if len(shape) == 4 and shape[axis] != BASE.latent_channels:
            raise InputError(
                f"{source}: {name} has {shape[axis]} channels, as networks for inpainting or editing have; "
                f"give SD1.5's own, which has {BASE.latent_channels}"
            )


def _check_config(source: Path, config: Mapping[str, Any]) -> None:
    """What SD1.5's UNet cannot be told from by shapes."""
    for name, wanted in (("act_fn", "silu"), ("flip_sin_to_cos", True), ("freq_shift", 0)):
        if config.get(name, wanted) != wanted:
            raise InputError(f"{source}: configured with {name} {config[name]}; give SD1.5's, which has {wanted}")
