"""What trembles is held, what moves is not, and chunks join as if there were none."""

import pytest
import torch
from torch import Tensor

from svp.diffusion.stillness import HELD, hold_still

STILLNESS = 0.1


def trembling(size: float, frames: int = 40) -> Tensor:
    return size * torch.randn(1, 4, frames, 8, 8, generator=torch.Generator().manual_seed(0))


def change(latents: Tensor) -> float:
    return float((latents[:, :, 1:] - latents[:, :, :-1]).abs().mean())


def test_noise_is_held_and_what_it_trembles_about_stays() -> None:
    noise = trembling(0.01)
    held = hold_still(noise + 1.0, 0, STILLNESS)
    assert change(held) < 0.5 * change(noise)
    assert float((held - 1.0).abs().max()) <= float(noise.abs().max()) + 1e-6


def test_what_moves_and_what_begins_to_move_are_not_held_back() -> None:
    moving = trembling(1.0)
    torch.testing.assert_close(hold_still(moving, 0, STILLNESS), moving)
    step = torch.zeros(1, 4, 6, 8, 8)
    step[:, :, 3:, :, 5:] = 1.0  # an edge passes over half of the picture
    torch.testing.assert_close(hold_still(step, 0, STILLNESS), step)


def test_a_slow_drift_is_followed() -> None:
    drift = torch.linspace(0, 1, 41)[None, None, :, None, None].expand(1, 4, 41, 8, 8)
    behind = (drift - hold_still(drift, 0, STILLNESS))[0, 0, -1, 0, 0]
    assert 0 < float(behind) < HELD / (1 - HELD) / 40 + 1e-6


def test_frames_that_are_known_stay_and_chunks_join_as_if_there_were_none() -> None:
    latents = trembling(0.05)
    whole = hold_still(latents, 0, STILLNESS)
    first = hold_still(latents[:, :, :20], 0, STILLNESS)
    second = hold_still(torch.cat((first[:, :, -2:], latents[:, :, 20:]), dim=2), 2, STILLNESS)
    torch.testing.assert_close(torch.cat((first, second[:, :, 2:]), dim=2), whole)


@pytest.mark.parametrize("known", [0, 3])
def test_none_is_wanted(known: int) -> None:
    latents = trembling(0.01)
    assert hold_still(latents, known, 0.0) is latents
