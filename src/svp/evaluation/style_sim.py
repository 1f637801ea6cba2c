"""StyleSim (Sec. 4.2): whether the style is that of the true video, by StyleTalk's encoder on the paper's coefficients.

Shapes: N frames, E = 64 expression coefficients, D = 256.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import numpy as np
import torch
from torch import nn

from svp.evaluation.batches import batches
from svp.evaluation.face_facts import FaceFacts
from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair
from svp.face.deep3d import EXPRESSION
from svp.face.deep3d_alignment import aligned
from svp.weights.network import device_of
from svp.weights.styletalk import MAX_FRAMES

BATCH: Final = 16


@torch.inference_mode()
def expressions(frames: Iterable[np.ndarray], landmarks: np.ndarray, regressor: nn.Module) -> np.ndarray:
    """Expression coefficients (N, E) float32 of frames whose landmarks are known.

    Args:
        frames: (H, W, 3) uint8 RGB.
        landmarks: (N, 478, 3) in their pixels; frames beyond them are left out.
        regressor: see `weights.load_deep3d`.
    """
    found = []
    for batch in batches(zip(landmarks, frames, strict=False), BATCH):
        pictures = np.stack([aligned(frame, points) for points, frame in batch])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device_of(regressor)).float() / 255
        found.append(regressor(images)[:, EXPRESSION].cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def style_code(frames: Iterable[np.ndarray], face: FaceFacts, regressor: nn.Module, encoder: nn.Module) -> np.ndarray:
    """StyleTalk's code (D,) of the first 256 frames; those where the face was not found are left out.

    Raises:
        Unmeasurable: the face was found in none of them.
    """
    present = face.found[:MAX_FRAMES]
    if not present.any():
        raise Unmeasurable(f"no face in the first {MAX_FRAMES} frames")
    expression = expressions(islice(frames, len(present)), face.landmarks[:MAX_FRAMES], regressor)
    device = device_of(encoder)
    code = encoder(torch.from_numpy(expression)[None].to(device), torch.from_numpy(present)[None].to(device))
    return code[0].cpu().numpy()


def measure(pair: Pair) -> float:
    """Cosine of the two codes."""
    given, true = (video.measured_by("styletalk").astype(np.float64) for video in (pair.video, pair.true))
    return float(given @ true / (np.linalg.norm(given) * np.linalg.norm(true)))


STYLE_SIM = Metric(
    About(
        "style_sim", "StyleSim", "", "higher", "styletalk",
        "cosine of StyleTalk's style codes of video and truth (Sec. 4.2), from Deep3DFaceRecon's 64 expression "
        f"coefficients of the first {MAX_FRAMES} frames at 25 fps, aligned by five of our landmarks",
        "The paper names neither length nor frame rate; StyleTalk's own samples have 30 fps. The standard points of "
        "the alignment are not checked against the Basel Face Model's file: compare within a report. Codes of unlike "
        "styles may have a high cosine too: look at the rows of other systems, not at 1.",
    ),
    measure,
)  # fmt: skip
