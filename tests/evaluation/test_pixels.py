"""PSNR and SSIM are scikit-image's; the reference is brought to the size of the generated video."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from svp.evaluation.pixels import PixelComparison, fitted, same_aspect
from svp.evaluation.psnr import frame_psnr
from svp.evaluation.ssim import frame_ssim

RNG = np.random.default_rng(0)
SMOOTH = np.cumsum(RNG.normal(0, 4, (5, 96, 96, 3)), axis=1)
FRAMES = np.clip(128 + SMOOTH, 0, 255).astype(np.uint8)
OTHERS = np.clip(FRAMES + RNG.normal(0, 20, FRAMES.shape), 0, 255).astype(np.uint8)


def tensor(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float()


def test_psnr_is_that_of_scikit_image() -> None:
    expected = [peak_signal_noise_ratio(true, frame) for frame, true in zip(OTHERS, FRAMES, strict=True)]
    np.testing.assert_allclose(frame_psnr(tensor(OTHERS), tensor(FRAMES)), expected, rtol=1e-5)


def test_ssim_is_that_of_scikit_image() -> None:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    for frame, true in zip(OTHERS, FRAMES, strict=True):
        expected = structural_similarity(true, frame, channel_axis=2, **options)
        assert frame_ssim(frame, true) == pytest.approx(expected, abs=2e-5)


def test_equal_frames_are_perfect_and_batches_change_nothing() -> None:
    comparison = PixelComparison()
    for _ in range(9):  # more frames than one batch holds, and a rest
        for frame, true in zip((*FRAMES, *OTHERS), (*FRAMES, *FRAMES), strict=True):
            comparison.add(frame, true)
    found = comparison.result()
    assert found.psnr.shape == found.ssim.shape == (90,)
    np.testing.assert_array_equal(found.psnr[:5], 100)
    np.testing.assert_allclose(found.ssim[:5], 1, atol=1e-6)
    np.testing.assert_allclose(found.psnr[5:10], frame_psnr(tensor(OTHERS), tensor(FRAMES)), atol=1e-4)
    assert found.ssim[5] == pytest.approx(frame_ssim(OTHERS[0], FRAMES[0]), abs=1e-6)


def test_the_reference_is_resized_without_aliasing() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(fitted(stripes, 48, 48), 127.5, atol=1)
    assert fitted(stripes, 192, 192).shape == (192, 192, 3)


@pytest.mark.parametrize(("size", "other", "same"), [((512, 512), (128, 128), True), ((1080, 1920), (512, 512), False)])
def test_pictures_of_other_shapes_are_not_laid_over_each_other(
    size: tuple[int, int], other: tuple[int, int], same: bool
) -> None:
    assert same_aspect(size, other) is same
