"""Seconds of video that `svp evaluate` measures per second: 128 x 128, two processes, nothing kept before.

Half of them are the references, which are measured along with the generated videos; beside several systems, or kept
from the last run, they weigh less. The start of the processes is told apart.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks.timing import seconds
from svp.datasets.corpus import load_puppet
from svp.datasets.visemes import expand
from svp.diffusion.model_folder import find_model
from svp.evaluation.evaluate import evaluate
from svp.evaluation.metric import AnyMetric
from svp.evaluation.registry import choose
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.video import FPS, VideoWriter
from svp.speech.loudness import loudness

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SIZE, CLIPS, FRAMES, WORKERS = 128, 8, 100, 2


def write_clips(true: Path, generated: Path) -> None:
    """Clips of a puppet that speaks and nods, each with the sentence begun elsewhere, and blurred ones to be judged."""
    units, puppet = FaceModel.load().unit_names, load_puppet(SAMPLES / "portraits" / "ada.png", SIZE)
    speech = read_audio(SAMPLES / "speech" / "road.wav")[: FRAMES * 640]
    for clip in range(CLIPS):
        sound = np.roll(speech, -clip * len(speech) // CLIPS)
        opening, frames = loudness(sound, FRAMES), []
        for n in range(FRAMES):
            turn = cv2.Rodrigues(np.array([0.06 * np.sin(n / 9), 0.1 * np.sin(n / 17 + clip), 0.0]))[0]
            expression = expand({"jawOpen": 0.5 * float(opening[n]), "mouthSmile": clip / CLIPS}, units)
            frames.append(puppet.render(expression, turn))
        for folder, shown in ((true, frames), (generated, [cv2.GaussianBlur(frame, None, 1.0) for frame in frames])):
            with VideoWriter(folder / f"{clip}.mp4", SIZE, SIZE, audio=sound, sample_rate=16_000) as writer:
                for frame in shown:
                    writer.write(frame)


def run() -> None:
    encoder = find_model("mini") / "style_encoder"
    with TemporaryDirectory() as place:
        true, generated, few = (Path(place) / name for name in ("true", "generated", "few"))
        true.mkdir(), generated.mkdir(), few.mkdir()
        write_clips(true, generated)
        for clip in range(WORKERS):
            (few / f"{clip}.mp4").symlink_to(generated / f"{clip}.mp4")

        def taken(system: Path, metrics: Sequence[AnyMetric]) -> float:
            options = {"style_encoder": encoder, "workers": WORKERS, "progress": False}
            return seconds(lambda: evaluate({"blurred": system}, true, metrics, **options))  # type: ignore[arg-type]

        print(f"  start of {WORKERS} processes and a clip for each: {taken(few, choose([])):.1f} s")
        for what, metrics in (("all metrics", choose([])), ("psnr and ssim", choose(["psnr", "ssim"]))):
            speed = 2 * CLIPS * FRAMES / FPS / taken(generated, metrics)
            print(f"  {what}, {WORKERS} processes: {speed:.1f} s of video per second, half of it references")
