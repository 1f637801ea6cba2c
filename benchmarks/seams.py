"""How much a frame differs from the one before it where a chunk ends, against elsewhere: at most 1.2 is wanted."""

from pathlib import Path

import numpy as np

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.windows import plan_chunks
from svp.media.audio import read_audio

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
FRAMES = 200


def seam_ratio(frames: np.ndarray, seams: list[int]) -> float:
    """Mean change from frame to frame at the seams (first frames of chunks), divided by that elsewhere."""
    change_N = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    at_seam_N = np.isin(np.arange(1, len(frames)), seams)
    return float(change_N[at_seam_N].mean() / change_N[~at_seam_N].mean())


def run() -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    sound = np.resize(read_audio(SAMPLES / "speech" / "road.wav"), FRAMES * 640)
    settings = pipeline.settings
    for mode, chunk in (("exact", settings.window), ("exact", settings.chunk), ("balanced", settings.chunk)):
        pipeline.settings = settings.model_copy(update={"chunk": chunk})
        frames = pipeline(SAMPLES / "portraits" / "ada.png", sound, fast=mode).frames
        chunks = plan_chunks(FRAMES, chunk, settings.window, settings.overlap)
        ratio = seam_ratio(frames, [part.start + part.known for part in chunks[1:]])
        print(f"  mini, {mode}, chunks of {chunk}: change at {len(chunks) - 1} seams {ratio:.2f} x elsewhere")
