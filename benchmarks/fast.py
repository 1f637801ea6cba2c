"""`--fast`: what each mode saves and what it costs, on the shipped model; FLOP for `base` as well.

FLOP are compared with the paper's 25 guided steps, frames with exact ones of the same seed: PSNR of the pixels,
correlation of the lips' opening, processor time of the same video. The style error is the distance between the style
read from the video and the one asked for.
"""

import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.cost import FrameCost
from benchmarks.timing import seconds
from svp.diffusion.build import build_settings
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES, SamplingPlan, plan_sampling
from svp.diffusion.settings import STANDARD_STEPS, PipelineSettings
from svp.diffusion.video import partial_folder
from svp.errors import InputError
from svp.evaluation.lip_sync import correlation
from svp.face.landmarks import track_landmarks
from svp.face.mouth import lip_gap
from svp.media.audio import SAMPLE_RATE, read_audio, write_wav
from svp.media.video import FPS
from svp.presets import BASE, MINI

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CASES = (("ada", "road", "happy"), ("edgar", "face", "angry"), ("celeste", "measure", "sad"))
SECONDS, LONG_SECONDS, ROUNDS = 3.0, 10.0, 2
PLAIN_GUIDANCE = 3.5  # with the paper's 25 steps: what FLOP are compared with
ASSUMED_TURBO_STEPS = 4  # of `base`, were it distilled


def plans(settings: PipelineSettings) -> Iterator[tuple[str, SamplingPlan]]:
    """The modes a model has, by name."""
    for name in MODES:
        try:
            yield name, plan_sampling(name, settings, torch.device("cpu"))
        except InputError as error:
            print(f"  {name}: {error}")


def print_flop(what: str, cost: FrameCost, settings: PipelineSettings) -> None:
    plain = cost.per_frame(SamplingPlan(STANDARD_STEPS, PLAIN_GUIDANCE, PLAIN_GUIDANCE, STANDARD_STEPS))
    print(f"  {what}: plain {STANDARD_STEPS} guided steps {plain / 1e9:.3g} GFLOP per frame")
    for name, plan in plans(settings):
        flop = cost.per_frame(plan)
        scales = f"{plan.guidance_audio:g}, the style's {plan.guidance_style:g}"
        print(f"    {name}, {plan.num_inference_steps} steps, {plan.guided_steps} of them with guidance {scales}: "
              f"{flop / 1e9:.3g} GFLOP, 1 / {plain / flop:.1f} of plain")  # fmt: skip


def psnr(frames: np.ndarray, exact: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.square(frames.astype(float) - exact).mean(), 1e-9)))


def quality(pipeline: SVPPipeline, folder: Path, length: float = SECONDS) -> None:
    """Each mode against exact, mean over some portraits with a recording of `length` seconds and a style each."""
    modes = dict(plans(pipeline.settings))
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in modes}
    pipeline(
        SAMPLES / "portraits" / "ada.png", read_audio(SAMPLES / "speech" / "road.wav")[:SAMPLE_RATE]
    )  # slow at first
    for face, speech, style in CASES:
        portrait = pipeline.portrait(SAMPLES / "portraits" / f"{face}.png")
        audio = read_audio(SAMPLES / "speech" / f"{speech}.wav")[: int(length * SAMPLE_RATE)]
        prior = pipeline.style(f"{style}:3")
        exact = exact_gap = np.zeros(0)
        exact_time = 0.0
        for name in modes:  # in turn, so that a machine whose speed drifts favours none
            begin, path = time.process_time(), folder / f"{name}.mp4"
            video = pipeline(portrait, audio, prior, fast=name)
            taken = time.process_time() - begin
            video.save(path)
            gap = lip_gap(track_landmarks(video.frames))
            if name == "exact":
                exact, exact_gap, exact_time = video.frames, gap, taken
            error = float(torch.linalg.vector_norm(pipeline.style(path).mean - prior.mean))
            found[name].append((psnr(video.frames, exact), correlation(gap, exact_gap), error, taken / exact_time))
    for name, plan in modes.items():
        decibel, lips, error, _ = np.mean(found[name], axis=0)
        times = sorted(row[3] for row in found[name])
        print(f"  {name}{' in bf16' if plan.bf16 else ''}: PSNR to exact {decibel:.1f} dB (lowest "
              f"{min(row[0] for row in found[name]):.1f}), lip gap's correlation with exact's {lips:.3f}, "
              f"style error {error:.2f}, processor time of exact's {statistics.median(times):.2f} "
              f"({times[0]:.2f} to {times[-1]:.2f})")  # fmt: skip


def speed(pipeline: SVPPipeline, folder: Path) -> None:
    """Frames per second of all that `svp generate` does once the model is loaded: portrait, video, file, signature."""
    face, speech, style = CASES[0]
    sound = folder / "sound.wav"
    write_wav(sound, np.resize(read_audio(SAMPLES / "speech" / f"{speech}.wav"), int(LONG_SECONDS * SAMPLE_RATE)))

    def generate(mode: str, style: str | None) -> None:
        portrait = pipeline.portrait(SAMPLES / "portraits" / f"{face}.png")
        prior = None if style is None else pipeline.style(style)
        with partial_folder(folder / "video.mp4") as kept:
            pipeline.stream(portrait, sound, prior, fast=mode, partial=kept).save(folder / "video.mp4")

    for name, _ in plans(pipeline.settings):
        pipeline(SAMPLES / "portraits" / f"{face}.png", read_audio(sound)[:SAMPLE_RATE], fast=name)  # slow at first
        for what, asked in (("with a style", f"{style}:3"), ("without", None)):
            taken = min(seconds(partial(generate, name, asked)) for _ in range(ROUNDS))
            print(f"  {name}, {LONG_SECONDS:g} s {what}: {LONG_SECONDS * FPS / taken:.1f} frames per second")


def run() -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    print_flop("shipped mini", FrameCost.of(MINI, tiny=pipeline.tiny_vae is not None), pipeline.settings)
    print_flop(
        f"base (turbo: were it distilled to {ASSUMED_TURBO_STEPS} steps, with TAESD)",
        FrameCost.of(BASE, tiny=True),
        build_settings(BASE).model_copy(update={"turbo_steps": ASSUMED_TURBO_STEPS}),
    )
    with TemporaryDirectory() as folder:
        speed(pipeline, Path(folder))
        quality(pipeline, Path(folder))
