"""The states in which sampling in few steps calls the network, by the network itself.

Training on noised truth never shows the network its own mistakes: at a later step it takes what it sees for true, and
keeps a misplaced face. Here a sample of a later step starts from noise and goes through the steps before, as sampling
does, so that the step learns to mend them.

Shapes: B samples, C latent channels, F frames, h x w latent grid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from svp.diffusion.conditions import Conditions

Predict = Callable[[Tensor, Tensor, Conditions], Tensor]


def clean_latents(noisy: Tensor, prediction: Tensor, alpha: Tensor, prediction_type: str) -> Tensor:
    """z_0 that a prediction for z_t means; alpha, the cumulated product, is broadcast to them."""
    if prediction_type == "epsilon":
        return (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt()
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * prediction


def prediction_to(noisy: Tensor, latents: Tensor, alpha: Tensor, prediction_type: str) -> Tensor:
    """The prediction for z_t that means these z_0; alpha < 1."""
    if prediction_type == "epsilon":
        return (noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt()
    return (alpha.sqrt() * noisy - latents) / (1 - alpha).sqrt()


class Unrolled:
    """What sampling reaches by its own steps (DDIM, Song et al. 2021, without noise of its own).

    Args:
        visited: the timesteps of the few steps, the first one first.
        alphas_cumprod: of the scheduler, one per timestep.
        prediction_type: "epsilon" or "v_prediction".
    """

    def __init__(self, visited: tuple[int, ...], alphas_cumprod: Tensor, prediction_type: str) -> None:
        self.visited, self.prediction_type = visited, prediction_type
        self.alphas = [float(alphas_cumprod[timestep]) for timestep in visited]

    def later(self, timestep: Tensor) -> Tensor:
        """Which samples (B,) stand at a later one of the few steps."""
        steps = torch.tensor(self.visited[1:], device=timestep.device, dtype=timestep.dtype)
        return torch.isin(timestep, steps)

    @torch.no_grad()
    def states(self, predict: Predict, noise: Tensor, timestep: Tensor, conditions: Conditions) -> Tensor:
        """z_t (B, C, F, h, w) as sampling reaches it from `noise` at each sample's timestep (B,).

        A sample whose timestep is not a later one of the few steps keeps its noise. The network is called as often
        whatever the samples are, as sharded networks need it to be.
        """
        later = self.later(timestep)
        rows = later.nonzero().squeeze(1) if later.any() else torch.zeros(1, dtype=torch.long, device=noise.device)
        given, wanted = conditions.samples(rows), timestep[rows]
        state, reached = (1 - self.alphas[0]) ** 0.5 * noise[rows], noise.clone()
        kind = noise.device.type
        # weights cast to bfloat16 here would be kept for the step that trains, which then had no gradients
        uncached = torch.autocast(
            kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind), cache_enabled=False
        )
        for number, alpha in enumerate(self.alphas[:-1]):
            level = torch.full_like(wanted, self.visited[number])
            now, following = state.new_tensor(alpha), self.alphas[number + 1]
            with uncached:
                prediction = predict(state, level, given)
            clean = clean_latents(state, prediction, now, self.prediction_type)
            eps = prediction_to(state, clean, now, "epsilon")
            state = following**0.5 * clean + (1 - following) ** 0.5 * eps
            arrived = (wanted == self.visited[number + 1]) & later[rows]
            reached[rows[arrived]] = state[arrived]
        return reached
