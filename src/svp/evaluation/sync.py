"""SyncNet's offset and confidence (Chung and Zisserman 2016), by the rules of the published syncnet_python.

The network is in `weights/syncnet.py`; everything around it is here.

Shapes: N frames, W windows of five frames, C channels of the network's features.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from svp.errors import InputError
from svp.evaluation.batches import batches
from svp.evaluation.mfcc import mfcc

MAX_SHIFT: Final = 15  # frames
WINDOW: Final = 5  # frames
SAMPLES_PER_FRAME: Final = 640
STEPS_PER_FRAME: Final = 4  # of the MFCC
BATCH: Final = 20


class SyncNetwork(Protocol):
    """The two towers of SyncNet."""

    def lip(self, clips: Tensor) -> Tensor:
        """(B, 3, 5, 224, 224) BGR in [0, 255] -> (B, C)."""

    def sound(self, coefficients: Tensor) -> Tensor:
        """(B, 1, 13, 20) -> (B, C)."""


@dataclass(frozen=True)
class SyncScore:
    """What SyncNet says of a clip.

    Attributes:
        offset: frames at 25 fps; positive: the sound leads the picture.
        min_distance: mean distance of the features at that offset.
        confidence: median over the offsets minus `min_distance`.
        distances: (31,) mean distance at the offsets 15 to -15.
    """

    offset: int
    min_distance: float
    confidence: float
    distances: np.ndarray


@torch.inference_mode()
def sync_score(frames: Iterable[np.ndarray], audio: np.ndarray, network: SyncNetwork) -> SyncScore:
    """Offset and confidence of a clip.

    Args:
        frames: (N, 224, 224, 3) uint8 BGR at 25 fps, cropped as syncnet_python crops; or such frames one by
            one, of which a few are held at a time.
        audio: (samples,) int16 at 16 kHz.
        network: SyncNet with its weights.

    Raises:
        ValueError: the arrays have other shapes or types.
        InputError: sound or picture is shorter than 6 frames.
    """
    if audio.ndim != 1 or audio.dtype != np.int16:
        raise ValueError(f"expected audio (samples,) int16, got {audio.shape} {audio.dtype}")
    heard = islice(frames, len(audio) // SAMPLES_PER_FRAME)
    lips = [network.lip(torch.stack(batch)) for batch in batches(_windows(heard), BATCH)]
    count = sum(map(len, lips)) - 1  # the last possible window is left out, as there
    if count < 1:
        raise InputError(
            f"clip: {len(audio)} samples of sound and their pictures make no two windows; SyncNet needs 6 frames"
        )
    coefficients_KT = torch.from_numpy(mfcc(audio).T).float()
    columns = (coefficients_KT[None, :, STEPS_PER_FRAME * i : STEPS_PER_FRAME * (i + WINDOW)] for i in range(count))
    sounds = [network.sound(torch.stack(batch)) for batch in batches(columns, BATCH)]
    return offset_score(torch.cat(lips)[:count], torch.cat(sounds))


def _windows(frames: Iterable[np.ndarray]) -> Iterator[Tensor]:
    """Every five successive frames (3, 5, 224, 224)."""
    held: deque[Tensor] = deque(maxlen=WINDOW)
    for frame in frames:
        if frame.shape != (224, 224, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected frames (224, 224, 3) uint8, got {frame.shape} {frame.dtype}")
        held.append(torch.from_numpy(frame).permute(2, 0, 1).float())
        if len(held) == WINDOW:
            yield torch.stack(tuple(held), dim=1)


def offset_score(lip_WC: Tensor, sound_WC: Tensor) -> SyncScore:
    """Offset and confidence of features: mean distances over the windows at 31 shifts.

    Features beyond the ends of the sound are zeros and count, as in syncnet_python.

    Raises:
        ValueError: the two have other shapes than (W, C).
    """
    if lip_WC.ndim != 2 or lip_WC.shape != sound_WC.shape or len(lip_WC) == 0:
        raise ValueError(f"expected features (W, C) twice, got {tuple(lip_WC.shape)} and {tuple(sound_WC.shape)}")
    padded = F.pad(sound_WC, (0, 0, MAX_SHIFT, MAX_SHIFT))
    shifted_WSC = padded.unfold(0, 2 * MAX_SHIFT + 1, 1).transpose(1, 2)
    distances_WS = F.pairwise_distance(lip_WC[:, None].expand_as(shifted_WSC), shifted_WSC)
    mean_S = distances_WS.mean(dim=0)
    least, best = mean_S.min(dim=0)
    return SyncScore(
        offset=MAX_SHIFT - int(best),
        min_distance=float(least),
        confidence=float(mean_S.median() - least),
        distances=mean_S.cpu().numpy(),
    )
