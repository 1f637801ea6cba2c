"""VAE latents of a prepared dataset, encoded once: `latents/<fingerprint of the VAE>/<clip_id>.safetensors`.

What is kept is the posterior, mean and log-variance in float16, so that training can draw a new sample at every step.
A dataset too large for that is encoded anew in every step: `UnencodedLatents` and `encode_drawn` draw the same samples.

Shapes: N frames of a clip, n frames that were asked for, C latent channels on an h x w grid.
"""

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from svp.bar import transient_bar
from svp.datasets.derived import LATENTS, is_current, made_from
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.media.hashing import sha256_file
from svp.media.whole_file import output_file

AT_ONCE = 8  # frames of 512 pixels encoded together: Stable Diffusion's VAE takes gigabytes for them
MOST_AT_ONCE = 32  # smaller ones


class LatentCache:
    """Reads the cached posteriors of a dataset, only the frames asked for.

    Args:
        folder: what `cache_latents` returned.
        scaling_factor: of the VAE's configuration; samples are multiplied by it.
    """

    def __init__(self, folder: Path, *, scaling_factor: float) -> None:
        self.folder = folder
        self.scaling_factor = scaling_factor

    def moments(self, clip_id: str, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Posterior mean and log-variance of the frames start:stop, each (n,C,h,w) float32, not scaled.

        Raises:
            InputError: the clip has no readable latents here.
            ValueError: the clip has no such frames.
        """
        path = self.folder / f"{clip_id}.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                frames = file.get_slice("mean").get_shape()[0]
                last = frames if stop is None else stop
                if not 0 <= start < last <= frames:
                    raise ValueError(f"{clip_id}: frames {start}:{last} are not within 0:{frames}")
                mean_NChw, logvar_NChw = (file.get_slice(name)[start:last].float() for name in ("mean", "logvar"))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: no readable latents ({error}); delete the file and start again") from error
        return mean_NChw, logvar_NChw

    def sample(self, clip_id: str, start: int, stop: int, generator: torch.Generator) -> Tensor:
        """A draw from the posterior of the frames start:stop, scaled, (n,C,h,w) float32."""
        mean_NChw, logvar_NChw = self.moments(clip_id, start, stop)
        noise_NChw = torch.randn(mean_NChw.shape, generator=generator)
        return (mean_NChw + (0.5 * logvar_NChw).exp() * noise_NChw) * self.scaling_factor


@dataclass(frozen=True)
class UnencodedLatents:
    """Reads what a draw from the posterior needs, where latents are not kept: frames and the noise of the draw.

    Attributes:
        shape: of one frame's latents, (C, h, w).
    """

    dataset: PreparedDataset
    shape: tuple[int, int, int]

    def draw(self, clip_id: str, start: int, stop: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Frames start:stop (n,H,W,3) uint8 and noise (n,C,h,w), which is the one of `LatentCache.sample`."""
        noise_NChw = torch.randn((stop - start, *self.shape), generator=generator)
        return torch.from_numpy(self.dataset.clip(clip_id).frames(start, stop)), noise_NChw


@torch.no_grad()
def encode_drawn(vae: Any, pictures_NHW3: Tensor, noise_NChw: Tensor) -> Tensor:
    """Latents (n,C,h,w) that `LatentCache.sample` would give of these frames with this noise, but for float16.

    Frames are encoded a few at a time, in the precision of the weights also where the networks around run in bf16.
    """
    drawn = []
    with torch.autocast(pictures_NHW3.device.type, enabled=False):
        for pictures, noise in zip(pictures_NHW3.split(AT_ONCE), noise_NChw.split(AT_ONCE), strict=True):
            posterior = _posterior(vae, pictures)
            drawn.append(posterior.mean + (0.5 * posterior.logvar).exp() * noise)
    return torch.cat(drawn) * vae.config["scaling_factor"]


def at_once(size: int) -> int:
    """How many frames of `size` pixels are encoded together: no more pixels than AT_ONCE have."""
    return max(1, min(MOST_AT_ONCE, AT_ONCE * 512**2 // size**2))


def vae_fingerprint(vae: nn.Module) -> str:
    """sha256 over the weights of a VAE: names, types, shapes and values, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def cache_latents(
    dataset: PreparedDataset,
    vae: Any,
    fingerprint: str | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    ids: Collection[str] | None = None,
) -> Path:
    """Encode every accepted clip that has no latents of this VAE yet; may be stopped and started again.

    Args:
        vae: an AutoencoderKL: `encode(pictures (B,3,H,W) in [-1,1]).latent_dist` has `mean` and `logvar`.
        fingerprint: name of its folder; by default `vae_fingerprint(vae)`.
        batch_size: frames encoded at once; by default `at_once` of their size.
        progress: called with (frames that are there, frames in all).
        ids: of the clips that are encoded; by default all.

    Returns:
        The folder to give to LatentCache.
    """
    folder = dataset.root / LATENTS / (fingerprint or vae_fingerprint(vae))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in dataset.accepted() if ids is None or row.clip_id in ids]
    total, done = sum(row.frames for row in rows), 0
    encoded: list[tuple[Tensor, Tensor]] = []
    training = vae.training
    vae.eval()
    vae.to(memory_format=torch.channels_last)  # quicker on a CPU
    try:
        for batch in _ahead(_batches(dataset, rows, folder, batch_size or at_once(dataset.size))):
            if len(batch.pictures):
                encoded.append(_encode(vae, batch.pictures))
            if not batch.last:
                continue
            if encoded:
                _save(folder / f"{batch.row.clip_id}.safetensors", encoded, batch.digest)
                encoded = []
            done += batch.row.frames
            if progress is not None:
                progress(done, total)
    finally:
        vae.train(training)
    return folder


def cached_latents(dataset: PreparedDataset, vae: Any) -> Path:
    """As `cache_latents`, with a bar on stderr: the first time takes minutes."""
    with transient_bar("encode latents") as told:
        return cache_latents(dataset, vae, progress=told)


@dataclass(frozen=True)
class _Batch:
    """Successive frames of one clip.

    Attributes:
        pictures: (B,H,W,3) uint8; none of a clip that needs no work.
        digest: of the clip's video.
        last: whether the clip ends with them.
    """

    row: ClipRow
    pictures: np.ndarray
    digest: str
    last: bool


def _batches(dataset: PreparedDataset, rows: Sequence[ClipRow], folder: Path, batch_size: int) -> Iterator[_Batch]:
    """A batch never holds frames of two clips, so what is cached of a clip does not depend on where a run began."""
    for row in rows:
        clip = dataset.clip(row.clip_id)
        digest = sha256_file(clip.video_path)
        if is_current(folder / f"{row.clip_id}.safetensors", digest):
            yield _Batch(row, np.empty((0, dataset.size, dataset.size, 3), np.uint8), digest, last=True)
            continue
        frames = clip.iter_frames()
        for start in range(0, row.frames, batch_size):
            pictures = np.stack(list(itertools.islice(frames, batch_size)))
            yield _Batch(row, pictures, digest, last=start + batch_size >= row.frames)


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The same batches; while one is used, a thread decodes the next (PyAV lets other threads run meanwhile)."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = pool.submit(next, batches, None)
            yield batch


def _encode(vae: Any, pictures_BHW3: np.ndarray) -> tuple[Tensor, Tensor]:
    posterior = _posterior(vae, torch.from_numpy(pictures_BHW3))
    return posterior.mean.half().cpu(), posterior.logvar.half().cpu()


def _posterior(vae: Any, pictures_BHW3: Tensor) -> Any:
    weight = next(vae.parameters())
    pictures_B3HW = pictures_BHW3.to(weight.device).permute(0, 3, 1, 2)
    return vae.encode(pictures_B3HW.to(weight.dtype) / 127.5 - 1.0).latent_dist


def _save(path: Path, encoded: Sequence[tuple[Tensor, Tensor]], digest: str) -> None:
    mean_NChw, logvar_NChw = (torch.cat(parts).contiguous() for parts in zip(*encoded, strict=True))
    with output_file(path) as partial:
        save_file({"mean": mean_NChw, "logvar": logvar_NChw}, partial, metadata=made_from(digest))
