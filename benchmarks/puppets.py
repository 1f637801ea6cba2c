"""Frames of a speaking puppet per second, moved and drawn at 256 x 256, by one process and by two side by side.

On a busy machine only the processor time per frame tells something.
"""

import time
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks.timing import seconds
from svp.datasets.corpus import load_puppet
from svp.datasets.habits import Habits
from svp.face.model import FaceModel

PORTRAIT = Path(__file__).resolve().parents[1] / "samples" / "portraits" / "ada.png"
SIZE, FRAMES = 256, 300


def draw() -> tuple[float, float]:
    """Seconds and processor seconds that one process takes for all frames; the puppet is made before."""
    cv2.setNumThreads(1)
    puppet, rng = load_puppet(PORTRAIT, SIZE), np.random.default_rng(0)
    rotation, translation = Habits.draw(rng).head(FRAMES, rng, np.zeros(FRAMES), yaw_range=puppet.yaw_range)
    units = len(FaceModel.load().unit_names)
    expression = 0.3 * (1 + np.sin(np.arange(FRAMES)[:, None] / 5 + np.arange(units)))

    def frames() -> None:
        for track in zip(expression, rotation, translation, strict=True):
            puppet.render(*track)

    with threadpool_limits(1):
        start = time.process_time()
        return seconds(frames), time.process_time() - start


def run() -> None:
    for processes in (1, 2):
        taken = Parallel(n_jobs=processes)(delayed(draw)() for _ in range(processes))
        wall, processor = max(wall for wall, _ in taken), sum(busy for _, busy in taken)
        print(f"  {processes} process{'es' * (processes > 1)}: {processes * FRAMES / wall:.0f} frames/s, "
              f"{1000 * processor / processes / FRAMES:.1f} ms of processor time per frame")  # fmt: skip
