"""Tiny random checkpoints in every layout in which Stable Diffusion, AnimateDiff and V-Express are published."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from first_layout import LAYERS, first_names, renamed
from safetensors.torch import load_file, save_file
from torch import Tensor

from golden_rule import read_keys, rule_weights
from tiny_wav2vec2 import tiny_wav2vec2

WIDTHS, GROUPS, HEADS, TEXT_DIM = (8, 16, 16), 4, 2, 12
RULES = {  # network: seed and gain of the golden numbers
    "denoising_unet": (10, 1.0),
    "reference_net": (11, 1.0),
    "v_kps_guider": (12, 2.0**0.5),
    "audio_projection": (13, 1.0),
}
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def random_weights(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The network with random values that half precision holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = (torch.randn(parameter.shape, generator=generator) * 0.1).half().float()
    return network.eval()


def tiny_unet(
    seed: int = 1, widths: tuple[int, ...] = WIDTHS, groups: int = GROUPS, heads: int = HEADS
) -> UNet2DConditionModel:
    """Stable Diffusion's UNet of three levels."""
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2,
        layers_per_block=LAYERS,
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=heads,
        norm_num_groups=groups,
    )
    return random_weights(unet, seed)


def tiny_vae(seed: int = 2, groups: int = GROUPS) -> AutoencoderKL:
    """Stable Diffusion's autoencoder with its stride of 8."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(groups, groups, 2 * groups, 2 * groups),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=groups,
        sample_size=64,
    )
    return random_weights(vae, seed)


def diffusers_folder(folder: Path, *, parts: tuple[str, ...] = ("unet", "vae"), old_names: bool = False) -> Path:
    """As on the model hub; `old_names` is the VAE as it was first uploaded."""
    for name, network in (("unet", tiny_unet()), ("vae", tiny_vae())):
        if name in parts:
            network.save_pretrained(folder / name)
    if old_names:
        path = folder / "vae/diffusion_pytorch_model.safetensors"
        save_file({renamed(name, OLD_ATTENTION): t for name, t in tiny_vae().state_dict().items()}, path)
    return folder


def first_layout(path: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> Path:
    """One file as Stable Diffusion was first published, with a text encoder and a noise schedule that nobody needs."""
    tensors = first_names(unet.state_dict(), vae.state_dict())
    tensors |= {"betas": torch.ones(3), "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.ones(4)}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 7}, path)
    return path


def motion_modules(widths: tuple[int, ...] = WIDTHS, seed: int = 5) -> dict[str, Tensor]:
    """AnimateDiff's tensors for UNets of these widths: two modules per down level, three per up level, one between."""
    from svp.diffusion.motion_module import MotionModule, sinusoid_table

    places = [(f"down_blocks.{n}.motion_modules.{k}", w) for n, w in enumerate(widths) for k in range(2)]
    places += [(f"up_blocks.{n}.motion_modules.{k}", w) for n, w in enumerate(reversed(widths)) for k in range(3)]
    places.append(("mid_block.motion_modules.0", widths[-1]))
    tensors = {}
    for number, (path, width) in enumerate(places):
        module = MotionModule(channels=width, heads=1, max_frames=24, norm_groups=1, norm_across_frames=False)
        random_weights(module, seed + number)
        tensors |= {f"{path}.{name}": tensor for name, tensor in module.state_dict().items()}
        for k in range(2):
            block = f"{path}.temporal_transformer.transformer_blocks.0.attention_blocks.{k}"
            tensors[f"{block}.pos_encoder.pe"] = sinusoid_table(width, 24)
    return tensors


def v_express_weights() -> dict[str, dict[str, Tensor]]:
    """The golden networks by published file name."""
    weights = {
        name: rule_weights(read_keys(f"v_express/{name}.keys.json"), seed, gain) for name, (seed, gain) in RULES.items()
    }
    weights["motion_module"] = {n: t for n, t in weights["denoising_unet"].items() if "motion_modules." in n}
    return weights


def v_express_folder(
    folder: Path, weights: dict[str, dict[str, Tensor]], suffix: str = ".bin", dtype: torch.dtype = torch.float32
) -> Path:
    """The five files as they are published."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in weights.items():
        stored = {key: tensor.to(dtype, copy=True) for key, tensor in tensors.items()}
        if suffix == ".safetensors":
            save_file(stored, folder / f"{name}{suffix}")
        else:
            torch.save(stored, folder / f"{name}{suffix}")
    return folder


def v_express_hub(folder: Path, weights: dict[str, dict[str, Tensor]]) -> Path:
    """The repository of the model hub: the five files at its root, what they need in `model_ckpts`."""
    v_express_folder(folder, weights)
    others = folder / "model_ckpts"
    tiny_vae(seed=9).save_pretrained(others / "sd-vae-ft-mse", safe_serialization=False)
    tiny_wav2vec2(hidden_size=48, layers=1).save_pretrained(others / "wav2vec2-base-960h")
    (others / "stable-diffusion-v1-5/unet").mkdir(parents=True)
    (others / "stable-diffusion-v1-5/unet/config.json").write_text('{"attention_head_dim": 4, "norm_num_groups": 16}')
    (others / "v-express").mkdir()
    return folder


def same_files(model: Path, again: Path) -> None:
    """Check that a model that was opened and saved has the same files as before: tensors, configurations, records.

    diffusers' configurations say with what version and from where they were written, which is left out; the class
    that they name counts.
    """
    names = {path.relative_to(model) for path in model.rglob("*") if path.is_file()}
    assert names == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    for name in sorted(names):
        if name.suffix == ".safetensors":
            before, after = load_file(model / name), load_file(again / name)
            assert before.keys() == after.keys(), name
            assert all(torch.equal(before[key], after[key]) for key in before), name
        else:
            before, after = (_said(json.loads((root / name).read_text())) for root in (model, again))
            assert before == after, name


def _said(config: Any) -> Any:
    return (
        {k: v for k, v in config.items() if k[0] != "_" or k == "_class_name"} if isinstance(config, dict) else config
    )


def record(folder: Path) -> list[dict]:
    return json.loads((folder / "weights.json").read_text())
