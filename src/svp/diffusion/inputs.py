"""The inputs of a generation: what may be given, and what is checked before anything heavy starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from svp.diffusion.knobs import Knobs
from svp.diffusion.portrait import MotionSource, PictureSource, Portrait, check_motion, read_picture
from svp.errors import InputError
from svp.media.audio import check_sound, read_audio
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline

AudioSource = str | Path | np.ndarray
StyleSource = str | Path | StylePrior  # of one style
SAVED_STYLE = ".safetensors"


def check_inputs(
    portrait: PictureSource | Portrait,
    audio: AudioSource,
    style: StyleSource | StyleTimeline | None,
    head_motion: MotionSource,
    retarget: str,
    knobs: Knobs,
) -> None:
    """What can be found wrong at once and without a model; clips are looked into later.

    Raises:
        InputError: if an input is missing or unreadable.
    """
    check_motion(head_motion, retarget, knobs)
    if not isinstance(portrait, Portrait):
        read_picture(portrait)
    if isinstance(audio, str | Path):
        check_sound(audio)
    if isinstance(style, str | Path):
        check_style_source(style)


def check_style_source(style: str | Path) -> None:
    """What can be found wrong with a style's file at once and without a model.

    Raises:
        InputError: if there is no such file, or a saved style is none.
    """
    if not Path(style).is_file():
        raise InputError(f"{style}: no such style; give a clip or a saved style ({SAVED_STYLE})")
    if not _is_clip(style):
        StylePrior.load(style)


def check_style(source: StyleSource | StyleTimeline, style_encoder: StyleEncoder | None) -> None:
    """Whether the model can use a style; a clip's is not extracted for that.

    Raises:
        InputError: if the model has no style encoder, or a saved style belongs to another or cannot be read.
    """
    if style_encoder is None:
        raise InputError("style: this model has no style encoder; use a model that was trained with styles")
    if isinstance(source, StyleTimeline):
        source = source.styles[0]  # they share their encoder
    if _is_clip(source):
        return
    prior = source if isinstance(source, StylePrior) else StylePrior.load(source)
    own, size = style_encoder.fingerprint(), style_encoder.config["style_size"]
    named = prior.name if isinstance(source, StylePrior) else source
    if prior.encoder == own and len(prior.mean) != size:
        raise InputError(f"style {named}: has {len(prior.mean)} numbers, not {size}; extract it again with this model")
    if prior.encoder != own:
        raise InputError(
            f"style {named}: made by style encoder {prior.encoder}, this model has {own}; "
            "extract it again with this model"
        )


def load_style(source: StyleSource, style_encoder: StyleEncoder | None) -> StylePrior:
    """A style from a saved style or a clip, checked against the model's style encoder.

    Raises:
        InputError: if it cannot be read, belongs to another style encoder, or the model has none.
    """
    check_style(source, style_encoder)
    if isinstance(source, StylePrior):
        return source
    if style_encoder is not None and _is_clip(source):
        return extract_style(source, style_encoder)
    return StylePrior.load(source)


def _is_clip(source: StyleSource) -> bool:
    return not isinstance(source, StylePrior) and Path(source).suffix != SAVED_STYLE


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
