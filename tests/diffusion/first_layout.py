"""Stable Diffusion under the names of its first publication, from diffusers' names."""

from collections.abc import Mapping

from torch import Tensor

LAYERS = 2  # resnets of a level, as published
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def first_names(unet: Mapping[str, Tensor], vae: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """UNet and VAE as one file held them; attention of the VAE is 1 x 1 convolutions."""
    tensors = {f"model.diffusion_model.{ldm_unet_name(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        convolution = ".attentions." in name and tensor.dim() == 2
        tensors[f"first_stage_model.{ldm_vae_name(name)}"] = tensor[:, :, None, None] if convolution else tensor
    return tensors


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


def renamed(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name
