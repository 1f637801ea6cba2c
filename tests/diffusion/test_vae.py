"""The small VAE: its linear part is the PCA of patches, its convolutions start by adding nothing."""

import torch

from svp.diffusion.build import build_vae
from svp.diffusion.vae import PatchAutoencoderKL, latent_stride
from svp.presets import MINI


def pictures(count: int) -> torch.Tensor:
    """Smooth coloured blobs: few numbers per patch describe them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 10, 10, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=True).clamp(-1, 1)


def small() -> PatchAutoencoderKL:
    torch.manual_seed(0)
    return build_vae(MINI.model_copy(update={"image_size": 64}))


def test_pca_start_restores_new_pictures_and_gives_unit_latents():
    vae, seen, unseen = small(), pictures(40), pictures(44)[40:]
    vae.start_from_pca(seen)
    with torch.no_grad():
        latents = vae.encode(seen).latent_dist.mode()
        restored = vae.decode(vae.encode(unseen).latent_dist.mode()).sample
    assert latents.shape == (40, MINI.latent_channels, 8, 8)
    assert abs(float(latents.square().mean()) - 1) < 0.05
    assert float((restored - unseen).square().mean()) < 1e-3


def test_it_equals_the_projection_on_principal_components():
    vae, seen = small(), pictures(40)
    vae.start_from_pca(seen)
    patches = torch.nn.functional.pixel_unshuffle(seen, 8).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = patches.mean(0)
    axes = torch.linalg.svd(patches - mean, full_matrices=False).Vh[: MINI.latent_channels]
    expected = mean + (patches - mean) @ axes.T @ axes
    with torch.no_grad():
        restored = vae.decode(vae.encode(seen).latent_dist.mode()).sample
    found = torch.nn.functional.pixel_unshuffle(restored, 8).permute(0, 2, 3, 1).flatten(0, 2).double()
    assert float((found - expected).abs().max()) < 1e-4


def test_gradients_reach_every_parameter_after_a_step():
    vae = small()
    vae.start_from_pca(pictures(8))
    optimizer = torch.optim.SGD(vae.parameters(), lr=0.1)
    x = pictures(2)
    for _ in range(3):
        optimizer.zero_grad()
        posterior = vae.encode(x).latent_dist
        (vae.decode(posterior.mean + posterior.std).sample - x).square().mean().backward()
        optimizer.step()
    still = [name for name, parameter in vae.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not [name for name in still if "to_k.bias" not in name]  # softmax ignores a constant added to all keys


def test_save_and_load_are_equal_and_the_config_holds_only_its_own_arguments(tmp_path):
    vae = small()
    vae.start_from_pca(pictures(8))
    vae.save_pretrained(tmp_path)
    loaded = PatchAutoencoderKL.from_pretrained(tmp_path)
    assert latent_stride(loaded) == 8
    assert "in_channels" not in loaded.config
    with torch.no_grad():
        assert torch.equal(vae(pictures(1)).sample, loaded(pictures(1)).sample)
