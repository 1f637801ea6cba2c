"""How much more a frame differs from the one before it because a chunk ends there: at most 1.2 times is wanted.

Speech moves a face more at some frames than at others, so the change at the seams, against elsewhere, is compared with
that at the very same frames of a video whose chunks end elsewhere.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from svp.diffusion.generation import sampling_of
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES
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


def compared(
    pipeline: SVPPipeline, face: str, speech: str, mode: str, first: int = FRAMES
) -> list[tuple[float, float]]:
    """The change at the seams of a video, as a share of that at the same frames where chunks are a window shorter, and
    of that elsewhere in the video; then the other way round. Of the first so many frames."""
    own, videos, seams = pipeline.settings, [], []
    sound = np.resize(read_audio(SAMPLES / "speech" / f"{speech}.wav"), int(FRAMES * SAMPLE_RATE / FPS))
    portrait, sampling = pipeline.portrait(SAMPLES / "portraits" / f"{face}.png"), sampling_of(pipeline, mode)
    for shorter in (0, own.window - own.overlap):
        pipeline.settings = own.model_copy(update={"chunk": own.chunk - shorter})
        videos.append(np.stack(list(islice(pipeline.stream(portrait, sound, fast=mode), first))))
        chunks = plan_chunks(FRAMES, **sampling.sizes(pipeline.settings))
        seams.append([part.start + part.known for part in chunks[1:]])
    pipeline.settings = own
    elsewhere = [seam_ratio(videos[k], seams[k]) for k in range(2)]
    return [(elsewhere[k] / seam_ratio(videos[1 - k], seams[k]), elsewhere[k]) for k in range(2)]


def run() -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    for mode in MODES:
        ratios = np.array([pair for case in CASES for pair in compared(pipeline, *case, mode)])
        for what, column in zip(("without seams there", "elsewhere in the video"), ratios.T, strict=True):
            figures = ", ".join(f"{ratio:.2f}" for ratio in column)
            print(f"  mini, {mode}, against {what}: {figures}; mean {column.mean():.2f}")
