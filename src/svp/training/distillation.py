"""Stage `turbo`: the UNet learns to do in a few steps without guidance what it does in many with it.

Progressive distillation (Salimans & Ho 2022) of a guided sampler (Meng et al. 2023), from many steps to few at once:
one Euler step of the student shall end where several guided ones of the teacher end that start from the same state.
The teacher's result alone is the target, not the truth as well: from noise alone the truth is known only on average,
and an average is blurred.

Shapes: B samples, C latent channels, F frames, h x w latent grid.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor

from svp.diffusion.conditions import Conditions
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.guidance import guided
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling import trailing
from svp.training.objectives import DiffusionObjective, Figures
from svp.training.options import TrainOptions


class TurboObjective(DiffusionObjective):
    """|| student's clean latents - those that lead to the teacher's result ||^2.

    States are x = z + sigma * noise, as in `EulerDiscreteScheduler`; a sample's diffusion step chooses one of the
    student's. The first state is noise alone, as in sampling.

    Args:
        denoiser: its UNet is the student; a copy as it is now the teacher.
        scheduler: of the pipeline.
        guidance_audio, guidance_style: scales of the teacher.
        steps: of the student.
        teacher_steps: of the teacher for one of the student's.
        vae: as in `DiffusionObjective`.
    """

    sigmas: Tensor
    timesteps: Tensor

    def __init__(
        self,
        denoiser: Denoiser,
        scheduler: EulerDiscreteScheduler,
        *,
        guidance_audio: float,
        guidance_style: float,
        steps: int,
        teacher_steps: int,
        vae: Any = None,
    ) -> None:
        super().__init__(denoiser, scheduler, audio=True, vae=vae)
        self.teacher = copy.deepcopy(denoiser.unet).requires_grad_(False)
        self.guidance_audio, self.guidance_style = guidance_audio, guidance_style
        self.steps, self.teacher_steps = steps, teacher_steps
        fine = trailing(scheduler)
        fine.set_timesteps(steps * teacher_steps)
        self.register_buffer("sigmas", fine.sigmas.clone().float(), persistent=False)
        self.register_buffer("timesteps", fine.timesteps.clone().float(), persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Figures]:
        latents, reference = self.latents_of(batch)
        step_B = batch["timestep"] * self.steps // len(self.alphas_cumprod)
        index_B = step_B * self.teacher_steps
        state = self.state(latents, batch["noise"], index_B)
        target = self.target(state, index_B, batch, reference)
        clean = self.clean(self.predict, state, index_B, self.encode(batch, reference))
        error = (clean - target).square().mean(dim=1)  # (B,F,h,w)
        loss = (error * batch["weight"]).mean()
        return loss, {"loss": loss.detach(), "mse": error.mean().detach()}

    def state(self, latents: Tensor, noise: Tensor, index_B: Tensor) -> Tensor:
        """Where the sampler stands before fine step `index_B`, (B, C, F, h, w)."""
        first = (index_B == 0).view(-1, 1, 1, 1, 1)
        return torch.where(first, torch.zeros_like(latents), latents) + self._sigma(index_B) * noise

    @torch.no_grad()
    def target(self, state: Tensor, index_B: Tensor, batch: dict[str, Tensor], reference: Tensor) -> Tensor:
        """The clean latents (B, C, F, h, w) from which one step of the student ends at the teacher's result."""
        shared = self.denoiser
        teacher = Denoiser(
            unet=self.teacher,
            reference_net=shared.reference_net,
            guider=shared.guider,
            audio_projection=shared.audio_projection,
            style_projection=shared.style_projection,
        )
        conditions = self.encode(batch, reference, teacher)

        def predict(scaled: Tensor, timestep: Tensor, given: Conditions) -> Tensor:
            return guided(
                lambda part: self.teacher(scaled, timestep, part, motion=scaled.shape[2] > 1),
                given,
                self.guidance_audio,
                self.guidance_style,
            )

        reached = state
        for substep in range(self.teacher_steps):
            now, following = self._sigma(index_B + substep), self._sigma(index_B + substep + 1)
            clean = self.clean(predict, reached, index_B + substep, conditions)
            reached = clean + following / now * (reached - clean)
        ratio = self._sigma(index_B + self.teacher_steps) / self._sigma(index_B)
        return (reached - ratio * state) / (1 - ratio)

    def clean(self, predict: Any, state: Tensor, index_B: Tensor, conditions: Conditions) -> Tensor:
        """Clean latents (B, C, F, h, w) as predicted from a state: predict(scaled state, timestep, conditions)."""
        sigma = self._sigma(index_B)
        prediction = predict(state / (sigma**2 + 1).sqrt(), self.timesteps[index_B], conditions)
        if self.prediction_type == "epsilon":
            return state - sigma * prediction
        return state / (sigma**2 + 1) - sigma / (sigma**2 + 1).sqrt() * prediction

    def _sigma(self, index_B: Tensor) -> Tensor:
        return self.sigmas[index_B].view(-1, 1, 1, 1, 1)


def outgrow_turbo(pipeline: SVPPipeline) -> None:
    """Forget the distilled weights of a model whose own are about to change."""
    pipeline.turbo = None
    pipeline.settings = pipeline.settings.model_copy(update={"turbo_steps": None})


def become_turbo(pipeline: SVPPipeline, options: TrainOptions) -> None:
    """Let the model sample as its student learns to: its steps, trailing, without guidance."""
    pipeline.scheduler = trailing(pipeline.scheduler)
    steps = options.turbo_steps
    pipeline.settings = pipeline.settings.model_copy(
        update={"num_inference_steps": steps, "turbo_steps": steps, "guidance_audio": 1.0, "guidance_style": 1.0}
    )
