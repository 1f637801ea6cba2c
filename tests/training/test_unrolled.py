"""States that the network reaches by itself are those of sampling; what is learned from them; errors of pictures."""

import sys
from pathlib import Path

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from svp.diffusion.conditions import ConditionMask
from svp.diffusion.tiny_decoder import TinyDecoder
from svp.errors import InputError
from svp.training.objectives import DiffusionObjective
from svp.training.options import recipe
from svp.training.picture_error import LUMA, PictureError, picture_loss, ssim
from svp.training.samples import visited_timesteps
from svp.training.unrolled import Unrolled, clean_latents, prediction_to

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from tiny_denoiser import tiny_denoiser

KINDS = ("v_prediction", "epsilon")
SHAPE = (4, 4, 2, 8, 8)


def scheduler(prediction_type: str) -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=prediction_type == "v_prediction",
    )


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def conditions(denoiser: nn.Module, videos: int = SHAPE[0]):
    return denoiser.encode(
        draw(videos, 4, 8, 8, seed=1),
        draw(videos, 2, 5, 20, seed=2),
        draw(videos, 3, 2, 64, 64, seed=3).sigmoid(),
        draw(videos, 16, seed=4),
        keep=ConditionMask(style=torch.arange(videos) != 1),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_later_steps_start_where_sampling_stands(kind):
    own, denoiser = scheduler(kind), tiny_denoiser().eval()
    visited = visited_timesteps(own, 3)
    given, noise = conditions(denoiser), draw(*SHAPE, seed=5)
    unrolled = Unrolled(visited, own.alphas_cumprod, kind)
    timestep = torch.tensor([visited[2], visited[1], visited[0], 3])
    assert unrolled.later(timestep).tolist() == [True, True, False, False]
    states = unrolled.states(denoiser, noise, timestep, given)

    own.set_timesteps(3)
    state, seen = noise * own.init_noise_sigma, []
    with torch.no_grad():
        for step in own.timesteps:
            scaled = own.scale_model_input(state, step)
            seen.append(scaled)
            state = own.step(denoiser(scaled, step, given), step, state).prev_sample
    tolerance = {"atol": 2e-3, "rtol": 2e-3}  # of the last bits of the first sigma, 4096 with zero terminal SNR
    torch.testing.assert_close(states[0], seen[2][0], **tolerance)
    torch.testing.assert_close(states[1], seen[1][1], **tolerance)
    torch.testing.assert_close(states[2:], noise[2:])


def test_no_later_step_leaves_the_noise():
    own, denoiser = scheduler(KINDS[0]), tiny_denoiser().eval()
    visited, noise = visited_timesteps(own, 2), draw(*SHAPE)
    states = Unrolled(visited, own.alphas_cumprod, KINDS[0]).states(
        denoiser, noise, torch.tensor([visited[0]] * 4), conditions(denoiser)
    )
    assert torch.equal(states, noise)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_and_clean_latents_are_inverse(kind):
    noisy, latents, alpha = draw(*SHAPE, seed=1), draw(*SHAPE, seed=2), torch.tensor(0.3)
    prediction = prediction_to(noisy, latents, alpha, kind)
    torch.testing.assert_close(clean_latents(noisy, prediction, alpha, kind), latents)


def objective_and_batch(**changes):
    own, denoiser = scheduler(KINDS[0]), tiny_denoiser()
    visited = visited_timesteps(own, 2)
    batch = {
        "latents": draw(*SHAPE, seed=1),
        "noise": draw(*SHAPE, seed=2),
        "timestep": torch.tensor([*visited, visited[1], 250]),
        "reference": draw(4, 4, 8, 8, seed=3),
        "audio": draw(4, 2, 5, 20, seed=4),
        "head_kps": draw(4, 3, 2, 64, 64, seed=5).sigmoid(),
        "style": draw(4, 16, seed=6),
        "weight": torch.ones(4, 2, 8, 8),
        "keep": torch.ones(4, 4, dtype=torch.bool),
    }
    return DiffusionObjective(denoiser, own, True, **{"visited": visited} | changes), batch


def test_the_network_is_taught_to_mend_its_own_mistakes():
    """A network that always knew the truth would have no error, whatever state it starts from."""
    objective, batch = objective_and_batch()
    asked = []

    class Knowing(nn.Module):
        encode = objective.denoiser.encode

        def forward(self, noisy, timestep, given, motion=True):
            if not torch.is_grad_enabled():
                return torch.ones_like(noisy)  # a mistake of the step before
            asked.append(noisy)
            alpha = objective.alphas_cumprod[timestep].view(-1, 1, 1, 1, 1)
            return prediction_to(noisy, batch["latents"], alpha, KINDS[0])

    objective.denoiser = Knowing()
    _, figures = objective(batch)
    assert figures["mse"] < 1e-9
    alpha = objective.alphas_cumprod[batch["timestep"]].view(-1, 1, 1, 1, 1)
    noised = alpha.sqrt() * batch["latents"] + (1 - alpha).sqrt() * batch["noise"]
    torch.testing.assert_close(asked[0][[0, 3]], noised[[0, 3]])
    assert (asked[0][1:3] - noised[1:3]).abs().mean() > 0.1


def test_gradients_are_those_of_the_last_step_alone_also_in_bfloat16():
    """Weights that autocast made bfloat16 without gradients must not be used again for the step that trains."""

    def trained(**changes) -> set[str]:
        objective, batch = objective_and_batch(**changes)
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = objective(batch)
        loss.backward()
        return {name for name, value in objective.named_parameters() if value.grad is not None and value.grad.any()}

    plain = trained(visited=())
    assert len(plain) > 100
    assert trained() == plain


def test_pictures_count_by_their_weight_and_the_decoder_does_not_train():
    decoder = TinyDecoder(width=8, depth=1, latent_channels=4, patch_size=8, scaling_factor=0.5)
    error = PictureError(decoder, 0.5)
    plain, batch = objective_and_batch()
    weighted, _ = objective_and_batch(pictures=error, picture_weight=3.0)
    with torch.no_grad():
        before, _ = plain(batch)
        after, figures = weighted(batch)
    torch.testing.assert_close(after, before + 3 * figures["picture"])
    assert figures["picture"] > 0.01
    assert not any(parameter.requires_grad for parameter in decoder.parameters())
    assert error(batch["latents"], batch["latents"], batch["weight"]) < 1e-6


def test_what_is_compared_are_decoded_latents_and_their_luma():
    decoder = TinyDecoder(width=8, depth=1, latent_channels=4, patch_size=8, scaling_factor=0.5)
    made, meant, weight = draw(*SHAPE, seed=1), draw(*SHAPE, seed=2), draw(4, 2, 8, 8, seed=3).abs()
    with torch.no_grad():
        found = PictureError(decoder, 0.5)(made, meant, weight)
        pictures, wanted = (decoder.decode(z.transpose(1, 2).flatten(0, 1) / 0.5).sample for z in (made, meant))
    pixels = weight.flatten(0, 1)[:, None].repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(found, picture_loss(pictures, wanted, pixels) + 1 - ssim(pictures, wanted))


def test_ssim_is_torchmetrics_at_every_second_place():
    made, meant = draw(3, 3, 30, 40, seed=1).tanh(), draw(3, 3, 30, 40, seed=2).tanh()
    made = 0.7 * meant + 0.3 * made
    luma = [(pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True) for pictures in (made, meant)]
    _, everywhere = structural_similarity_index_measure(
        *luma, gaussian_kernel=False, kernel_size=7, data_range=2.0, return_full_image=True
    )
    torch.testing.assert_close(ssim(made, meant), everywhere[:, :, 3:-3:2, 3:-3:2].mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [{"unroll": True}, {"few_steps_share": 0.9}])
def test_they_want_few_steps(tmp_path, change):
    with pytest.raises(InputError, match="give --few-steps too"):
        recipe("mini", "style", tmp_path, None, **change)
    assert recipe("mini", "style", tmp_path, None, few_steps=2, **change).few_steps == 2
