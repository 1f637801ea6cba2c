"""Each approximation of `--fast` by itself, on the shipped model in 25 steps with guidance of the style.

The model's own two steps without guidance leave nothing to reuse and little to spare, so what a mode gives up is not
seen there. What these two steps give up against 25, without guidance, is told at the end.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.cost import FrameCost
from benchmarks.fast import print_flop, quality
from svp.diffusion.build import build_settings
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES, FastMode
from svp.diffusion.settings import STANDARD_STEPS
from svp.presets import BASE, MINI

ALONE = {
    "exact": FastMode(),
    "0.4 of the steps": FastMode(steps=0.4),
    "half of the steps guided": FastMode(guided=0.5),
    "no step guided, style attention as much stronger": FastMode(guided=0.0),
    "deep levels every 2nd step": FastMode(deep_every=2),
    "bfloat16": FastMode(bf16=True),
    "tiny decoder": FastMode(tiny_decoder=True),
    "half the overlap": FastMode(overlap=0.5),
    "balanced": MODES["balanced"],
}
SECONDS = 1.0
GUIDANCE = 1.5  # of the style


def run(seconds: float = SECONDS) -> None:
    pipeline = SVPPipeline.from_pretrained("mini")
    own = pipeline.settings
    pipeline.settings = own.model_copy(update={"num_inference_steps": STANDARD_STEPS, "guidance_style": GUIDANCE})
    with patch.dict(MODES, ALONE, clear=True), TemporaryDirectory() as folder:
        print_flop("mini", FrameCost.of(MINI, tiny=pipeline.tiny_vae is not None), pipeline.settings)
        print_flop("base, with TAESD", FrameCost.of(BASE, tiny=True), build_settings(BASE))
        quality(pipeline, Path(folder), seconds)
    pipeline.settings = own.model_copy(update={"num_inference_steps": STANDARD_STEPS})
    steps = own.num_inference_steps
    few = {"exact": FastMode(), f"{steps} steps of {STANDARD_STEPS}": FastMode(steps=steps / STANDARD_STEPS)}
    with (
        patch.dict(MODES, few, clear=True),
        patch("svp.diffusion.sampling_plan.FEW_STEPS", steps),
        TemporaryDirectory() as folder,
    ):
        quality(pipeline, Path(folder), seconds)
