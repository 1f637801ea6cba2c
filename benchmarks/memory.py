"""Peak resident memory of generating a video: ten minutes against ten seconds, and measured against planned.

Every figure is the peak of a process of its own, in one diffusion step (`balanced` in as many as it reuses deep levels
in). `python -m benchmarks.memory mini 128 25 8 plain` measures one: model, pixels, frames, window, way of sampling.
"""

import statistics
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.cost import filled
from svp.diffusion.memory_plan import network_shapes, plan_generation, within_memory
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import SamplingPlan, plan_sampling
from svp.diffusion.settings import PipelineSettings
from svp.diffusion.video import partial_folder
from svp.media.audio import read_audio, write_wav
from svp.media.image import read_image
from svp.media.video import VideoWriter
from svp.presets import PRESETS

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
LONG, SHORT = 600 * 25, 10 * 25
PLAIN, GUIDED, BALANCED, TURBO, CLIPS = "plain", "guided", "balanced", "turbo", "clips"
WAYS: dict[str, dict[str, Any]] = {
    PLAIN: {"num_inference_steps": 1, "guidance_audio": 1.0, "guidance_style": 1.0},
    GUIDED: {"num_inference_steps": 1, "guidance_audio": 2.0, "guidance_style": 3.0},
    BALANCED: {"fast": "balanced", "num_inference_steps": 8},
    TURBO: {"fast": "turbo"},
    CLIPS: {"num_inference_steps": 1},  # style and head motion from a clip of CLIP_SIZE
}
PLANNED = (
    ("mini", 128, 75, 8, PLAIN),
    ("mini", 256, 75, 8, PLAIN),
    ("mini", 128, 1500, 8, PLAIN),  # Whisper hears half a minute at a time, while the networks hold their memory
    ("mini", 128, 75, 8, GUIDED),
    ("mini", 128, 75, 8, BALANCED),
    ("mini", 128, 75, 8, TURBO),
    ("mini", 128, 75, 8, CLIPS),
    ("base", 256, 4, 4, PLAIN),
    ("base", 512, 4, 4, PLAIN),
)
LIMITS = (1.0, 0.95)  # GB for `mini` at 256 x 256
STYLE = "happy:2"
CLIP_SIZE = (3840, 2160)
CPU = torch.device("cpu")


def resized(settings: PipelineSettings, size: int, window: int) -> PipelineSettings:
    changes = {"image_size": size, "window": window, "overlap": min(settings.overlap, window - 1)}
    return settings.model_copy(update=changes)


def sampled(way: str, settings: PipelineSettings) -> SamplingPlan:
    return plan_sampling(settings=settings, device=CPU, **({"fast": "exact"} | WAYS[way]))


def generate(name: str, size: int, frames: int, window: int, way: str, limit: float | None = None) -> float:
    """Peak bytes of this process, which reads a recording, makes a video and writes it; `limit`: as --max-memory."""
    with TemporaryDirectory() as place, partial_folder(Path(place) / "video.mp4") as partial:
        sound, video = Path(place) / "sound.wav", Path(place) / "video.mp4"
        write_wav(sound, np.resize(read_audio(SAMPLES / "speech" / "road.wav"), frames * 640))
        pipeline = SVPPipeline.from_pretrained(name) if name == "mini" else filled(PRESETS[name])
        if name == "base":  # the recordings' features are those of another Whisper of the same size
            pipeline.settings = pipeline.settings.model_copy(update={"audio_encoder": "whisper-tiny.en/normed"})
        pipeline.settings = resized(pipeline.settings, size, window)
        style: str | Path | None = None if way == PLAIN else STYLE
        motion, clips = "natural", []
        if way == CLIPS:
            style = Path(place) / "clip.mp4"
            motion, clips = str(style), [style]
            writing = get_context("spawn").Process(target=write_clip, args=(style, frames))
            writing.start()  # x264's memory is not what is measured
            writing.join()
        sampling = sampled(way, pipeline.settings)
        with within_memory(pipeline, sound, limit, sampling, styled=style is not None, clips=clips):
            if clips:
                style = pipeline.style(clips[0])
            portrait = SAMPLES / "portraits" / "ada.png"
            pipeline.stream(portrait, sound, style, motion, partial=partial, **WAYS[way]).save(video)
    return peak_memory()


def write_clip(path: Path, frames: int) -> None:
    """A face that moves a little, in a large picture."""
    width, height = CLIP_SIZE
    face = cv2.resize(read_image(SAMPLES / "portraits" / "ada.png"), (height, height))
    left = (width - height) // 2
    with VideoWriter(path, width, height, preset="ultrafast") as writer:
        for number in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[:, left + number : left + number + height] = face
            writer.write(picture)


def peak_memory() -> int:
    """Bytes of this process that were resident at the most; Linux tells, getrusage knows its parent's peak too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def measured(*case: object) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, case)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    return float(done.stdout.split()[-1])


def compare_plan(name: str, size: int, frames: int, window: int, way: str) -> float:
    """Print and return planned / measured."""
    pipeline = network_shapes(name)
    settings = resized(pipeline.settings, size, window)
    pixels = CLIP_SIZE[0] * CLIP_SIZE[1] if way == CLIPS else 0
    plan = plan_generation(
        pipeline, frames, sampled(way, settings), styled=way != PLAIN, settings=settings, clip_pixels=pixels
    )
    peak = measured(name, size, frames, window, way)
    case = f"{name}, {size} x {size}, {frames} frames in windows of {window}, {way}"
    print(f"  {case}: planned {plan.peak / 1e9:.2f} GB, measured {peak / 1e9:.2f} GB, "
          f"ratio {plan.peak / peak:.2f} (1.0 to 1.3 is wanted)", flush=True)  # fmt: skip
    return plan.peak / peak


def run() -> None:
    for case in PLANNED:
        compare_plan(*case)
    for limit in LIMITS:
        peak = measured("mini", 256, 75, 8, GUIDED, limit)
        print(f"  mini, 256 x 256, 75 frames, --max-memory {limit:g}: measured {peak / 1e9:.2f} GB", flush=True)
    short = statistics.median(measured("mini", 128, SHORT, 8, PLAIN) for _ in range(3))
    long = measured("mini", 128, LONG, 8, PLAIN)
    print(f"  mini, one step: {SHORT} frames {short / 1e9:.3f} GB, {LONG} frames {long / 1e9:.3f} GB, "
          f"ratio {long / short:.2f} (at most 1.1 is wanted)")  # fmt: skip


if __name__ == "__main__":
    model, size, frames, window, way, *limit = sys.argv[1:]
    print(generate(model, int(size), int(frames), int(window), way, *map(float, limit)))
