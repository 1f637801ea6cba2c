"""Landmarks and beta of a clip in frames per second, and the fit of a whole clip against frame by frame."""

from pathlib import Path

import numpy as np

from benchmarks.timing import compare, seconds
from svp.face.fit import fit_clip
from svp.face.landmarks import LandmarkDetector
from svp.face.model import FaceModel
from svp.media.image import read_image

PORTRAIT = Path(__file__).resolve().parents[1] / "samples" / "portraits" / "ada.png"
FRAMES = 200


def run() -> None:
    image, model = read_image(PORTRAIT), FaceModel.load()
    frames = [np.roll(image, int(6 * np.sin(i / 9)), axis=1) for i in range(FRAMES)]
    track: list[np.ndarray] = []

    def detect() -> None:
        track.clear()
        with LandmarkDetector() as detector:
            track.extend(found for frame in frames if (found := detector.detect(frame)) is not None)

    detecting = seconds(detect)
    landmarks = np.stack(track)
    fit_clip(landmarks, model)
    fitting = seconds(lambda: fit_clip(landmarks, model))
    print(f"  {FRAMES} frames: landmarks {FRAMES / detecting:.0f} frames/s, fit {FRAMES / fitting:.0f} frames/s, "
          f"together {FRAMES / (detecting + fitting):.0f} frames/s")  # fmt: skip
    few = landmarks[:20]
    compare(
        "20 frames, fitted together against one by one",
        lambda: fit_clip(few, model),
        lambda: [fit_clip(frame[None], model) for frame in few],
        rounds=3,
    )
