"""How much more a frame differs from the one before it because a chunk ends there: at most 1.2 times is wanted.

Speech moves a face more at some frames than at others, so the change at the seams, against elsewhere, is compared with
that at the very same frames of a video whose chunks end elsewhere.
"""

from pathlib import Path

import numpy as np
import torch

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES, plan_sampling
from svp.diffusion.windows import plan_chunks
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.video import FPS

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CASES = (("ada", "road"), ("edgar", "face"))
FRAMES = 128


def seam_ratio(frames: np.ndarray, seams: list[int]) -> float:
    """Mean change from frame to frame at the seams (first frames of chunks), divided by that elsewhere."""
    change_N = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    at_seam_N = np.isin(np.arange(1, len(frames)), seams)
    return float(change_N[at_seam_N].mean() / change_N[~at_seam_N].mean())


def run() -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    own = pipeline.settings
    for mode in MODES:
        plan, ratios = plan_sampling(mode, own, torch.device("cpu")), []
        for face, speech in CASES:
            sound = np.resize(read_audio(SAMPLES / "speech" / f"{speech}.wav"), int(FRAMES * SAMPLE_RATE / FPS))
            videos, seams = [], []
            for shorter in (0, own.window - own.overlap):
                pipeline.settings = own.model_copy(update={"chunk": own.chunk - shorter})
                videos.append(pipeline(SAMPLES / "portraits" / f"{face}.png", sound, fast=mode).frames)
                chunks = plan_chunks(FRAMES, **plan.sizes(pipeline.settings))
                seams.append([part.start + part.known for part in chunks[1:]])
            for k in range(2):
                ratios.append(seam_ratio(videos[k], seams[k]) / seam_ratio(videos[1 - k], seams[k]))
        print(f"  mini, {mode}: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; mean {np.mean(ratios):.2f}")
