"""Classifier-free guidance with one scale for the audio, reference and Head-Kps and one for the style.

eps = eps(0) + g_a [eps(ref, kps, audio) - eps(0)] + g_s [eps(ref, kps, audio, style) - eps(ref, kps, audio)]
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from svp.diffusion.conditions import Conditions, stack_conditions
from svp.diffusion.unet import DenoisingUNet


def guided(
    predict: Callable[[Conditions], Tensor],
    conditions: Conditions,
    guidance_audio: float,
    guidance_style: float,
    *,
    together: bool = False,
) -> Tensor:
    """The guided prediction.

    The formula above, collected by prediction:
    (1 - g_a) eps(0) + (g_a - g_s) eps(ref, kps, audio) + g_s eps(ref, kps, audio, style); what has weight zero is not
    computed. So equal scales need two evaluations, scales of 1 one; without a style the last two are the same thing.

    Args:
        predict: the denoiser for fixed latents and step; with `together` it repeats them for a larger batch.
        conditions: all conditions; `style` None is no style.
        guidance_audio: g_a, for everything but the style.
        guidance_style: g_s.
        together: evaluate all in one batch, which fills a GPU better. One after the other takes less on a CPU: what is
            absent is then left out instead of computed with zeros.
    """
    if conditions.style is None:
        guidance_style = guidance_audio
    weighted = [
        (1.0 - guidance_audio, conditions.unconditional),
        (guidance_audio - guidance_style, conditions.without_style),
        (guidance_style, lambda: conditions),
    ]
    needed = [(weight, choose()) for weight, choose in weighted if weight != 0]
    given = [part for _, part in needed]
    if together and len(given) > 1:
        predictions = predict(stack_conditions(given)).chunk(len(given))
    else:
        predictions = tuple(predict(part) for part in given)
    terms = [
        prediction if weight == 1.0 else weight * prediction
        for (weight, _), prediction in zip(needed, predictions, strict=True)
    ]
    return sum(terms[1:], terms[0])


def predict_guided(
    unet: DenoisingUNet,
    latents: Tensor,
    timestep: Tensor | float,
    conditions: Conditions,
    guidance_audio: float,
    guidance_style: float,
    *,
    together: bool,
    deep: dict[tuple[int, ...], Tensor] | None = None,
) -> Tensor:
    """The guided prediction of the UNet, (1, C, F, h, w), for latents of that shape; see `guided`."""

    def predict(given: Conditions) -> Tensor:
        parts = (given.batch_size or len(latents)) // len(latents)
        return unet(latents.repeat(parts, 1, 1, 1, 1), timestep, given, deep=deep)

    return guided(predict, conditions, guidance_audio, guidance_style, together=together)
