"""What `--fast` makes of a model's own sampling: `exact`, or approximations that are declared here as data.

What each costs in quality and gains in time is measured by `python -m benchmarks fast`, see docs/benchmarks.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from svp.diffusion.settings import PipelineSettings, check_guidance
from svp.errors import InputError

REUSE_FROM_STEPS = 8  # neighbours of fewer steps differ too much to share what the deep levels gave
FEW_STEPS = 4  # a model that itself takes so few steps needs them all


@dataclass(frozen=True)
class FastMode:
    """How a mode departs from the model's own steps and guidance.

    Attributes:
        steps: share of the model's own steps, rounded up, but not below FEW_STEPS.
        guided: share of those steps, from the first on, that are guided; the others take one evaluation. (The last ones
            guided instead were further from exact, by 5 dB of an early `mini`.)
        deep_every: the UNet's levels below the first run in every n-th step and are reused in between (DeepCache,
            Ma et al. 2024).
        bf16: bfloat16 arithmetic, where the device is fast at it.
        tiny_decoder: pictures by the small decoder, if the model has one (`svp train tiny-vae`, `svp import taesd`).
        distilled: the weights that were distilled for few steps, and these steps.
        overlap: share of the model's own overlap of windows, rounded up.
    """

    steps: float = 1.0
    guided: float = 1.0
    deep_every: int = 1
    bf16: bool = False
    tiny_decoder: bool = False
    distilled: bool = False
    overlap: float = 1.0


MODES = {
    "exact": FastMode(),
    "balanced": FastMode(steps=0.4, guided=0.5, deep_every=2, bf16=True),
    "turbo": FastMode(guided=0.0, bf16=True, tiny_decoder=True, distilled=True, overlap=0.5),
}


@dataclass(frozen=True)
class SamplingPlan:
    """How one video is sampled.

    Attributes:
        num_inference_steps: Euler steps.
        guidance_audio, guidance_style: scales of the guided steps.
        guided_steps: that many first steps are guided.
        deep_every: the UNet's levels below the first run in every n-th step.
        bf16: whether the networks run in bfloat16.
        tiny_decoder: whether the small decoder is used, if there is one.
        distilled: the weights are those distilled for few steps, see `SVPPipeline.distilled`.
        overlap: share of the model's own overlap of windows, see `sizes`.
    """

    num_inference_steps: int
    guidance_audio: float
    guidance_style: float
    guided_steps: int
    deep_every: int = 1
    bf16: bool = False
    tiny_decoder: bool = False
    distilled: bool = False
    overlap: float = 1.0

    def sizes(self, settings: PipelineSettings) -> dict[str, int]:
        """`window`, `overlap` and `chunk` in frames; with less overlap than the model's, whole windows fill a chunk."""
        window, overlap, chunk = settings.window, math.ceil(self.overlap * settings.overlap), settings.chunk
        if overlap < settings.overlap:
            chunk -= (chunk - window) % (window - overlap)
        return {"window": window, "overlap": overlap, "chunk": chunk}

    def guidance(self, step: int) -> dict[str, float]:
        """The scales of a step, as `SVPPipeline.predict_noise` takes them."""
        guided = step < self.guided_steps
        return {
            "guidance_audio": self.guidance_audio if guided else 1.0,
            "guidance_style": self.guidance_style if guided else 1.0,
        }

    def style_scale(self, step: int) -> float:
        """Factor on the style attention of a step: where none is guided, it stands in for the guidance of the style.

        To first order guidance moves the prediction by a multiple of what this attention adds.
        """
        if step < self.guided_steps or self.guidance_audio <= 0:
            return 1.0
        return self.guidance_style / self.guidance_audio

    def runs_deep(self, step: int) -> bool:
        """Whether the levels below the first run in this step."""
        return step % self.deep_every == 0

    def kinds(self) -> dict[int, int]:
        """How many steps cost the same as each step that is the first of its kind, by that step."""
        kinds = [(step < self.guided_steps, self.runs_deep(step)) for step in range(self.num_inference_steps)]
        return {kinds.index(kind): kinds.count(kind) for kind in dict.fromkeys(kinds)}


def plan_sampling(
    fast: str,
    settings: PipelineSettings,
    device: torch.device,
    *,
    most_steps: int = 1000,
    num_inference_steps: int | None = None,
    guidance_audio: float | None = None,
    guidance_style: float | None = None,
    folded: bool = False,
) -> SamplingPlan:
    """The plan of a mode for a model on a device; steps and scales that are given take the place of the mode's.

    Args:
        most_steps: the diffusion's own number of steps.
        folded: the guidance is in the distilled weights.

    Raises:
        InputError: if there is no such mode, the model was not made for it, it has not so many steps, or a scale is
            beyond all use.
    """
    if fast not in MODES:
        raise InputError(f"fast {fast}: unknown; use one of {', '.join(MODES)}")
    mode = MODES[fast]
    own_audio, own_style, guided = settings.guidance_audio, settings.guidance_style, mode.guided
    own_steps = settings.num_inference_steps
    own_steps = max(math.ceil(mode.steps * own_steps), min(own_steps, FEW_STEPS))
    if mode.distilled:
        if settings.turbo_steps is None:
            raise InputError(
                f"fast {fast}: this model was not distilled for few steps; use balanced, or distil it "
                "with `svp train turbo`"
            )
        own_steps = settings.turbo_steps
        given = guidance_audio is not None or guidance_style is not None
        guided = 1.0 if given else guided
        if folded or given:
            own_audio = own_style = 1.0
    for name, scale in (("guidance_audio", guidance_audio), ("guidance_style", guidance_style)):
        if scale is not None:
            check_guidance(name, scale)
    steps = own_steps if num_inference_steps is None else num_inference_steps
    if not 1 <= steps <= most_steps:
        raise InputError(f"steps {steps}: choose 1 to {most_steps}")
    return SamplingPlan(
        num_inference_steps=steps,
        guidance_audio=own_audio if guidance_audio is None else guidance_audio,
        guidance_style=own_style if guidance_style is None else guidance_style,
        guided_steps=math.ceil(guided * steps),
        deep_every=mode.deep_every if steps >= REUSE_FROM_STEPS else 1,
        bf16=mode.bf16 and has_fast_bf16(device),
        tiny_decoder=mode.tiny_decoder,
        distilled=mode.distilled,
        overlap=mode.overlap,
    )


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware: elsewhere they are slower than float32."""
    if device.type == "cuda":
        # a GPU that is planned for and not here is taken for one of these years
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return False
