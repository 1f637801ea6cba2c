"""Latents of a prepared dataset by the VAE of a model folder: on the GPU, or on many processors, a few clips a job."""

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from svp.bar import transient_bar
from svp.datasets.latents import at_once, cache_latents, cached_latents, vae_fingerprint
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.workers import run_jobs

CLIPS = 8  # of a job
FEWER = 8  # times fewer frames at once than one process takes: every worker has its own memory


def latents_of_model(root: Path, vae: Path, workers: int = 1, ray: str | None = None) -> Path:
    """As `latents.cache_latents`, with a bar on stderr; what is there already is kept.

    Args:
        root: of the dataset.
        vae: folder of a saved VAE.
        workers: processes; of no account on a machine with a GPU, and one uses all threads itself.
        ray: address of a cluster to work on.

    Raises:
        InputError: no such dataset, or a worker's process is ended twice at one job.
    """
    root, vae = root.absolute(), vae.absolute()
    dataset, encoder = PreparedDataset(root), load_vae(vae)
    if ray is None and (workers == 1 or torch.cuda.is_available()):
        return cached_latents(dataset, encoder.to("cuda" if torch.cuda.is_available() else "cpu"))
    name, ids = vae_fingerprint(encoder), [row.clip_id for row in dataset.accepted()]
    jobs = [tuple(ids[k : k + CLIPS]) for k in range(0, len(ids), CLIPS)]
    done = 0
    with transient_bar("encode latents") as told:
        for count in run_jobs(jobs, partial(encode_clips, root, vae, name), workers, _died, ray=ray):
            done += count
            told(done, len(ids))
    return cache_latents(dataset, encoder, name, ids=())


def encode_clips(root: Path, vae: Path, name: str, ids: tuple[str, ...]) -> int:
    """Encode some clips; runs in a worker. Returns how many."""
    dataset, encoder = _opened(root, vae)
    cache_latents(dataset, encoder, name, max(1, at_once(dataset.size) // FEWER), ids=ids)
    return len(ids)


def load_vae(folder: Path) -> Any:
    """The VAE of a model folder without the model's other parts."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    from svp.diffusion.vae import PatchAutoencoderKL

    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    kind = PatchAutoencoderKL if name == PatchAutoencoderKL.__name__ else AutoencoderKL
    return kind.from_pretrained(folder)


@lru_cache(maxsize=1)
def _opened(root: Path, vae: Path) -> tuple[PreparedDataset, Any]:
    return PreparedDataset(root), load_vae(vae)


def _died(ids: tuple[str, ...]) -> int:
    raise InputError(f"{ids[0]} to {ids[-1]}: its process is ended, perhaps for want of memory; give fewer --workers")
