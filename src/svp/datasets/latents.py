"""VAE latents of a prepared dataset, encoded once: `latents/<fingerprint of the VAE>/<clip_id>.safetensors`.

What is kept is the posterior, mean and log-variance in float16, so that training can draw a new sample at every step.

Shapes: N frames of a clip, n frames that were asked for, C latent channels on an h x w grid.
"""

import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from svp.datasets.clip import Clip
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError

FOLDER = "latents"


class LatentCache:
    """Reads the cached posteriors of a dataset, only the frames asked for.

    Args:
        folder: what `cache_latents` returned.
        scaling_factor: of the VAE's configuration; `sample` and `mode` are multiplied by it.
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

    def mode(self, clip_id: str, start: int = 0, stop: int | None = None) -> Tensor:
        """The most probable latents of the frames start:stop, scaled, (n,C,h,w) float32."""
        return self.moments(clip_id, start, stop)[0] * self.scaling_factor

    def sample(self, clip_id: str, start: int, stop: int, generator: torch.Generator) -> Tensor:
        """A draw from the posterior of the frames start:stop, scaled, (n,C,h,w) float32."""
        mean_NChw, logvar_NChw = self.moments(clip_id, start, stop)
        noise_NChw = torch.randn(mean_NChw.shape, generator=generator)
        return (mean_NChw + (0.5 * logvar_NChw).exp() * noise_NChw) * self.scaling_factor


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
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Encode every accepted clip that has no latents of this VAE yet; may be stopped and started again.

    Args:
        vae: an AutoencoderKL: `encode(pictures (B,3,H,W) in [-1,1]).latent_dist` has `mean` and `logvar`.
        fingerprint: name of its folder; by default `vae_fingerprint(vae)`.
        batch_size: frames encoded at once.
        progress: called with (frames that are there, frames in all).

    Returns:
        The folder to give to LatentCache.
    """
    folder = dataset.root / FOLDER / (fingerprint or vae_fingerprint(vae))
    folder.mkdir(parents=True, exist_ok=True)
    rows = dataset.accepted()
    total, done = sum(row.frames for row in rows), 0
    training = vae.training
    vae.eval()
    try:
        for row in rows:
            clip, path = dataset.clip(row.clip_id), folder / f"{row.clip_id}.safetensors"
            digest = _digest(clip.video_path)
            if not _is_current(path, digest):
                mean_NChw, logvar_NChw = _encode(vae, clip, batch_size)
                partial = folder / f".{path.name}.{os.getpid()}.partial"
                save_file({"mean": mean_NChw, "logvar": logvar_NChw}, partial, metadata={"video_sha256": digest})
                os.replace(partial, path)
            done += row.frames
            if progress is not None:
                progress(done, total)
    finally:
        vae.train(training)
    return folder


def _encode(vae: Any, clip: Clip, batch_size: int) -> tuple[Tensor, Tensor]:
    weight = next(vae.parameters())
    means, logvars = [], []
    frames = clip.iter_frames()
    while batch := list(itertools.islice(frames, batch_size)):
        pictures_B3HW = torch.from_numpy(np.stack(batch)).to(weight.device).permute(0, 3, 1, 2)
        posterior = vae.encode(pictures_B3HW.to(weight.dtype) / 127.5 - 1.0).latent_dist
        means.append(posterior.mean.half().cpu())
        logvars.append(posterior.logvar.half().cpu())
    return torch.cat(means).contiguous(), torch.cat(logvars).contiguous()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_current(path: Path, digest: str) -> bool:
    """Whether the file holds the latents of this very video."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("video_sha256") == digest
    except (SafetensorError, OSError):
        return False
