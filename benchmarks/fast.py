"""`--fast`: what each mode saves and what it costs, on the shipped model; FLOP for `base` as well.

Frames are compared with exact ones of the same seed: PSNR of the pixels, correlation of the lips' opening. The style
error is the distance between the style read from the video and the one asked for.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.cost import FrameCost
from benchmarks.timing import seconds
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES, SamplingPlan, plan_sampling
from svp.diffusion.settings import STANDARD_STEPS, PipelineSettings
from svp.errors import InputError
from svp.evaluation.lip_sync import correlation
from svp.face.landmarks import track_landmarks
from svp.face.mouth import lip_gap
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.presets import BASE, MINI, Preset
from svp.style.gallery import gallery_path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SECONDS, STYLE = 3.0, "happy"
PLAIN_GUIDANCE = 3.5  # with the paper's 25 steps: what FLOP are compared with
ASSUMED_TURBO_STEPS = 4  # of `base`, were it distilled


def plans(settings: PipelineSettings) -> Iterator[tuple[str, SamplingPlan]]:
    """The modes a model has, by name."""
    for name in MODES:
        try:
            yield name, plan_sampling(name, settings, torch.device("cpu"))
        except InputError as error:
            print(f"  {name}: {error}")


def own_settings(preset: Preset) -> PipelineSettings:
    return PipelineSettings(
        image_size=preset.image_size, window=preset.window, overlap=preset.overlap, chunk=preset.chunk,
        audio_encoder=preset.audio_encoder, expression_encoder=preset.expression_encoder,
        turbo_steps=ASSUMED_TURBO_STEPS,
    )  # fmt: skip


def print_flop(what: str, cost: FrameCost, settings: PipelineSettings) -> None:
    plain = cost.per_frame(SamplingPlan(STANDARD_STEPS, PLAIN_GUIDANCE, PLAIN_GUIDANCE, STANDARD_STEPS))
    print(f"  {what}: plain {STANDARD_STEPS} guided steps {plain / 1e9:.3g} GFLOP per frame")
    for name, plan in plans(settings):
        flop = cost.per_frame(plan)
        print(f"    {name}, {plan.num_inference_steps} steps, {plan.guided_steps} of them guided by "
              f"{plan.guidance_audio:g}: {flop / 1e9:.3g} GFLOP, 1 / {plain / flop:.1f} of plain")  # fmt: skip


def psnr(frames: np.ndarray, exact: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.square(frames.astype(float) - exact).mean(), 1e-9)))


def measure(pipeline: SVPPipeline, folder: Path) -> None:
    """Time and quality of each mode on a sample portrait and recording."""
    audio = read_audio(SAMPLES / "speech" / "road.wav")[: int(SECONDS * SAMPLE_RATE)]
    prior = pipeline.style(gallery_path(STYLE, 3))
    face = pipeline.portrait(SAMPLES / "portraits" / "ada.png")
    exact = np.zeros(0)
    for name, plan in plans(pipeline.settings):
        pipeline(face, audio[:SAMPLE_RATE], prior, fast=name, num_inference_steps=1)  # the first run is slow
        path = folder / f"{name}.mp4"
        taken = seconds(lambda name=name, path=path: pipeline.stream(face, audio, prior, fast=name).save(path))  # type: ignore[misc]
        frames = pipeline(face, audio, prior, fast=name).frames
        gap = lip_gap(track_landmarks(frames))
        if name == "exact":
            exact, exact_gap = frames, gap
        error = torch.linalg.vector_norm(pipeline.style(path).mean - prior.mean)
        print(f"  {name}: {len(frames) / taken:.1f} frames/s{' in bf16' if plan.bf16 else ''}, "
              f"PSNR to exact {psnr(frames, exact):.1f} dB, lip gap's correlation with exact's "
              f"{correlation(gap, exact_gap):.3f}, style error {error:.2f}")  # fmt: skip


def run() -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    print_flop("shipped mini", FrameCost.of(MINI), pipeline.settings)
    print_flop(
        f"base (turbo: were it distilled to {ASSUMED_TURBO_STEPS} steps)", FrameCost.of(BASE), own_settings(BASE)
    )
    with TemporaryDirectory() as folder:
        measure(pipeline, Path(folder))
