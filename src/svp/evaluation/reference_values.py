"""Figures that others published of the very same weights: whether the metrics here give them too.

Each check says what it lacks where it cannot be made; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from svp.errors import InputError
from svp.evaluation.fid import frame_features
from svp.evaluation.frechet import frechet_distance
from svp.evaluation.fvd import SIZE
from svp.evaluation.metric import Uses
from svp.evaluation.networks import ImportedNetworks
from svp.evaluation.sync import sync_score
from svp.evaluation.sync_network import to_int16
from svp.media.audio import read_audio
from svp.media.video import read_frames
from svp.weights import load_i3d, load_inception, load_syncnet

# syncnet_python's README, of its data/example.avi, which is cropped already.
SYNCNET: Final = {"SyncNet offset": (3, 0), "SyncNet distance": (5.353, 0.05), "SyncNet confidence": (10.021, 0.05)}
# Eight videos of 30 black frames against eight of white ones; common_metrics_on_video_quality, which says that it
# differs by about 1 between versions of torch.
FVD: Final = (151.256, 1.0)
FVD_VIDEOS, FVD_FRAMES = 8, 30
# The first 5000 pictures of CIFAR-10's training set against its 10 000 test pictures.
FID: Final = (10.3233, 0.05)
FID_PICTURES: Final = 5000
CIFAR_TRAIN, CIFAR_TEST = "data_batch_1.bin", "test_batch.bin"  # of the binary version: a label byte, then 3 x 32 x 32
CIFAR_RECORD: Final = 1 + 3 * 32 * 32


@dataclass(frozen=True)
class ReferenceCheck:
    """A published figure and ours.

    Attributes:
        title: what is checked.
        expected: as published.
        tolerance: by how much ours may differ.
        measured: ours; None where it could not be made.
        missing: what it lacks and how to get it, "" where it was made.
    """

    title: str
    expected: float
    tolerance: float
    measured: float | None = None
    missing: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the figure was made and is the published one."""
        return self.measured is not None and abs(self.measured - self.expected) <= self.tolerance


def reference_checks(weights: Path | None, example: Path | None, cifar: Path | None) -> Iterator[ReferenceCheck]:
    """All checks, as they are made.

    Args:
        weights: folder that `svp import` wrote.
        example: syncnet_python's `example.avi`.
        cifar: folder with the binary version of CIFAR-10.

    Raises:
        InputError: what is there cannot be read.
    """
    yield from check_syncnet(weights, example)
    yield check_fvd(weights)
    yield check_fid(weights, cifar)


def check_syncnet(weights: Path | None, example: Path | None) -> list[ReferenceCheck]:
    """SyncNet's offset, distance and confidence of the clip that its authors print them of."""
    missing = _missing(weights, "syncnet", example, "data/example.avi of syncnet_python (see its download_model.sh)")
    if missing or weights is None or example is None:
        return [ReferenceCheck(title, *figure, missing=missing) for title, figure in SYNCNET.items()]
    frames = (np.ascontiguousarray(frame[..., ::-1]) for frame in read_frames(example, fps=None))
    score = sync_score(frames, to_int16(read_audio(example)), load_syncnet(weights / "syncnet"))
    found = (score.offset, score.min_distance, score.confidence)
    return [ReferenceCheck(title, *SYNCNET[title], measured=ours) for title, ours in zip(SYNCNET, found, strict=True)]


@torch.inference_mode()
def check_fvd(weights: Path | None) -> ReferenceCheck:
    """FVD of black videos against white ones; equal videos have equal features, so one of each is looked at."""
    title, missing = "FVD of black against white", _missing(weights, "i3d")
    if missing or weights is None:
        return ReferenceCheck(title, *FVD, missing=missing)
    i3d = load_i3d(weights / "i3d")
    black, white = (i3d(torch.full((1, 3, FVD_FRAMES, SIZE, SIZE), value)).numpy() for value in (-1.0, 1.0))
    ours = frechet_distance(black.repeat(FVD_VIDEOS, axis=0), white.repeat(FVD_VIDEOS, axis=0))
    return ReferenceCheck(title, *FVD, measured=ours)


def check_fid(weights: Path | None, cifar: Path | None) -> ReferenceCheck:
    """FID of CIFAR-10's first training pictures against its test pictures."""
    title = f"FID of CIFAR-10, first {FID_PICTURES} training pictures against the test set"
    wanted = (
        f"{CIFAR_TRAIN} and {CIFAR_TEST} of CIFAR-10's binary version (https://www.cs.toronto.edu/~kriz/cifar.html)"
    )
    missing = _missing(weights, "inception", cifar, wanted)
    if missing or weights is None or cifar is None:
        return ReferenceCheck(title, *FID, missing=missing)
    inception = load_inception(weights / "inception")
    train, test = read_cifar(cifar / CIFAR_TRAIN)[:FID_PICTURES], read_cifar(cifar / CIFAR_TEST)
    ours = frechet_distance(frame_features(train, inception), frame_features(test, inception))
    return ReferenceCheck(title, *FID, measured=ours)


def read_cifar(path: Path) -> np.ndarray:
    """The pictures (N, 32, 32, 3) uint8 RGB of a file of CIFAR-10's binary version.

    Raises:
        InputError: it is missing or of another layout.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give CIFAR-10's binary version") from error
    if len(data) == 0 or len(data) % CIFAR_RECORD:
        raise InputError(f"{path}: {len(data)} bytes are no records of {CIFAR_RECORD}; give CIFAR-10's binary version")
    return data.reshape(-1, CIFAR_RECORD)[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _missing(weights: Path | None, uses: Uses, data: Path | None = None, wanted: str = "") -> str:
    """What a check lacks, in words."""
    lacking = [ImportedNetworks(weights).how_to_get(uses)]
    if wanted and (data is None or not data.exists()):
        lacking.append(f"needs {wanted}")
    return "; ".join(filter(None, lacking))
