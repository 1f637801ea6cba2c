"""Conditions: each acts, each can be absent, cached = uncached, windows = slices, batch = loop."""

import pytest
import torch
from tiny_denoiser import tiny_denoiser, tiny_inputs

from svp.diffusion.attention import ReferenceAttention
from svp.diffusion.conditions import ConditionMask, Conditions
from svp.diffusion.denoiser import Denoiser

INPUT_OF = {
    "reference": "reference_latents",
    "audio": "audio_windows",
    "head_kps": "head_kps_images",
    "style": "style",
}


@pytest.fixture(scope="module")
def denoiser():
    return tiny_denoiser()


@pytest.fixture
def inputs():
    return tiny_inputs()


@pytest.fixture
def latents():
    return torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def close(got, wanted, atol=1e-5):
    torch.testing.assert_close(got, wanted, atol=atol, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("condition", INPUT_OF)
def test_every_condition_acts_and_its_absence_is_the_zero_condition(denoiser, inputs, latents, condition):
    name = INPUT_OF[condition]
    full = denoiser(latents, 500, denoiser.encode(**inputs))
    other = denoiser(latents, 500, denoiser.encode(**inputs | {name: torch.roll(inputs[name], 1, dims=0)}))
    absent = denoiser(latents, 500, denoiser.encode(**inputs | {name: None}))
    assert (full - other).abs().max() > 1e-3
    assert (full - absent).abs().max() > 1e-3

    keep = ConditionMask(**{condition: torch.tensor([False, True])})
    dropped = denoiser(latents, 500, denoiser.encode(**inputs, keep=keep))
    close(dropped[0], absent[0])
    close(dropped[1], full[1])


@torch.no_grad()
def test_dropping_everything_is_unconditional(denoiser, inputs, latents):
    nothing = torch.zeros(2, dtype=torch.bool)
    keep = ConditionMask(reference=nothing, audio=nothing, head_kps=nothing, style=nothing)
    conditions = denoiser.encode(**inputs, reference_scale=0.7, audio_scale=2.0)
    dropped = denoiser.encode(**inputs, keep=keep, reference_scale=0.7, audio_scale=2.0)
    unconditional = denoiser(latents, 500, conditions.unconditional())
    close(denoiser(latents, 500, dropped), unconditional)
    # the output biases of reference and audio attention act, scaled: "absent" is not "layer left out"
    assert (unconditional - denoiser(latents, 500, Conditions(None, None, None, None))).abs().max() > 1e-3


@torch.no_grad()
def test_without_style_is_no_style(denoiser, inputs, latents):
    conditions = denoiser.encode(**inputs)
    without = denoiser(latents, 500, conditions.without_style())
    close(without, denoiser(latents, 500, denoiser.encode(**inputs | {"style": None})), atol=0)
    close(without, denoiser(latents, 500, denoiser.encode(**inputs, style_scale=0.0)), atol=0)


@torch.no_grad()
@pytest.mark.parametrize("position_term", [True, False])
def test_cached_keys_and_values_equal_attention_with_copies(inputs, latents, position_term):
    """Once per portrait and chunk against: keys and values for every frame and block anew, tokens copied per frame."""
    denoiser = tiny_denoiser(reference_position=position_term)
    unet = denoiser.unet
    conditions = denoiser.encode(**inputs)
    cached = [denoiser(latents, step, conditions) for step in (900, 100)]

    grids = denoiser.reference_net(inputs["reference_latents"])
    audio_BFSC = denoiser.audio_projection(inputs["audio_windows"])
    style_BFSC = denoiser.style_projection(inputs["style"])[:, None].expand(-1, 3, -1, -1)
    for step, wanted in zip((900, 100), cached, strict=True):
        frames = []
        for frame in range(3):  # motion off: the frames are independent then
            per_frame = Conditions(
                reference=unet.project_reference({path: grid.clone() for path, grid in grids.items()}),
                audio=unet.project_audio(audio_BFSC[:, frame : frame + 1]),
                style=unet.project_style(style_BFSC[:, frame : frame + 1]),
                head_kps=denoiser.guider(inputs["head_kps_images"][:, :, frame : frame + 1]),
            )
            frames.append(unet(latents[:, :, frame : frame + 1], step, per_frame, motion=False))
        close(torch.cat(frames, dim=2), unet(latents, step, conditions, motion=False))
        close(wanted, denoiser(latents, step, denoiser.encode(**inputs)), atol=0)


@torch.no_grad()
@pytest.mark.parametrize("style_per_frame", [False, True])
def test_windows_of_conditions_are_slices(denoiser, inputs, style_per_frame):
    inputs = tiny_inputs(frames=5)
    if style_per_frame:
        inputs["style"] = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(3))
    window = {name: value[:, 1:4] if name == "audio_windows" else value for name, value in inputs.items()}
    window["head_kps_images"] = inputs["head_kps_images"][:, :, 1:4]
    if style_per_frame:
        window["style"] = inputs["style"][:, 1:4]
    latents = torch.randn(2, 4, 3, 8, 8)
    conditions = denoiser.encode(**inputs)
    assert (conditions.num_frames, conditions.batch_size) == (5, 2)
    close(denoiser(latents, 300, conditions.frames(1, 4)), denoiser(latents, 300, denoiser.encode(**window)))
    with pytest.raises(ValueError, match="4:6 of conditions that have 5"):
        conditions.frames(4, 6)
    with pytest.raises(ValueError, match="latents of 3 frames with conditions of 5 frames"):
        denoiser(latents, 300, conditions)
    with pytest.raises(ValueError, match="latents of 1 videos with conditions of 2 videos"):
        denoiser(latents[:1], 300, conditions.frames(0, 3))


