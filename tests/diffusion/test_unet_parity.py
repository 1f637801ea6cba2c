"""Parity in float64 with the installed diffusers under the same random weights, loaded by name."""

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from tiny_denoiser import adapter_to_svp, audio_conditions, sd_layout_unet
from torch import nn

WIDTHS = (16, 32, 32, 48)
TEXT_DIM = 24
TOLERANCE = 1e-9


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random_weights(module: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5 if parameter.dim() == 1 else parameter[0].numel() ** -0.5)
    return module.double().eval()


def diffusers_unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        block_out_channels=WIDTHS, cross_attention_dim=TEXT_DIM, attention_head_dim=8, norm_num_groups=8
    )
    return random_weights(unet, seed=3)


def our_unet(norm_across_frames: bool = True):
    unet = sd_layout_unet(
        WIDTHS, audio_token_dim=TEXT_DIM, motion_norm_across_frames=norm_across_frames, norm_num_groups=8
    )
    return random_weights(unet, seed=4)  # also the layers SD1.5 lacks: they must not act


@pytest.mark.parametrize("grid", [(16, 16), (12, 20), (9, 13)])
def test_spatial_layers_equal_sd15(grid):
    theirs, ours = diffusers_unet(), our_unet()
    result = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not result.unexpected_keys
    new = ("norm1_5", "attn1_5", "norm_style", "attn_style", "motion_modules")
    assert result.missing_keys and all(any(name in key for name in new) for key in result.missing_keys)

    latents_BCFhw = torch.randn(2, 4, 3, *grid)
    states_BFSC = torch.randn(2, 3, 7, TEXT_DIM)
    timesteps_B = torch.tensor([17, 801])
    with torch.no_grad():
        got = ours(latents_BCFhw, timesteps_B, audio_conditions(ours, states_BFSC), motion=False)
        wanted = theirs(
            latents_BCFhw.transpose(1, 2).flatten(0, 1), timesteps_B.repeat_interleave(3), states_BFSC.flatten(0, 1)
        ).sample
    wanted = wanted.unflatten(0, (2, 3)).transpose(1, 2)
    assert (got - wanted).abs().max() <= TOLERANCE
    assert wanted.std() > 0.1


@pytest.mark.parametrize("frames", [1, 5])
def test_motion_modules_equal_animatediff(frames):
    spatial = diffusers_unet()
    adapter = random_weights(
        MotionAdapter(block_out_channels=WIDTHS, motion_num_attention_heads=8, motion_norm_num_groups=8), seed=5
    )
    ours = our_unet()
    # diffusers stores its sinusoid tables, rounded to float32; give it ours, so that the networks are compared
    tables = {name: buffer for name, buffer in ours.named_buffers() if name.endswith("pos_encoder.pe")}
    theirs = UNetMotionModel.from_unet2d(spatial, adapter).double().eval()
    for path, module in theirs.named_modules():
        if path.endswith("pos_embed"):
            ours_path = next(iter(adapter_to_svp({f"{path}.pe": module.pe})))
            torch.testing.assert_close(module.pe, tables[ours_path], atol=2e-6, rtol=0)
            module.pe.copy_(tables[ours_path])

    result = ours.load_state_dict(adapter_to_svp(theirs.state_dict()), strict=False)
    assert not result.unexpected_keys
    assert all("1_5" in key or "_style" in key for key in result.missing_keys)

    latents = torch.randn(2, 4, frames, 16, 16)
    states_BFSC = torch.randn(2, frames, 7, TEXT_DIM)
    conditions = audio_conditions(ours, states_BFSC)
    with torch.no_grad():
        got = ours(latents, 481, conditions)
        wanted = theirs(latents, 481, states_BFSC.flatten(0, 1)).sample
        still = ours(latents, 481, conditions, motion=False)
    assert (got - wanted).abs().max() <= TOLERANCE
    assert (got - still).abs().max() > 1e-3


def test_odd_tables_of_a_checkpoint_are_refused():
    ours = our_unet()
    weights = ours.state_dict()
    name = "mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
    assert name not in weights  # computed, not stored
    weights[name] = torch.zeros(1, 24, WIDTHS[-1])
    with pytest.raises(ValueError, match="sinusoid table"):
        ours.load_state_dict(weights)
