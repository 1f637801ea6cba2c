"""Finished latents of a video kept on disk, so that an interrupted run goes on after its last complete chunk.

A folder holds `video.json`, which says what the video is made from, and `NNNNNN.safetensors` with the new frames of
chunk N in float32: 25 kB a frame for `mini` (0.6 MB per second of video), 66 kB for `base` (1.6 MB). Decoding them
again gives the very pixels that a run without a break gives.

Shapes: C latent channels, n new frames of a chunk, h x w latent grid.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from svp.media.whole_file import output_file, writing

LOGGER: Final = logging.getLogger(__name__)
INDEX = "video.json"


class KeptLatents:
    """The chunks of one video that are finished, in order.

    Args:
        folder: made if missing; what it holds of another video is deleted.
        fingerprint: of everything that the latents follow from, see `fingerprint`.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        finished = len(list(folder.glob("[0-9]*.safetensors")))
        if _written(folder) != fingerprint:
            if finished:
                LOGGER.info(f"{folder}: {finished} chunks that were made with other arguments, inputs or versions go")
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for path in folder.iterdir():  # the folder itself stays: somebody may hold its lock
                    path.unlink()
            _write_whole(folder / INDEX, json.dumps({"fingerprint": fingerprint}).encode())
        elif finished:
            LOGGER.info(f"{folder}: goes on after {finished} finished chunks")

    def read(self, chunk: int) -> Tensor | None:
        """The latents (1, C, n, h, w) of a chunk; None where there are none, or they are damaged."""
        try:
            return load_file(self._path(chunk))["latents"]
        except (OSError, SafetensorError, KeyError):
            return None

    def write(self, chunk: int, latents: Tensor) -> None:
        """Keep a finished chunk; it is there whole or not at all."""
        kept = {"latents": latents.detach().float().cpu().contiguous()}
        _write_whole(self._path(chunk), save(kept))

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.safetensors"


def fingerprint(facts: object, tensors: Iterable[Tensor]) -> str:
    """A hash of plain values and of tensors' bits."""
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _written(folder: Path) -> str | None:
    """The fingerprint of the video that a folder belongs to."""
    try:
        return json.loads((folder / INDEX).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_whole(path: Path, content: bytes) -> None:
    with output_file(path) as partial:
        partial.write_bytes(content)
