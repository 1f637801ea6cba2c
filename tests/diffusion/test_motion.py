"""Motion modules: fresh ones change nothing, frames see each other, windows have a longest length."""

import pytest
import torch
from tiny_denoiser import tiny_denoiser, tiny_inputs

from svp.diffusion.motion_module import MotionModule


def module(**options) -> MotionModule:
    sizes = {"channels": 8, "heads": 2, "max_frames": 8, "norm_groups": 4, "norm_across_frames": False}
    return MotionModule(**sizes | options)


@torch.no_grad()
def test_fresh_motion_modules_change_nothing():
    hidden = torch.randn(6, 8, 4, 4)
    torch.testing.assert_close(module()(hidden, 3), hidden, atol=0, rtol=0)


@torch.no_grad()
def test_frames_see_each_other_only_with_motion():
    denoiser = tiny_denoiser()
    inputs = tiny_inputs(batch=1, frames=4)
    latents = torch.randn(1, 4, 4, 8, 8)
    changed = latents.clone()
    changed[:, :, 3] += 1
    conditions = denoiser.encode(**inputs)
    for motion in (True, False):
        first = denoiser(latents, 300, conditions, motion=motion)[:, :, 0]
        again = denoiser(changed, 300, conditions, motion=motion)[:, :, 0]
        assert ((first - again).abs().max() > 1e-4) == motion


@torch.no_grad()
def test_single_frame():
    denoiser = tiny_denoiser()
    inputs = tiny_inputs(batch=2, frames=1)
    latents = torch.randn(2, 4, 1, 8, 8)
    conditions = denoiser.encode(**inputs)
    assert denoiser(latents, 300, conditions).isfinite().all()
    assert denoiser(latents, 300, conditions, motion=False).isfinite().all()


@torch.no_grad()
def test_videos_of_a_batch_do_not_mix():
    moving = module()
    torch.nn.init.normal_(moving.temporal_transformer.proj_out.weight)
    hidden = torch.randn(6, 8, 4, 4)
    together = moving(hidden, 3)
    torch.testing.assert_close(together[3:], moving(hidden[3:], 3), atol=1e-5, rtol=0)


def test_windows_longer_than_the_table_are_refused():
    with pytest.raises(ValueError, match="window of 9 frames is longer than the motion modules' 8 positions"):
        module()(torch.randn(9, 8, 4, 4), 9)


def test_motion_modules_train_on_frozen_levels_in_channels_last():
    """torch's group norm kernel kills the process here unless the layout is changed."""
    denoiser = tiny_denoiser().to(memory_format=torch.channels_last).requires_grad_(False)
    moving = denoiser.unet.down_blocks[0].motion_modules.requires_grad_(True)
    inputs = tiny_inputs(frames=2)
    conditions = denoiser.encode(**inputs)
    denoiser(torch.randn(2, 4, 2, 8, 8), 300, conditions).square().mean().backward()
    assert all(parameter.grad.any() for parameter in moving.parameters())