@torch.no_grad()
def test_style_per_frame_repeats_style_per_clip(denoiser, inputs, latents):
    repeated = inputs | {"style": inputs["style"][:, None].expand(-1, 3, -1)}
    close(denoiser(latents, 300, denoiser.encode(**repeated)), denoiser(latents, 300, denoiser.encode(**inputs)))


@torch.no_grad()
def test_batch_equals_loop(denoiser, inputs, latents):
    steps_B = torch.tensor([20, 700])
    together = denoiser(latents, steps_B, denoiser.encode(**inputs))
    for sample in range(2):
        alone = {name: value[sample : sample + 1] for name, value in inputs.items()}
        got = denoiser(latents[sample : sample + 1], steps_B[sample], denoiser.encode(**alone))
        close(got, together[sample : sample + 1])


@torch.no_grad()
def test_scales_multiply_the_attention_output(denoiser, inputs, latents):
    """The output projection is linear, so doubling the scale is doubling its weight and bias."""
    scaled = denoiser(latents, 300, denoiser.encode(**inputs, audio_scale=2.0))
    doubled = tiny_denoiser()
    for block in doubled.unet.blocks.values():
        for parameter in block.attn2.to_out.parameters():
            parameter.mul_(2)
    close(scaled, doubled(latents, 300, doubled.encode(**inputs)))


def test_gradients_reach_what_trains_and_nothing_else(inputs, latents):
    denoiser = tiny_denoiser().requires_grad_(False)
    denoiser.style_projection.requires_grad_(True)
    for block in denoiser.unet.blocks.values():
        block.attn_style.requires_grad_(True)
    conditions = denoiser.encode(**inputs)
    for frozen in (conditions.reference, conditions.audio):
        assert not any(tensor.requires_grad for pair in frozen.values() for tensor in pair)
    denoiser(latents, 300, conditions).square().mean().backward()
    for name, parameter in denoiser.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, name


def test_gradient_checkpointing_changes_nothing(inputs, latents):
    gradients = []
    for checkpointing in (False, True):
        denoiser = tiny_denoiser().train()
        if checkpointing:
            denoiser.unet.enable_gradient_checkpointing()
            denoiser.reference_net.enable_gradient_checkpointing()
        denoiser(latents, 300, denoiser.encode(**inputs)).square().mean().backward()
        gradients.append({name: p.grad for name, p in denoiser.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 300
    for name, gradient in gradients[0].items():
        close(gradients[1][name], gradient, atol=1e-6)


@torch.no_grad()
def test_save_and_load(tmp_path, inputs, latents):
    denoiser = tiny_denoiser()
    wanted = denoiser(latents, 300, denoiser.encode(**inputs))
    denoiser.audio_projection.feature_mean.fill_(0.5)
    loaded = {}
    for name, network in denoiser.named_children():
        network.save_pretrained(tmp_path / name)
        loaded[name] = type(network).from_pretrained(tmp_path / name)
    again = Denoiser(**loaded).eval()
    assert again.audio_projection.feature_mean.eq(0.5).all()
    again.audio_projection.feature_mean.zero_()
    close(again(latents, 300, again.encode(**inputs)), wanted, atol=0)


@torch.no_grad()
def test_alpha_is_standardised(denoiser, inputs):
    projection = tiny_denoiser().audio_projection
    wanted = projection(inputs["audio_windows"])
    projection.feature_mean.fill_(3.0)
    projection.feature_std.fill_(2.0)
    close(projection(inputs["audio_windows"] * 2 + 3), wanted)
    with pytest.raises(ValueError, match="this model takes"):
        projection(inputs["audio_windows"][:, :, :4])


@torch.no_grad()
def test_absent_sound_stays_zeros_when_alpha_is_standardised(inputs):
    projection = tiny_denoiser().audio_projection
    windows = inputs["audio_windows"].clone()
    windows[0, 1] = 0
    silent = projection(windows)[0, 1]  # mean 0, deviation 1: nothing is changed
    projection.feature_mean.fill_(3.0)
    projection.feature_std.fill_(2.0)
    moved = windows * 2 + 3
    moved[0, 1] = 0
    close(projection(moved)[0, 1], silent)
    close(projection(moved), projection(torch.where(moved == 0, 3.0, moved)))


@torch.no_grad()
def test_place_attends_to_itself_from_the_start():
    """With the position term, fresh reference attention looks mostly at the same place; without, everywhere."""
    torch.manual_seed(0)
    own_weight = {}
    for position_term in (True, False):
        attention = ReferenceAttention(channels=64, heads=4, position_term=position_term)
        attention.to_out[0] = torch.nn.Identity()
        keys, _ = attention.project_grid(torch.randn(1, 4, 4, 64))
        one_hot = torch.eye(16).expand(1, 4, 16, 16)  # 16 places, 16 channels per head: the output is the attention
        weights = attention.attend(torch.randn(1, 16, 64), (keys, one_hot), (4, 4)).view(16, 4, 16).mean(dim=1)
        own_weight[position_term] = weights.diagonal().mean()
    assert own_weight[False] < 0.1
    assert own_weight[True] > 3 * own_weight[False]
