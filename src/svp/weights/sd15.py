"""Stable Diffusion 1.5 in its two layouts: a folder of diffusers, one file as it was first published."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from svp.errors import InputError
from svp.weights.checkpoint import find_checkpoint, read_checkpoint, refuse_unexpected, shapes
from svp.weights.config import read_config
from svp.weights.sizes import count

UNET, VAE = "model.diffusion_model.", "first_stage_model."
LEFT_OUT = ("cond_stage_model.", "model_ema.")  # the text encoder, which is not used; the weights' running mean
SCHEDULE = {  # of noise, computed anew
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}
STEMS = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16")
OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


@dataclass
class StableDiffusion:
    """What was found; empty if the source has no such part.

    Attributes:
        unet, vae: tensors under diffusers' names.
        unet_config, vae_config: diffusers' configurations; empty where the layout has none.
        files: what was read, by name relative to the source, with the parts in it (`unet`, `vae`).
    """

    unet: dict[str, Tensor] = field(default_factory=dict)
    vae: dict[str, Tensor] = field(default_factory=dict)
    unet_config: dict[str, Any] = field(default_factory=dict)
    vae_config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[Path, tuple[str, ...]]] = field(default_factory=dict)


def read_sd15(source: Path) -> StableDiffusion:
    """Its UNet and VAE; of a folder one of them is enough.

    Raises:
        InputError: if it is neither layout, or holds tensors that belong to neither network.
    """
    return _read_folder(source) if source.is_dir() else _read_file(source)


def read_vae(folder: Path) -> StableDiffusion:
    """A VAE alone, from a folder with its configuration and weights.

    Raises:
        InputError: if they are not there, or cannot be read.
    """
    found = StableDiffusion()
    if not _read_part(found, "vae", folder, prefix=f"{folder.resolve().name}/"):
        raise InputError(f"{folder}: no folder with {STEMS[0]}.safetensors or .bin; give the published folder")
    return found


def _read_folder(folder: Path) -> StableDiffusion:
    found = StableDiffusion()
    if not any([_read_part(found, part, folder / part, prefix=f"{part}/") for part in ("unet", "vae")]):
        raise InputError(
            f"{folder}: has neither unet/ nor vae/ with weights; give the folder that holds both "
            "(sd-vae-ft-mse alone: `svp import sd-vae-ft-mse`)"
        )
    return found


def _read_part(found: StableDiffusion, part: str, folder: Path, prefix: str) -> bool:
    """Add a network of diffusers; whether there is one."""
    weights = find_checkpoint(folder, STEMS)
    if weights is None:
        return False
    config = folder / "config.json"
    tensors = read_checkpoint(weights)
    if part == "vae":
        tensors = {_new_name(name): _linear(name, tensor) for name, tensor in tensors.items()}
    setattr(found, f"{part}_config", read_config(config))
    setattr(found, part, tensors)
    found.files |= {f"{prefix}{file.name}": (file, (part,)) for file in (weights, config)}
    return True


def _read_file(path: Path) -> StableDiffusion:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    tensors = read_checkpoint(path)
    unet, vae = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in (UNET, VAE)
    )
    if not unet or not vae:
        raise InputError(f"{path}: not Stable Diffusion in its first layout; give v1-5-pruned-emaonly.safetensors")
    levels = 1 + count(unet, r"input_blocks\.(\d+)\.0\.op\.")  # each but the last ends with a downsampler
    layers = count(unet, r"input_blocks\.(\d+)\.") // levels - 1
    vae_levels = count(vae, r"encoder\.down\.(\d+)\.")
    try:
        unet_new = convert_ldm_unet_checkpoint(tensors, {"layers_per_block": layers})
        vae_new = convert_ldm_vae_checkpoint(
            {VAE + name: tensor for name, tensor in vae.items()},
            {"down_block_types": (None,) * vae_levels, "up_block_types": (None,) * vae_levels},
        )
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"{path}: not Stable Diffusion 1.5 ({error}); give v1-5-pruned-emaonly.safetensors") from error
    unet_new, vae_new = (
        {name: tensor for name, tensor in new.items() if tensor is not None} for new in (unet_new, vae_new)
    )
    taken = {tensor.data_ptr() for tensor in (*unet_new.values(), *vae_new.values())}
    strange = {
        name: tensor
        for name, tensor in tensors.items()
        if tensor.data_ptr() not in taken and not name.startswith(LEFT_OUT) and name not in SCHEDULE
    }
    refuse_unexpected(path, shapes(strange))
    return StableDiffusion(unet=unet_new, vae=vae_new, files={path.name: (path, ("unet", "vae"))})


def _new_name(name: str) -> str:
    """diffusers renamed the layers of the VAE's attention after these weights were published."""
    for old, new in OLD_NAMES.items():
        name = name.replace(old, new)
    return name


def _linear(name: str, tensor: Tensor) -> Tensor:
    """Attention weights that were stored as 1 x 1 convolutions."""
    return tensor[:, :, 0, 0] if ".attentions." in name and tensor.dim() == 4 else tensor
