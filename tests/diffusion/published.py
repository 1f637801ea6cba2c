"""Tiny random checkpoints in every layout in which Stable Diffusion, AnimateDiff and V-Express are published."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from golden_rule import read_keys, rule_weights
from tiny_wav2vec2 import tiny_wav2vec2

WIDTHS, GROUPS, HEADS, TEXT_DIM, LAYERS = (8, 16, 16), 4, 2, 12, 2
RULES = {  # network: seed and gain of the golden numbers
    "denoising_unet": (10, 1.0),
    "reference_net": (11, 1.0),
    "v_kps_guider": (12, 2.0**0.5),
    "audio_projection": (13, 1.0),
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
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


def renamed(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name


def first_layout(path: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> Path:
    """One file as Stable Diffusion was first published, with a text encoder and a noise schedule that nobody needs."""
    tensors = {f"model.diffusion_model.{ldm_unet_name(name)}": t for name, t in unet.state_dict().items()}
    for name, tensor in vae.state_dict().items():
        convolution = ".attentions." in name and tensor.dim() == 2
        tensors[f"first_stage_model.{ldm_vae_name(name)}"] = tensor[:, :, None, None] if convolution else tensor
    tensors |= {"betas": torch.ones(3), "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.ones(4)}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 7}, path)
    return path


def ldm_unet_name(name: str) -> str:
    """diffusers' name of a tensor of the UNet to the one of its first publication."""
    parts = name.split(".")
    if parts[0] in ("down_blocks", "up_blocks"):
        level, kind, index, rest = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
        if parts[0] == "down_blocks":
            number = 1 + level * (LAYERS + 1) + (LAYERS if kind == "downsamplers" else index)
            block = f"input_blocks.{number}"
        else:
            number = level * (LAYERS + 1) + (LAYERS if kind == "upsamplers" else index)
            block = f"output_blocks.{number}"
        if kind == "resnets":
            return f"{block}.0." + renamed(f".{rest}", RESNET)[1:]
        if kind == "attentions":
            return f"{block}.1.{rest}"
        if kind == "downsamplers":
            return f"{block}.0.op.{parts[-1]}"
        has_attention = level > 0  # the deepest level has none
        return f"{block}.{2 if has_attention else 1}.conv.{parts[-1]}"
    if parts[0] == "mid_block":
        rest = ".".join(parts[3:])
        if parts[1] == "attentions":
            return f"middle_block.1.{rest}"
        return f"middle_block.{2 * int(parts[2])}." + renamed(f".{rest}", RESNET)[1:]
    table = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    return table[".".join(parts[:-1])] + f".{parts[-1]}"


def ldm_vae_name(name: str) -> str:
    """diffusers' name of a tensor of the VAE to the one of its first publication."""
    parts = name.split(".")
    if len(parts) < 4:  # conv_in, conv_out, conv_norm_out, quantisation
        return name.replace("conv_norm_out", "norm_out")
    network, rest = parts[0], ".".join(parts[1:])
    rest = renamed(f".{rest}", {"conv_shortcut": "nin_shortcut"})[1:]
    if rest.startswith("mid_block.resnets."):
        return f"{network}.mid.block_{int(parts[3]) + 1}." + ".".join(rest.split(".")[3:])
    if rest.startswith("mid_block.attentions."):
        return f"{network}.mid.attn_1" + renamed("." + ".".join(parts[4:]), ATTENTION)
    level, number = int(parts[2]), parts[4]
    if network == "decoder":
        level = 3 - level
    kind = {"resnets": "block", "downsamplers": "downsample", "upsamplers": "upsample"}[parts[3]]
    side = "down" if network == "encoder" else "up"
    tail = ".".join(rest.split(".")[4:])
    return f"{network}.{side}.{level}.{kind}." + (f"{number}.{tail}" if kind == "block" else tail)


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


def record(folder: Path) -> list[dict]:
    return json.loads((folder / "weights.json").read_text())
