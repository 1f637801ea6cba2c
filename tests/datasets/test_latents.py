"""Cached latents: equal to encoding now, read in any part, never encoded twice, never stale."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from svp.datasets.clip import Clip
from svp.datasets.latent_jobs import encode_clips, latents_of_model
from svp.datasets.latents import LatentCache, at_once, cache_latents, vae_fingerprint
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.errors import InputError

SIZE = 32


def make_clip(writer: DatasetWriter, clip_id: str, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = {
        name: rng.random((n, *shape), np.float32)
        for name, shape in {"expression": (4,), "audio": (8,), "landmarks": (478, 3), "head_kps": (8, 2)}.items()
    }
    frames = (np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8)) for _ in range(n))
    row = ClipRow(clip_id=clip_id, source=clip_id, sha256=str(seed), identity=clip_id, frames=n)
    writer.add_clip(row, frames, None, features)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    writer = DatasetWriter(tmp_path / "set", {}, "arkit-4", "log-mel", SIZE)
    make_clip(writer, "a", 7, seed=1)
    make_clip(writer, "b", 3, seed=2)
    writer.reject(ClipRow(clip_id="c", source="c", sha256="3", identity="c").rejected("no face"))
    writer.finish()
    return PreparedDataset(tmp_path / "set")


def make_vae(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=3,
        layers_per_block=1,
    )


class CountingVae:
    """Counts encoded frames."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae
        self.encoded = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.vae, name)

    def encode(self, pictures: torch.Tensor) -> object:
        self.encoded += len(pictures)
        return self.vae.encode(pictures)


def test_cached_equals_encoded_now_and_slices_equal_the_whole(dataset: PreparedDataset) -> None:
    vae = make_vae()
    steps: list[tuple[int, int]] = []
    cache = LatentCache(
        cache_latents(dataset, vae, batch_size=3, progress=lambda *at: steps.append(at)), scaling_factor=0.5
    )
    assert steps == [(7, 10), (10, 10)]
    assert vae.training  # its mode is given back
    pixels = torch.from_numpy(dataset.clip("a").frames()).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        now = vae.eval().encode(pixels).latent_dist
    mean, logvar = cache.moments("a")
    assert mean.shape == (7, 3, SIZE // 2, SIZE // 2)
    torch.testing.assert_close(mean, now.mean, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(logvar, now.logvar, atol=2e-3, rtol=2e-3)
    for start, stop in ((0, 1), (2, 5), (6, 7)):
        part = cache.moments("a", start, stop)
        assert torch.equal(part[0], mean[start:stop]) and torch.equal(part[1], logvar[start:stop])
    with pytest.raises(ValueError, match="not within 0:7"):
        cache.moments("a", 5, 8)


def test_workers_encode_the_same_clip_by_clip(dataset: PreparedDataset, tmp_path: Path) -> None:
    make_vae().save_pretrained(tmp_path / "vae")
    whole = LatentCache(latents_of_model(dataset.root, tmp_path / "vae"), scaling_factor=1.0)
    assert encode_clips(dataset.root, tmp_path / "vae", "apart", ("b",)) == 1
    assert {path.stem for path in (dataset.root / "latents" / "apart").iterdir()} == {"b"}
    apart = LatentCache(dataset.root / "latents" / "apart", scaling_factor=1.0)
    for mine, theirs in zip(apart.moments("b"), whole.moments("b"), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)
    assert (at_once(512), at_once(128), at_once(4096)) == (8, 32, 1)


def test_decoding_ahead_changes_no_bit(dataset: PreparedDataset) -> None:
    vae = make_vae().eval()
    cache = LatentCache(cache_latents(dataset, vae, batch_size=4), scaling_factor=1.0)
    for clip_id in ("a", "b"):
        frames = dataset.clip(clip_id).frames()
        for start in range(0, len(frames), 4):
            pixels = torch.from_numpy(frames[start : start + 4]).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad():
                now = vae.encode(pixels).latent_dist
            mean, logvar = cache.moments(clip_id, start, min(start + 4, len(frames)))
            assert torch.equal(mean, now.mean.half().float()) and torch.equal(logvar, now.logvar.half().float())


def test_the_next_clip_is_decoded_while_one_is_encoded(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"a": threading.Event(), "b": threading.Event()}
    iter_frames = Clip.iter_frames

    def noted(clip: Clip, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        opened[clip.row.clip_id].set()
        return iter_frames(clip, start, stop)

    class WaitingVae(CountingVae):
        def encode(self, pictures: torch.Tensor) -> object:
            assert opened["b"].wait(timeout=30), "clip b is not decoded before clip a is encoded"
            return super().encode(pictures)

    monkeypatch.setattr(Clip, "iter_frames", noted)
    cache_latents(dataset, WaitingVae(make_vae()))


def test_an_unreadable_clip_is_named_and_the_ones_before_it_are_kept(dataset: PreparedDataset) -> None:
    dataset.clip("b").video_path.write_bytes(b"no video")
    vae = CountingVae(make_vae())
    with pytest.raises(InputError, match=r"b\.mp4: unreadable"):
        cache_latents(dataset, vae, "f")
    assert vae.training
    assert len(LatentCache(dataset.root / "latents" / "f", scaling_factor=1.0).moments("a")[0]) == 7


def test_samples_have_the_moments_of_the_posterior(dataset: PreparedDataset) -> None:
    cache = LatentCache(cache_latents(dataset, make_vae()), scaling_factor=2.0)
    mean, logvar = cache.moments("b", 1, 2)
    draws = torch.cat([cache.sample("b", 1, 2, torch.Generator().manual_seed(k)) for k in range(400)]) / 2.0
    deviation = (0.5 * logvar).exp()
    assert ((draws.mean(0) - mean).abs() < 5 * deviation / 20).all()
    assert abs(float((draws.std(0) / deviation).mean()) - 1) < 0.02
    again = cache.sample("b", 1, 2, torch.Generator().manual_seed(3)) / 2.0
    assert torch.equal(again[0], draws[3])


def test_only_what_is_missing_or_stale_is_encoded(dataset: PreparedDataset) -> None:
    vae = CountingVae(make_vae())
    folder = cache_latents(dataset, vae, "f")
    assert folder == dataset.root / "latents" / "f" and vae.encoded == 10
    before = LatentCache(folder, scaling_factor=1.0).moments("a")[0]
    cache_latents(dataset, vae, "f")
    assert vae.encoded == 10
    (folder / "b.safetensors").unlink()
    (folder / "a.safetensors").write_bytes(b"cut off")
    cache_latents(dataset, vae, "f")
    assert vae.encoded == 20
    assert torch.equal(LatentCache(folder, scaling_factor=1.0).moments("a")[0], before)

    writer = DatasetWriter(dataset.root, {}, "arkit-4", "log-mel", SIZE)
    make_clip(writer, "b", 3, seed=5)  # the same name, another video
    writer.finish()
    cache_latents(PreparedDataset(dataset.root), vae, "f")
    assert vae.encoded == 23


def test_fingerprint_follows_the_weights() -> None:
    assert vae_fingerprint(make_vae()) == vae_fingerprint(make_vae())
    changed = make_vae()
    with torch.no_grad():
        next(changed.decoder.parameters()).view(-1)[0] += 1e-6
    assert len({vae_fingerprint(vae) for vae in (make_vae(), make_vae(1), changed, make_vae().half())}) == 4


def test_missing_latents_are_an_input_error(dataset: PreparedDataset) -> None:
    with pytest.raises(InputError, match=r"a\.safetensors: no readable latents"):
        LatentCache(dataset.root / "latents" / "none", scaling_factor=1.0).moments("a")
