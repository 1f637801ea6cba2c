"""What the network sees of frames that a chunk continues from is what training shows: clean latents, noised to t."""

import pytest
import torch

from svp.diffusion.build import build_scheduler
from svp.diffusion.sampling import sample_chunk
from svp.presets import MINI
from svp.training.objectives import DiffusionObjective
from svp.training.options import RECIPES

KNOWN, FRAMES = 2, 8


class Records(torch.nn.Module):
    """A denoiser that keeps its noisy latents."""

    def encode(self, *_, **__):
        return None

    def forward(self, latents, timestep, conditions, motion):
        self.latents = latents
        return latents


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_finished_frames_enter_a_chunk_as_training_shows_them(prediction_type):
    scheduler = build_scheduler(prediction_type, False)
    generator = torch.Generator().manual_seed(0)
    noise, clean = (torch.randn(1, 4, FRAMES, 3, 3, generator=generator) for _ in range(2))
    seen: list[tuple[int, torch.Tensor]] = []

    def predict(latents, timestep, window):
        seen.append((int(timestep), latents[:, :, :KNOWN]))
        return torch.zeros_like(latents)

    sample_chunk(predict, scheduler, noise, clean[:, :, :KNOWN], num_inference_steps=25, window=FRAMES, overlap=KNOWN)
    denoiser = Records()
    objective = DiffusionObjective(denoiser, build_scheduler(prediction_type, False), audio=True)
    assert len(seen) == 25
    for timestep, latents in seen:
        batch = {
            "latents": clean, "noise": noise, "timestep": torch.tensor([timestep]), "reference": None, "audio": None,
            "head_kps": None, "weight": torch.ones(1, FRAMES, 3, 3), "keep": torch.ones(1, 4, dtype=torch.bool),
        }  # fmt: skip
        objective(batch)
        torch.testing.assert_close(latents, denoiser.latents[:, :, :KNOWN], atol=2e-5, rtol=2e-5)


def test_mini_trains_on_windows_of_the_length_it_is_used_with():
    for stage in ("motion", "style"):
        assert RECIPES["mini", stage]["frames"] == MINI.window
