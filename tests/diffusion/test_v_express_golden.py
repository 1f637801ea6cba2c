"""V-Express at tiny width: guider, audio tokens, reference tokens and predictions (tests/data/golden/v_express).

The stored predictions were computed by V-Express's own code. Loading is by its published names, so this also proves
that its checkpoints fit by name.
"""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_denoiser import sd_layout_unet

from golden_rule import DATA, digest, read_keys, rule_weights
from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.guidance import guided
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.style_projection import StyleProjection

META = json.loads((DATA / "v_express/meta.json").read_text())
WIDTHS = (32, 64, 64, 64)
PREDICTION_ATOL = {"golden_forward_16": 1e-4, "golden_forward": 2e-3}  # the latter ends in a 1x1 level


def weights_of(network: str, seed: int, gain: float = 1.0) -> dict[str, torch.Tensor]:
    weights = rule_weights(read_keys(f"v_express/{network}.keys.json"), seed, gain)
    assert digest(weights) == META["init"][network]["sha256"]
    return weights


@pytest.fixture(scope="module")
def denoiser():
    unet = sd_layout_unet(WIDTHS, audio_token_dim=32, motion_norm_across_frames=False)
    denoiser = Denoiser(
        unet=unet,
        reference_net=ReferenceNet(
            in_channels=4,
            out_channels=4,
            block_out_channels=WIDTHS,
            attention_levels=(True, True, True, False),
            layers_per_block=2,
            attention_heads=(8, 8, 8, 8),
            norm_num_groups=32,
            cross_attention_dim=32,
        ),
        guider=HeadKpsGuider(image_channels=3, block_out_channels=(16, 32, 96, 256), out_channels=32),
        audio_projection=AudioProjection(
            alpha_dim=48,
            window=10,
            dim=32,
            depth=4,
            heads=12,
            head_dim=64,
            tokens=5,
            token_dim=32,
            ff_mult=4,
            standardize=False,
        ),
        style_projection=StyleProjection(style_dim=16, tokens=4, token_dim=12),
    ).eval()
    result = unet.load_state_dict(weights_of("denoising_unet", 10), strict=False)
    assert not result.unexpected_keys
    assert all("_style" in key for key in result.missing_keys)
    denoiser.reference_net.load_state_dict(weights_of("reference_net", 11))
    denoiser.guider.load_state_dict(weights_of("v_kps_guider", 12, gain=2.0**0.5))
    denoiser.audio_projection.load_state_dict(weights_of("audio_projection", 13))
    return denoiser


@pytest.fixture(scope="module", params=["golden_forward_16", "golden_forward"])
def golden(request):
    return load_file(DATA / f"v_express/{request.param}.safetensors") | {
        "prediction_atol": PREDICTION_ATOL[request.param]
    }


def encode(denoiser, golden, **scales):
    return denoiser.encode(golden["reference_latents"], golden["audio_windows"][None], golden["kps_images"], **scales)


@torch.no_grad()
def test_guider_and_audio_tokens(denoiser, golden):
    features = denoiser.guider(golden["kps_images"])
    torch.testing.assert_close(features, golden["kps_features"], atol=1e-5, rtol=0)
    tokens = denoiser.audio_projection(golden["audio_windows"][None])
    torch.testing.assert_close(tokens[0], golden["audio_tokens"], atol=5e-5, rtol=0)


@torch.no_grad()
def test_reference_tokens(denoiser, golden):
    tokens = denoiser.reference_net(golden["reference_latents"])
    assert list(tokens) == list(denoiser.unet.blocks) and len(tokens) == 16
    stored = [name for name in golden if name.startswith("banks.")]
    assert len(stored) in (4, 16)
    for name in stored:
        torch.testing.assert_close(tokens[name.removeprefix("banks.")].flatten(1, 2), golden[name], atol=1e-4, rtol=0)


@torch.no_grad()
def test_prediction(denoiser, golden):
    got = denoiser(golden["latents"], golden["timestep"], encode(denoiser, golden))
    torch.testing.assert_close(got, golden["pred_cond_w1_w1"], atol=golden["prediction_atol"], rtol=0)


@torch.no_grad()
def test_scales_and_zero_conditions(denoiser, golden):
    conditions = encode(denoiser, golden, reference_scale=0.95, audio_scale=3.0)
    conditional = denoiser(golden["latents"], golden["timestep"], conditions)
    unconditional = denoiser(golden["latents"], golden["timestep"], conditions.unconditional())
    got = torch.cat([unconditional, conditional])
    torch.testing.assert_close(got, golden["pred_uncond_cond_w0.95_w3"], atol=golden["prediction_atol"], rtol=0)
    if "pred_guided_3.5" in golden:
        got = guided(lambda given: denoiser(golden["latents"], golden["timestep"], given), conditions, 3.5, 3.5)
        torch.testing.assert_close(got, golden["pred_guided_3.5"], atol=golden["prediction_atol"], rtol=0)


def test_pickled_guider_loads_without_running_code(denoiser, shared):
    stored = torch.load(shared / "golden/v_express/v_kps_guider.bin", weights_only=True)
    expected = denoiser.guider.state_dict()
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], expected[name]) for name in stored)


def test_stored_audio_projection_is_the_rule(denoiser, shared):
    stored = load_file(shared / "golden/v_express/audio_projection.safetensors")
    expected = denoiser.audio_projection.state_dict()
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], expected[name]) for name in stored)
