"""A style from a clip: its expressions and its sound through the style encoder (paper Sec. 3.1).

Shapes: N frames, E expression coefficients, A audio features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import too_few_faces, track_landmarks
from svp.face.model import FaceModel
from svp.media.audio import read_audio_or_none
from svp.media.hashing import sha256_file
from svp.media.video import FPS, read_frames
from svp.speech.alpha import AudioEncoder, is_silent, load_audio_encoder
from svp.style.encoder import StyleEncoder
from svp.style.prior import StylePrior

CLIP = "clip"  # name of a style that nobody named: the name of a file is its owner's and no part of a signed video
MIN_SHARE = 0.5  # of the frames must show a face: what is said of the clip should be true of most of it


def extract_style(
    path: str | Path,
    encoder: StyleEncoder,
    audio_encoder: AudioEncoder | None = None,
    name: str = CLIP,
    watch: Callable[[int], None] | None = None,
) -> StylePrior:
    """The style of a clip.

    Frames without a face take no part. A silent clip, or one without sound, has alpha = zeros.

    Args:
        path: the clip, any length of one frame or more.
        encoder: the style encoder of the model that will use the style.
        audio_encoder: encoder of alpha; loaded by the style encoder's record when None.
        name: name of the style.
        watch: called with the number of frames looked at, after each; what it raises ends the work.

    Raises:
        InputError: if the clip cannot be read or shows a face in too few frames, or the features are not those that
            the style encoder was trained with.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such clip; give a video with one visible face or a saved style")
    face_model = FaceModel.load()
    wanted = encoder.config["expression_encoder"]
    if wanted != face_model.encoder_id:
        raise InputError(
            f"{path}: the style encoder was trained on expressions {wanted}, this version measures "
            f"{face_model.encoder_id}; use a model trained on those"
        )
    landmarks = track_landmarks(read_frames(path, FPS), watch=watch)
    found_N = np.isfinite(landmarks).all(axis=(1, 2))
    if found_N.sum() < max(1, MIN_SHARE * len(landmarks)):
        raise too_few_faces(path, int(found_N.sum()), len(landmarks))
    expression_NE = np.zeros((len(landmarks), len(face_model.expression)), np.float32)
    expression_NE[found_N] = fit_clip(landmarks[found_N], face_model).expression
    audio = read_audio_or_none(path)
    alpha_NA = None
    if audio is not None and not is_silent(audio):
        alpha_NA = _alpha(encoder, audio, len(landmarks), audio_encoder)
    if alpha_NA is None and not expression_NE.any():
        raise InputError(f"{path}: has no sound and a face without any expression; use a clip of somebody speaking")
    with torch.no_grad():
        gaussian = encoder(
            torch.from_numpy(expression_NE)[None].to(encoder.device),
            None if alpha_NA is None else alpha_NA[None].to(encoder.device),
            torch.from_numpy(found_N)[None].to(encoder.device),
        )
    return StylePrior.from_gaussian(
        gaussian,
        encoder,
        source_sha256=sha256_file(path),
        name=name,
        extra={
            "expression_encoder": wanted,
            "audio_encoder": encoder.config["audio_encoder"],
            "frames": str(len(landmarks)),
            "sound": "no" if alpha_NA is None else "yes",
        },
    )


def _alpha(encoder: StyleEncoder, audio: np.ndarray, n_frames: int, audio_encoder: AudioEncoder | None) -> Tensor:
    """alpha (N, A) by the encoder that the style encoder was trained with."""
    wanted = encoder.config["audio_encoder"]
    audio_encoder = audio_encoder or load_audio_encoder(wanted)
    if audio_encoder.id != wanted:
        raise InputError(f"audio encoder {audio_encoder.id}: the style encoder was trained with {wanted}; use that one")
    return audio_encoder.encode(audio, n_frames, FPS)
