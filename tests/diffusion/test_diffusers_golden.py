"""The UNet and its motion modules against stored outputs of diffusers 0.42.1 (tests/data/golden/diffusers)."""

import json

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from tiny_denoiser import adapter_to_svp, audio_conditions, sd_layout_unet

from golden_rule import DATA, digest, read_keys, rule_weights
from svp.diffusion.build import build_scheduler
from svp.diffusion.place import as_on_card
from svp.diffusion.sampling import sample_chunk

META = json.loads((DATA / "diffusers/meta.json").read_text())
SAMPLE_ATOL = 5e-4  # the deepest level is 1x1, where group norm of two numbers amplifies rounding
MODULE_ATOL = 1e-4


@pytest.fixture(scope="module")
def golden():
    return load_file(DATA / "diffusers/golden.safetensors")


@pytest.fixture(scope="module")
def unet():
    spatial = rule_weights(read_keys("diffusers/unet_keys.json"), seed=6)
    temporal = rule_weights(read_keys("diffusers/motion_adapter_keys.json"), seed=7)
    assert digest(spatial) == META["init"]["unet"]["sha256"]
    assert digest(temporal) == META["init"]["motion_adapter"]["sha256"]
    unet = sd_layout_unet((32, 64, 64, 64), audio_token_dim=32, motion_norm_across_frames=True)
    result = unet.load_state_dict(spatial | adapter_to_svp(temporal), strict=False)
    assert not result.unexpected_keys
    assert all(any(new in key for new in ("1_5", "_style")) for key in result.missing_keys)
    return unet.eval()


def run(unet, latents, timestep, states_BFSC, motion, modules):
    """The prediction and the outputs of the named submodules."""
    seen = {}

    def keep(name):
        def hook(_module, _inputs, output):
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [unet.get_submodule(path).register_forward_hook(keep(name)) for name, path in modules.items()]
    with torch.no_grad():
        sample = unet(latents, timestep, audio_conditions(unet, states_BFSC), motion=motion)
    for handle in handles:
        handle.remove()
    return sample, seen


def test_the_noise_schedule_is_the_stored_one(golden):
    """torch's square root is a processor's own: the last bit of a root of 0.005 is 4e-9 of its square."""
    alphas = build_scheduler("v_prediction", zero_terminal_snr=True).alphas_cumprod
    torch.testing.assert_close(alphas[:-1], golden["ddim.alphas_cumprod"][:-1], atol=1e-9, rtol=1e-6)
    assert golden["ddim.alphas_cumprod"][-1] == 0 and alphas[-1] == 2**-24


def test_ddim_as_v_express_samples_takes_the_stored_steps(golden):
    scheduler = DDIMScheduler(**META["scheduler_config"], clip_sample=False)
    scheduler.set_timesteps(25)
    assert torch.equal(scheduler.timesteps, golden["ddim.timesteps"])
    assert torch.equal(scheduler.timesteps, trailing_timesteps())
    latents = golden["latents"][0].transpose(0, 1)
    for k, timestep in enumerate(scheduler.timesteps[:3]):
        latents = scheduler.step(torch.sin(3 * latents + k), timestep, latents).prev_sample
        torch.testing.assert_close(latents, golden["ddim.trace3"][k], atol=1e-5, rtol=0)


def trailing_timesteps():
    """Of our scheduler of V-Express's kind."""
    scheduler = build_scheduler("v_prediction", zero_terminal_snr=True)
    scheduler.set_timesteps(25)
    return scheduler.timesteps.long()


@pytest.mark.parametrize("alphas", ["own", "stored"])
def test_the_sampler_takes_the_stored_steps_of_eulers_method(golden, alphas):
    """Zero terminal SNR, trailing spacing and v-prediction, as V-Express samples, by our scheduler of that kind.

    With its own alphas the smallest sigmas may be 2e-7 off on another processor: as much is the last bit of an alpha.
    """
    scheduler = build_scheduler("v_prediction", zero_terminal_snr=True)
    if alphas == "stored":
        scheduler.alphas_cumprod = golden["ddim.alphas_cumprod"].clone()
        scheduler.alphas_cumprod[-1] = 2**-24  # where Euler's method needs a number above zero
    inputs = []

    def predict(scaled, timestep, part):
        inputs.append(scaled)
        return torch.sin(3 * scaled + len(inputs) - 1)

    noise = golden["latents"]
    sample_chunk(predict, scheduler, noise, noise[:, :, :0], num_inference_steps=25, window=4, overlap=1)
    torch.testing.assert_close(scheduler.timesteps, golden["euler.timesteps"], atol=0, rtol=1e-6)
    atol = 0 if alphas == "stored" else 2e-7
    torch.testing.assert_close(scheduler.sigmas, golden["euler.sigmas"], atol=atol, rtol=1e-6)
    assert float(scheduler.init_noise_sigma) == pytest.approx(float(golden["euler.init_noise_sigma"]), rel=1e-6)
    for k, stored_FCHW in enumerate(golden["euler.trace3"], start=1):
        latents = inputs[k] * (scheduler.sigmas[k] ** 2 + 1).sqrt()
        torch.testing.assert_close(latents[0].transpose(0, 1), stored_FCHW, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("onednn", [True, False])
def test_2d_unet(unet, golden, onednn):
    """The output and what comes before the middle as everything runs, oneDNN's sums and small grids as one product; the
    middle and what follows it with the sums of torch's plain convolutions only.

    Group norm of two numbers amplifies the rounding of the convolutions before it: what is stored is 4.3e-4 off from
    float64 in the middle, diffusers with oneDNN's sums 8e-4 (as ours, and 2.4e-4 after it), both with plain ones 3e-5.
    """
    modules = {
        "conv_in": "conv_in",
        "time_embedding": "time_embedding",
        "down0": "down_blocks.0",
        "mid": "mid_block",
        "up0": "up_blocks.0",
    }
    frames_FCF = golden["latents"][0].transpose(0, 1)[:, :, None]  # four pictures: B = 4, F = 1
    states = golden["encoder_hidden_states_2d"][:, None]
    amplified = {"mid", "up0"}
    with torch.backends.mkldnn.flags(enabled=onednn, allow_tf32=None), as_on_card(not onednn):
        sample, seen = run(unet, frames_FCF, golden["timestep"], states, False, modules)
    torch.testing.assert_close(sample[:, :, 0], golden["unet2d_sample"], atol=SAMPLE_ATOL, rtol=0)
    for name in modules.keys() - (amplified if onednn else set()):
        torch.testing.assert_close(seen[name], golden[f"unet2d.{name}"], atol=MODULE_ATOL, rtol=0)


def test_motion_model(unet, golden):
    modules = {"down0.motion0": "down_blocks.0.motion_modules.0", "mid": "mid_block"}
    states = golden["encoder_hidden_states_motion"][:, None].expand(1, 4, -1, -1)
    sample, seen = run(unet, golden["latents"], golden["timestep"], states, True, modules)
    torch.testing.assert_close(sample, golden["motion_sample"], atol=SAMPLE_ATOL, rtol=0)
    for name, value in seen.items():
        torch.testing.assert_close(value, golden[f"motion.{name}"], atol=MODULE_ATOL, rtol=0)


def test_motion_model_with_states_per_frame(unet, golden):
    states = golden["encoder_hidden_states_2d"][None]
    sample, _ = run(unet, golden["latents"], golden["timestep"], states, True, {})
    torch.testing.assert_close(sample, golden["motion_sample_per_frame_states"], atol=SAMPLE_ATOL, rtol=0)
