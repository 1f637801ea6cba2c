"""The inputs of a generation: what may be given, and what is checked before anything heavy starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from svp.diffusion.portrait import MotionSource, PictureSource, Portrait, check_motion, read_picture
from svp.diffusion.video import Sound
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.prior import StylePrior

AudioSource = str | Path | np.ndarray
StyleSource = str | Path | StylePrior
SAVED_STYLE = ".safetensors"
OUTPUT_RATE = 48_000


def check_inputs(
    portrait: PictureSource | Portrait,
    style: StyleSource | None,
    head_motion: MotionSource,
    retarget: str,
    style_encoder: StyleEncoder | None,
) -> None:
    """Everything that can be wrong and is found at once; clips are looked into later.

    Raises:
        InputError: if an input is missing, unreadable or does not belong to the model.
    """
    check_motion(head_motion, retarget)
    if not isinstance(portrait, Portrait):
        read_picture(portrait)
    if style is None:
        return
    if isinstance(style, str | Path) and not Path(style).is_file():
        raise InputError(f"{style}: no such style; give a clip or a saved style ({SAVED_STYLE})")
    if isinstance(style, StylePrior) or Path(style).suffix == SAVED_STYLE:
        load_style(style, style_encoder)


def load_style(source: StyleSource, style_encoder: StyleEncoder | None) -> StylePrior:
    """A style from a saved style or a clip, checked against the model's style encoder.

    Raises:
        InputError: if it cannot be read, belongs to another style encoder, or the model has none.
    """
    if style_encoder is None:
        raise InputError("style: this model has no style encoder; use a model that was trained with styles")
    if isinstance(source, str | Path) and Path(source).suffix != SAVED_STYLE:
        return extract_style(source, style_encoder)
    prior = source if isinstance(source, StylePrior) else StylePrior.load(source)
    own = style_encoder.fingerprint()
    if prior.encoder != own:
        named = prior.name if isinstance(source, StylePrior) else source
        raise InputError(
            f"style {named}: made by style encoder {prior.encoder}, this model has {own}; "
            "extract it again with this model"
        )
    return prior


def load_audio(source: AudioSource) -> np.ndarray:
    """A recording as (samples,) float32 at 16 kHz.

    Raises:
        InputError: if the file has no readable sound, or the array is not mono floats.
    """
    if isinstance(source, str | Path):
        return read_audio(source)
    if not isinstance(source, np.ndarray):
        raise InputError(f"audio: {type(source).__name__}; give a sound file or an array (samples,) at 16 kHz")
    if source.ndim != 1 or not np.issubdtype(source.dtype, np.floating) or not np.isfinite(source).all():
        raise InputError(f"audio: {source.dtype} {source.shape}; give finite mono floats at 16 kHz, (samples,)")
    return source.astype(np.float32, copy=False)


def output_sound(source: AudioSource, samples: np.ndarray) -> Sound:
    """The recording as it is heard in the video: a file's at 48 kHz, an array's as it was given."""
    if isinstance(source, str | Path):
        return Sound(read_audio(source, OUTPUT_RATE), OUTPUT_RATE)
    return Sound(samples, SAMPLE_RATE)
