"""Peak resident memory of generating a video: ten minutes against ten seconds, and measured against planned.

Every figure is the peak of a process of its own, in one diffusion step. `python -m benchmarks.memory mini 128 25 8`
measures one: model, pixels, frames, window.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
LONG, SHORT = 600 * 25, 10 * 25
PLANNED = (("mini", 128, 75, 8), ("mini", 256, 75, 8), ("base", 256, 4, 4), ("base", 512, 4, 4))


def generate(name: str, size: int, frames: int, window: int) -> float:
    """Peak bytes of this process, which reads a recording, makes a video and writes it."""
    from benchmarks.cost import filled
    from svp.diffusion.pipeline import SVPPipeline
    from svp.diffusion.video import partial_folder
    from svp.media.audio import read_audio, write_wav
    from svp.presets import PRESETS

    with TemporaryDirectory() as place, partial_folder(Path(place) / "video.mp4") as partial:
        sound, video = Path(place) / "sound.wav", Path(place) / "video.mp4"
        write_wav(sound, np.resize(read_audio(SAMPLES / "speech" / "road.wav"), frames * 640))
        pipeline = SVPPipeline.from_pretrained(name) if name == "mini" else filled(PRESETS[name])
        if name == "base":  # the recordings' features are those of another Whisper of the same size
            pipeline.settings = pipeline.settings.model_copy(update={"audio_encoder": "whisper-tiny.en/normed"})
        changes = {"image_size": size, "window": window, "overlap": min(pipeline.settings.overlap, window - 1)}
        pipeline.settings = pipeline.settings.model_copy(update=changes)
        stream = pipeline.stream(
            SAMPLES / "portraits" / "ada.png", sound, num_inference_steps=1, guidance_scale=1.0,
            partial=partial,
        )  # fmt: skip
        stream.save(video)
    return peak_memory()


def peak_memory() -> int:
    """Bytes of this process that were resident at the most; Linux tells, getrusage knows its parent's peak too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def measured(*case: object) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, case)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def compare_plan(name: str, size: int, frames: int, window: int) -> None:
    from svp.diffusion.memory_plan import network_shapes, plan_generation

    pipeline = network_shapes(name)
    changes = {"image_size": size, "window": window, "overlap": min(pipeline.settings.overlap, window - 1)}
    settings = pipeline.settings.model_copy(update=changes)
    plan = plan_generation(pipeline, frames, steps=1, guided=False, styled=False, settings=settings)
    peak = measured(name, size, frames, window)
    print(f"  {name}, {size} x {size}, {frames} frames in windows of {window}: planned {plan.peak / 1e9:.2f} GB, "
          f"measured {peak / 1e9:.2f} GB, ratio {plan.peak / peak:.2f} (1.0 to 1.3 is wanted)")  # fmt: skip


def run() -> None:
    for case in PLANNED:
        compare_plan(*case)
    short, long = (measured("mini", 128, frames, 8) for frames in (SHORT, LONG))
    print(f"  mini, one step: {SHORT} frames {short / 1e9:.3f} GB, {LONG} frames {long / 1e9:.3f} GB, "
          f"ratio {long / short:.2f} (at most 1.1 is wanted)")  # fmt: skip


if __name__ == "__main__":
    model, *numbers = sys.argv[1:]
    print(generate(model, *map(int, numbers)))
