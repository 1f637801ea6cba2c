"""Portrait, recording and head motion of a generation: what is checked before torch and a model are loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from svp.diffusion.knobs import Knobs
from svp.diffusion.portrait import MotionSource, PictureSource, Portrait, check_motion, read_picture
from svp.errors import InputError
from svp.media.audio import check_sound
from svp.media.recording import read_recording

AudioSource = str | Path | np.ndarray


def check_inputs(
    portrait: PictureSource | Portrait,
    audio: AudioSource,
    head_motion: MotionSource,
    retarget: str,
    knobs: Knobs,
) -> None:
    """What can be found wrong at once and without a model; whether a clip shows a face is found out later.

    Raises:
        InputError: if an input is missing or unreadable.
    """
    check_motion(head_motion, retarget, knobs)
    if not isinstance(portrait, Portrait):
        read_picture(portrait)
    if isinstance(audio, str | Path):
        check_sound(audio)


def load_audio(source: AudioSource) -> np.ndarray:
    """A recording as (samples,) float32 at 16 kHz; of a long file the samples wait on disk, see `read_recording`.

    Raises:
        InputError: if the file has no readable sound, or the array is not mono floats.
    """
    if isinstance(source, str | Path):
        return read_recording(Path(source))
    if not isinstance(source, np.ndarray):
        raise InputError(f"audio: {type(source).__name__}; give a sound file or an array (samples,) at 16 kHz")
    if source.ndim != 1 or not np.issubdtype(source.dtype, np.floating) or not np.isfinite(source).all():
        raise InputError(f"audio: {source.dtype} {source.shape}; give finite mono floats at 16 kHz, (samples,)")
    return source.astype(np.float32, copy=False)
