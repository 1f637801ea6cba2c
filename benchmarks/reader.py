"""Share of a training step of `mini` that is computing: steps of batches in memory against steps of read batches.

The time that a step waits for its batch would say less: where all cores compute, the reader beside them takes from the
step. 95 % or more is wanted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.timing import compare
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.diffusion.model_folder import find_model
from svp.diffusion.pipeline import SVPPipeline
from svp.face.landmarks import LandmarkDetector
from svp.media.image import read_image
from svp.presets import MINI
from svp.training.loop import _batches
from svp.training.options import StageName, recipe
from svp.training.run import _build_task
from svp.training.stages import STAGES

PORTRAIT = Path(__file__).resolve().parents[1] / "samples" / "portraits" / "ada.png"
PEOPLE, FRAMES = 4, 100
STAGE_NAMES: tuple[StageName, ...] = ("vae", "appearance", "motion")  # `style` reads what `motion` does
STEPS, ROUNDS = 8, 3  # the reader may be two batches ahead when a round begins


def write_dataset(root: Path) -> None:
    """Clips of a portrait that sways, of several people by name, in two emotions."""
    image, size, rng = read_image(PORTRAIT), MINI.image_size, np.random.default_rng(0)
    with LandmarkDetector() as detector:
        found = detector.detect(image)
    if found is None:
        raise ValueError(f"{PORTRAIT}: no face found")
    picture, landmarks_L3 = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), found * size / len(image)
    sway_N = np.round(6 * np.sin(np.arange(FRAMES) / 9)).astype(int)
    landmarks_NL3 = landmarks_L3 + sway_N[:, None, None] * np.array([1.0, 0.0, 0.0])
    writer = DatasetWriter(root, {"made": "benchmark"}, MINI.expression_encoder, MINI.audio_encoder, size)
    for person in range(PEOPLE):
        for emotion in ("neutral", "happy"):
            row = ClipRow(
                clip_id=f"{person}_{emotion}", source="benchmark", sha256="0", identity=str(person), emotion=emotion,
                intensity=0 if emotion == "neutral" else 2, split="train", frames=FRAMES, fps_in=25.0,
            )  # fmt: skip
            features = {
                "expression": np.abs(rng.normal(0, 0.3, (FRAMES, 52))),
                "audio": rng.normal(0, 1, (FRAMES, 1920)),
                "landmarks": landmarks_NL3,
                "head_kps": landmarks_NL3[:, :8, :2],
            }
            sound = rng.normal(0, 0.1, FRAMES * 640).astype(np.float32)
            writer.add_clip(row, (np.roll(picture, shift, axis=1) for shift in sway_N), sound, features)
    writer.finish()


def measure(stage: StageName, root: Path) -> None:
    options = recipe("mini", stage, root, None, steps=10_000, sample_every=0)
    pipeline = SVPPipeline.from_pretrained(find_model("mini"))
    task = _build_task(pipeline, PreparedDataset(root), STAGES[stage], options, fresh=False, first=False)
    objective = task.objective.train()
    optimizer = torch.optim.Adam(task.parameters, lr=1e-6, fused=True)
    read = _batches(task.train, options, 0, False, Accelerator(cpu=True))
    held = next(read)

    def steps(batches: Callable[[], Iterator[dict[str, torch.Tensor]]]) -> Callable[[], None]:
        def run() -> None:
            for _, batch in zip(range(STEPS), batches(), strict=False):
                objective(batch)[0].backward()
                optimizer.step()
                optimizer.zero_grad()

        return run

    what = f"stage {stage}, {STEPS} steps of {options.batch_size} samples, read against in memory (ratio is the share)"
    compare(what, steps(lambda: read), steps(lambda: iter([held] * STEPS)), ROUNDS)


def run() -> None:
    with TemporaryDirectory() as place:
        root = Path(place) / "dataset"
        write_dataset(root)
        for stage in STAGE_NAMES:
            measure(stage, root)
