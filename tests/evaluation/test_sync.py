"""SyncNet's arithmetic without its network: MFCC, windows, offset and confidence."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from golden_rule import DATA
from svp.errors import InputError
from svp.evaluation.mfcc import mfcc
from svp.evaluation.sync import offset_score, sync_score


class MeanNetwork:
    """Features that are plain means: what arrives at the towers can be read off them."""

    def lip(self, clips: torch.Tensor) -> torch.Tensor:
        assert clips.shape[1:] == (3, 5, 224, 224)
        return clips.mean(dim=(1, 3, 4))  # (B, 5): one number per frame of the window

    def sound(self, coefficients: torch.Tensor) -> torch.Tensor:
        assert coefficients.shape[1:] == (1, 13, 20)
        return coefficients[:, 0, 0].unfold(1, 4, 4).mean(dim=2)  # energy of each of the five frames


def test_mfcc_are_the_stored_ones() -> None:
    golden = load_file(DATA / "syncnet/golden_synthetic.safetensors")
    np.testing.assert_allclose(mfcc(golden["audio_int16_16k"]), golden["mfcc"], atol=1e-8)


@pytest.mark.parametrize(("samples", "windows"), [(1, 1), (400, 1), (401, 2), (16_000, 99)])
def test_mfcc_have_a_window_every_ten_milliseconds(samples: int, windows: int) -> None:
    found = mfcc(np.random.default_rng(0).integers(-900, 900, samples))
    assert found.shape == (windows, 13) and np.isfinite(found).all()
    assert np.isfinite(mfcc(np.zeros(samples))).all()


def test_arithmetic_is_the_stored_one() -> None:
    golden = load_file(DATA / "syncnet/arithmetic.safetensors")
    for name in ("audio_leads_3", "audio_lags_2"):
        of = {key.removeprefix(f"{name}."): value for key, value in golden.items() if key.startswith(name)}
        found = offset_score(torch.from_numpy(of["video_features"]), torch.from_numpy(of["audio_features"]))
        assert found.offset == int(of["offset"])
        np.testing.assert_allclose(found.distances, of["mean_dists"], atol=1e-4)
        assert found.min_distance == pytest.approx(float(of["min_dist"]), abs=1e-4)
        assert found.confidence == pytest.approx(float(of["confidence"]), abs=1e-4)


@pytest.mark.parametrize("shift", [-6, 0, 4])
def test_a_known_shift_is_found(shift: int) -> None:
    features = torch.randn(80, 16, generator=torch.Generator().manual_seed(0))
    # the sound of moment i arrives `shift` frames early
    assert offset_score(features[20:60], features[20 + shift : 60 + shift]).offset == shift


def test_windows_of_picture_and_sound_belong_to_the_same_moments() -> None:
    rng = np.random.default_rng(0)
    loud = rng.uniform(0, 1, 40)
    frames = np.broadcast_to((loud * 255).astype(np.uint8)[:, None, None, None], (40, 224, 224, 3))
    sound = (np.repeat(loud, 640) * 8000 * rng.choice([-1, 1], 40 * 640)).astype(np.int16)

    class Scaled(MeanNetwork):
        def lip(self, clips: torch.Tensor) -> torch.Tensor:
            return torch.log(super().lip(clips).clamp(min=1)) * 2

        def sound(self, coefficients: torch.Tensor) -> torch.Tensor:
            found = super().sound(coefficients)
            return found - 11.0

    found = sync_score(np.ascontiguousarray(frames), sound, Scaled())
    assert found.distances.shape == (31,) and found.offset == 0
    early = sync_score(np.ascontiguousarray(frames[:-3]), sound[3 * 640 :], Scaled())
    assert early.offset == 3  # the sound leads


def test_what_is_too_short_is_said() -> None:
    frames = np.zeros((5, 224, 224, 3), np.uint8)
    with pytest.raises(InputError, match="needs 6 frames"):
        sync_score(frames, np.zeros(16_000, np.int16), MeanNetwork())
